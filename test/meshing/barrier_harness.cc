// See barrier_harness.h.
#include "test/meshing/barrier_harness.h"

#include <cstring>

#include "src/base/check.h"
#include "src/base/units.h"
#include "src/os/file.h"
#include "src/os/memory.h"

namespace mesh {
namespace {

void* Pointer(uintptr_t address) { return reinterpret_cast<void*>(address); }

void CopyLive(uintptr_t from, uintptr_t to, int member) {
  for (size_t slot = member; slot < BarrierHarness::kSlots; slot += 2) {
    const size_t offset = slot * BarrierHarness::kSlotSize;
    memcpy(Pointer(to + offset), Pointer(from + offset), BarrierHarness::kSlotSize);
  }
}

uintptr_t MapWindow(size_t size, bool by_file) {
  if (!by_file) return os::MapSharedAnonymous(size).value;
  os::MemoryFile file;
  MESH_CHECK(file.Create().ok() && file.Resize(size).ok());
  const uintptr_t window = os::MapFileShared(file.descriptor(), 0, size).value;
  file.Close();
  return window;
}

}  // namespace

BarrierHarness::BarrierHarness(size_t pairs, bool file_window)
    : pairs_(pairs),
      arena_(os::MapAnonymous(2 * pairs * kPageSize).value),
      window_(MapWindow(pairs * kPageSize, file_window)),
      meshed_(pairs) {
  MESH_CHECK(arena_ != 0 && window_ != 0);
  buffers().Enable();
  static_cast<void>(os::AdviseNoHugePage(arena_, 2 * pairs * kPageSize).ok());
}

BarrierHarness::~BarrierHarness() {
  barrier_.segv_handler().Uninstall();
  MESH_CHECK(os::Unmap(arena_, 2 * pairs_ * kPageSize).ok());
  MESH_CHECK(os::Unmap(window_, pairs_ * kPageSize).ok());
}

Range BarrierHarness::span(size_t pair, int member) const {
  return {arena_ + (2 * pair + member) * kPageSize, kPageSize};
}

Range BarrierHarness::arena() const { return {arena_, 2 * pairs_ * kPageSize}; }

volatile uint64_t* BarrierHarness::live_slot(size_t pair, int member, size_t index) const {
  return reinterpret_cast<volatile uint64_t*>(span(pair, member).address +
                                              (2 * index + member) * kSlotSize);
}

bool BarrierHarness::Begin(size_t first, size_t count) {
  std::vector<Range> ranges;
  std::vector<uintptr_t> windows;
  for (size_t pair = first; pair < first + count; pair++) {
    for (int member : {0, 1}) {
      ranges.push_back(span(pair, member));
      windows.push_back(meshed_[pair] ? window_ + pair * kPageSize : 0);
    }
  }
  return barrier_.Begin(ranges, windows);
}

bool BarrierHarness::Mesh(size_t first, size_t count) {
  if (!Begin(first, count)) return false;
  for (size_t i = 0; i < count; i++) {
    const bool free_to_go = !barrier_.is_excluded(2 * i) && !barrier_.is_excluded(2 * i + 1);
    if (free_to_go && !meshed_[first + i]) MeshPair(first + i, 2 * i);
  }
  Finish();
  return true;
}

bool BarrierHarness::Unmesh(size_t first, size_t count) {
  if (!Begin(first, count)) return false;
  for (size_t i = 0; i < count; i++) {
    const bool free_to_go = !barrier_.is_excluded(2 * i) && !barrier_.is_excluded(2 * i + 1);
    if (free_to_go && meshed_[first + i]) UnmeshPair(first + i, 2 * i);
  }
  Finish();
  return true;
}

void BarrierHarness::MeshPair(size_t pair, size_t index) {
  const uintptr_t physical = window_ + pair * kPageSize;
  for (int member : {0, 1}) CopyLive(span(pair, member).address, physical, member);
  for (int member : {0, 1}) {
    MESH_CHECK(os::Alias(physical, kPageSize, span(pair, member).address).ok());
    barrier_.MarkRemapped(index + member);
  }
  meshed_[pair] = true;
}

void BarrierHarness::UnmeshPair(size_t pair, size_t index) {
  for (int member : {0, 1}) {
    // A page of its own each time: what MovePages leaves behind is a hole that any thread may fill.
    const uintptr_t copy = os::MapAnonymous(kPageSize).value;
    MESH_CHECK(copy != 0);
    CopyLive(window_ + pair * kPageSize, copy, member);
    MESH_CHECK(os::MovePages(copy, kPageSize, span(pair, member).address).ok());
    barrier_.MarkRemapped(index + member);
  }
  MESH_CHECK(os::PunchHole(window_ + pair * kPageSize, kPageSize).ok());
  meshed_[pair] = false;
}

}  // namespace mesh
