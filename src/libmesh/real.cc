// See real.h.
#include "src/libmesh/real.h"

#include <dlfcn.h>

namespace mesh {
namespace {

constexpr size_t kRealCount = static_cast<size_t>(RealId::kCount);

constexpr const char* kNames[kRealCount] = {
#define MESH_REAL(name) #name,
#include "src/libmesh/real.def"
#undef MESH_REAL
};

std::atomic<void*> addresses[kRealCount];

}  // namespace

void* FindReal(RealId id) {
  size_t index = static_cast<size_t>(id);
  // order: relaxed; the address of a function publishes nothing but itself.
  void* address = addresses[index].load(std::memory_order_relaxed);
  if (__builtin_expect(address != nullptr, 1)) return address;
  int saved = errno;
  address = dlsym(RTLD_NEXT, kNames[index]);
  errno = saved;
  // order: relaxed; as above. Who comes second stores the same.
  addresses[index].store(address, std::memory_order_relaxed);
  return address;
}

void FindAllReal() {
  for (size_t i = 0; i < kRealCount; i++) FindReal(static_cast<RealId>(i));
}

}  // namespace mesh
