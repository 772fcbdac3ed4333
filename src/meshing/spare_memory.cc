// See spare_memory.h.
#include "src/meshing/spare_memory.h"

#include "src/os/memory.h"

namespace mesh {
namespace {

// ThreadSanitizer cannot see that nobody stores to the pages meanwhile, and knows memcpy by name.
__attribute__((no_sanitize("thread"))) void CopyPages(uintptr_t to, uintptr_t from, size_t length) {
  auto* target = reinterpret_cast<volatile uint64_t*>(to);
  auto* source = reinterpret_cast<const volatile uint64_t*>(from);
  for (size_t i = 0; i < length / sizeof(uint64_t); i++) target[i] = source[i];
}

}  // namespace

bool SpareMemory::Reserve(size_t length) {
  Drop();
  if (length_ != 0) return false;  // the kernel would not take the last one back
  if (length == 0) return true;
  os::Result<uintptr_t> place = os::MapAnonymous(length);
  if (!place.ok()) return false;
  // Like the pages that it may replace. Refused, mappings stay apart that could be one.
  static_cast<void>(os::AdviseNoHugePage(place.value, length));
  address_ = place.value;
  length_ = length;
  used_ = 0;
  return true;
}

bool SpareMemory::Replace(Range range) {
  if (length_ - used_ < range.length) return false;
  // A call that failed may have made a part of it writable.
  if (!os::Protect(range.address, range.length, os::Protection::kRead).ok()) return false;
  const uintptr_t copy = address_ + used_;
  CopyPages(copy, range.address, range.length);
  if (!os::MovePages(copy, range.length, range.address).ok()) return false;
  used_ += range.length;
  return true;
}

void SpareMemory::Drop() {
  if (used_ < length_ && !os::Unmap(address_ + used_, length_ - used_).ok()) return;
  length_ = used_ = 0;
}

}  // namespace mesh
