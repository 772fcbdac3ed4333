// See size_class.h.
#include "src/sizeclass/size_class.h"

namespace mesh {

SizeClass PinnedClassFor(size_t size, size_t alignment) {
  // A power of two, so a mask tells a multiple.
  auto fits = [&](const SizeClassInfo& info) { return (info.size & (alignment - 1)) == 0; };
  if (size <= kSizeClasses[kClassCount - 1].size && alignment < kPageSize) {
    for (SizeClass c = kFirstPinnedClass; c < kClassCount; c++) {
      if (kSizeClasses[c].size >= size && fits(kSizeClasses[c])) return c;
    }
  }
  SizeClass c = ClassFor(RoundUp(size > 0 ? size : 1, alignment));
  for (; c < kFirstPinnedClass; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    if (fits(info) && !info.meshable) return c;
  }
  return kNoClass;
}

}  // namespace mesh
