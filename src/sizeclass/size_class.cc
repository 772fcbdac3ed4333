// See size_class.h.
#include "src/sizeclass/size_class.h"

namespace mesh {

SizeClass AlignedClassFor(size_t size, size_t alignment) {
  if (size > kMaxSmallSize || alignment > kPageSize) return kNoClass;
  if (alignment <= kMinAlignment) return ClassFor(size);
  bool pinned = alignment >= kPinnedAlignment;
  if (pinned && size <= kSizeClasses[kClassCount - 1].size && alignment < kPageSize) {
    for (SizeClass c = kFirstPinnedClass; c < kClassCount; c++) {
      if (kSizeClasses[c].size >= size && kSizeClasses[c].size % alignment == 0) return c;
    }
  }
  SizeClass c = ClassFor(size < alignment ? alignment : size);
  for (; c < kFirstPinnedClass; c++) {
    const SizeClassInfo& info = kSizeClasses[c];
    if (info.size % alignment == 0 && !(pinned && info.meshable)) return c;
  }
  return kNoClass;
}

}  // namespace mesh
