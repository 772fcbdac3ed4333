// Runtime::Collect: one snapshot from all rooms. Each part is taken under its own lock, one after
// the other, so that parts may differ by what happened in between.
#include "src/meshing/barrier.h"
#include "src/os/process.h"
#include "src/runtime/runtime.h"

namespace mesh {
void Runtime::CollectClasses(Statistics* out) {
  static_assert(kClassCount <= kMaxSizeClasses);
  out->class_count = kClassCount - 1;
  auto add = [&](SizeClassHeap& heap) {
    SizeClassStatistics from = heap.statistics();
    const SizeClassInfo& info = kSizeClasses[heap.size_class()];
    ClassStatistics& to = out->classes[heap.size_class() - 1];
    to.object_size = info.size;
    to.span_pages = info.unit_pages;
    to.spans += static_cast<uint32_t>(from.spans);
    to.attached += from.attached;
    to.partial += from.partial;
    to.meshed += static_cast<uint32_t>(from.meshed);
    to.full = to.spans - to.meshed - to.attached - to.partial;
    to.live_objects += from.in_use;
    to.capacity_objects += from.slots;
    out->live_bytes += from.in_use * info.size;
    out->mapped_bytes += from.pages << kPageShift;
    out->meshed_pages_now += from.meshed_pages;
    out->miniheap_alloc_count += from.spans_started;
    out->miniheap_free_count += from.spans_started - from.spans;
    out->miniheap_hwm += from.spans_peak;
  };
  for (SizeClassHeap& heap : global_.size_class_heaps()) add(heap);
  global_.program_heaps().classes().ForEach(add);
  size_t cached = registry_.cached_bytes();
  out->live_bytes -= cached < out->live_bytes ? cached : out->live_bytes;
}

void Runtime::CollectMemory(Statistics* out) {
  ArenaStatistics arena = global_.arena().statistics();
  out->arena_segments = arena.segments;
  out->arena_reserved_bytes = arena.reserved_bytes;
  out->arena_committed_bytes = arena.committed_bytes;
  out->dirty_bytes = arena.dirty_bytes;
  out->backing_bytes = global_.backing().bytes_in_use() + global_.backing().retired_bytes();
  if (os::Result<os::MemoryFigures> figures = os::ReadMemoryFigures(); figures.ok()) {
    out->pss_bytes = figures.value.pss;
    out->pss_anon_bytes = figures.value.pss_anon;
    out->rss_bytes = figures.value.rss;
  }
  if (os::Result<size_t> mappings = os::MappingCount(); mappings.ok()) {
    out->mappings_used = mappings.value;
  }
  out->mappings_budget = static_cast<uint64_t>(global_.budget().limit());
}

void Runtime::Collect(Statistics* out) {
  *out = Statistics();
  CollectClasses(out);
  out->large_count = global_.large_count();
  out->large_bytes = global_.large_bytes();
  out->live_bytes += out->large_bytes;
  out->mapped_bytes += out->large_bytes;
  CompactorStatistics compactor = global_.compactor().statistics();
  out->mesh_count = compactor.spans_meshed;
  out->meshed_pages_total = compactor.pages_meshed;
  out->mesh_passes = compactor.passes;
  out->mesh_failed_map = compactor.moves_failed;
  out->mesh_failed_barrier = compactor.barrier_failed;
  out->mesh_failed_mappings = compactor.mappings_refused;
  out->longest_pause_ns = compactor.longest_pause_ns;
  out->longest_wait_ns = compactor.longest_wait_ns;
  for (size_t i = 0; i < kPauseBuckets; i++) {
    out->pauses[i] = compactor.pauses[i];
    out->waits[i] = compactor.waits[i];
  }
  out->background_turns = background_.turns();
  out->background_cpu_ns = background_.cpu_ns();
  out->barrier_tier = BarrierTierName(global_.barrier().tier());
  out->meshed_pages_hwm = compactor.pages_saved_peak;
  CollectMemory(out);
}

}  // namespace mesh
