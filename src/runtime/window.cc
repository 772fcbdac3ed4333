// The window of this process (src/control/window.h): where other processes find what they read, and
// requests of theirs. The offsets are the compiler's, so they cannot go stale.
#include "src/control/window.h"

#include <cstddef>

#include "src/runtime/runtime.h"
#include "src/runtime/thread_state.h"
#include "src/sizeclass/size_class.h"

// Of classes that are not of standard layout too: both compilers know the answer.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace mesh {

// A friend of every class that it names, and all of it is compile-time constants.
struct WindowLayout {
  // Places of the runtime's parts.
  static constexpr size_t kGlobal = offsetof(Runtime, global_);
  static constexpr size_t kArena = kGlobal + offsetof(GlobalHeap, arena_);
  static constexpr size_t kArenaFigures = kArena + offsetof(Arena, statistics_);
  static constexpr size_t kBacking = kGlobal + offsetof(GlobalHeap, backing_);
  static constexpr size_t kBudget = kGlobal + offsetof(GlobalHeap, budget_);
  static constexpr size_t kBarrier = kGlobal + offsetof(GlobalHeap, barrier_);
  static constexpr size_t kCompactor =
      kGlobal + offsetof(GlobalHeap, compactor_) + offsetof(Compactor, statistics_);

  static constexpr size_t kMeter =
      kGlobal + offsetof(GlobalHeap, compactor_) + offsetof(Compactor, meter_);

#define MESH_PLACE(name, base, Type, member) \
  { name, sizeof(Type::member), static_cast<uint32_t>((base) + offsetof(Type, member)) }
#define MESH_CONSTANT(name, value) \
  { name, 0, static_cast<uint32_t>(value) }

  static constexpr WindowField kFields[] = {
      MESH_PLACE("runtime.heaps", kGlobal, GlobalHeap, heaps_),
      MESH_PLACE("runtime.program_classes",
                 kGlobal + offsetof(GlobalHeap, program_heaps_) + offsetof(ProgramHeaps, all_),
                 ProgramClassList, front_),
      MESH_PLACE("runtime.large_count", kArenaFigures, ArenaStatistics, large_count),
      MESH_PLACE("runtime.large_bytes", kArenaFigures, ArenaStatistics, large_bytes),
      MESH_PLACE("runtime.cached_runs", kArena + offsetof(Arena, cache_), RunCache, shards_),
      MESH_PLACE("runtime.barrier_tier", kBarrier, WriteBarrier, tier_),
      MESH_PLACE("runtime.mappings_budget", kBudget, MappingBudget, limit_),
      MESH_PLACE("runtime.period_ns", 0, Runtime, period_ns_),
      MESH_PLACE("runtime.meshing", 0, Runtime, meshing_),
      MESH_PLACE("runtime.passes", kCompactor, CompactorStatistics, passes),
      MESH_PLACE("runtime.spans_meshed", kCompactor, CompactorStatistics, spans_meshed),
      MESH_PLACE("runtime.pages_meshed", kCompactor, CompactorStatistics, pages_meshed),
      MESH_PLACE("runtime.pages_saved_peak", kCompactor, CompactorStatistics, pages_saved_peak),
      MESH_PLACE("runtime.mappings_refused", kCompactor, CompactorStatistics, mappings_refused),
      MESH_PLACE("runtime.moves_failed", kCompactor, CompactorStatistics, moves_failed),
      MESH_PLACE("runtime.barrier_failed", kCompactor, CompactorStatistics, barrier_failed),
      MESH_PLACE("runtime.longest_pause_ns", kCompactor, CompactorStatistics, longest_pause_ns),
      MESH_PLACE("runtime.longest_wait_ns", kMeter, WaitMeter, longest_ns_),
      MESH_PLACE("runtime.waits", kMeter, WaitMeter, counts_),
      MESH_PLACE("runtime.background_turns", offsetof(Runtime, background_), BackgroundThread,
                 turns_),
      MESH_PLACE("runtime.background_cpu_ns", offsetof(Runtime, background_), BackgroundThread,
                 cpu_ns_),
      MESH_PLACE("runtime.pauses", kCompactor, CompactorStatistics, pauses),
      MESH_PLACE("runtime.segments", kArenaFigures, ArenaStatistics, segments),
      MESH_PLACE("runtime.reserved_bytes", kArenaFigures, ArenaStatistics, reserved_bytes),
      MESH_PLACE("runtime.committed_bytes", kArenaFigures, ArenaStatistics, committed_bytes),
      MESH_PLACE("runtime.small_dirty_pages", kArena + offsetof(Arena, small_runs_), PageHeap,
                 dirty_pages_),
      MESH_PLACE("runtime.large_dirty_pages", kArena + offsetof(Arena, large_runs_), PageHeap,
                 dirty_pages_),
      MESH_PLACE("runtime.backing_pages", kBacking, Backing, in_use_),
      MESH_PLACE("runtime.files", kBacking, Backing, files_),
      MESH_PLACE("runtime.first_thread",
                 offsetof(Runtime, registry_) + offsetof(ThreadRegistry, active_),
                 IntrusiveList<ThreadLocalHeap>, head_),

      MESH_CONSTANT("heap.size", sizeof(SizeClassHeap)),
      MESH_PLACE("heap.spans", 0, SizeClassHeap, spans_),
      MESH_PLACE("heap.size_class", 0, SizeClassHeap, size_class_),
      MESH_PLACE("heap.next_program_class", 0, SizeClassHeap, next_program_class_),
      MESH_PLACE("heap.pages", 0, SizeClassHeap, pages_),
      MESH_PLACE("heap.members", 0, SizeClassHeap, members_),
      MESH_PLACE("heap.member_pages", 0, SizeClassHeap, member_pages_),
      MESH_PLACE("heap.in_use", 0, SizeClassHeap, in_use_),
      MESH_PLACE("heap.spans_started", 0, SizeClassHeap, spans_started_),
      MESH_PLACE("heap.spans_peak", 0, SizeClassHeap, spans_peak_),
      MESH_PLACE("heap.attached", 0, SizeClassHeap, attached_),
      MESH_PLACE("heap.partial", 0, SizeClassHeap, partial_),
      MESH_CONSTANT("list.size", sizeof(SpanList)),
      MESH_PLACE("list.spans", 0, SpanList, size_),

      MESH_CONSTANT("shard.size", sizeof(RunCache::Shard)),
      MESH_PLACE("shard.runs", 0, RunCache::Shard, count),
      MESH_PLACE("shard.pages", 0, RunCache::Shard, pages),

      MESH_CONSTANT("info.size", sizeof(SizeClassInfo)),
      MESH_CONSTANT("info.count", kClassCount),
      MESH_PLACE("info.object_size", 0, SizeClassInfo, size),
      MESH_PLACE("info.unit_pages", 0, SizeClassInfo, unit_pages),
      MESH_PLACE("info.slots", 0, SizeClassInfo, slots),
      MESH_PLACE("info.meshable", 0, SizeClassInfo, meshable),

      MESH_CONSTANT("segment.count", kMaxSegments),
      MESH_PLACE("segment.base", 0, Segment, base),
      MESH_PLACE("segment.committed", 0, Segment, committed),
      MESH_PLACE("segment.index", 0, Segment, index),
      MESH_PLACE("segment.small", 0, Segment, small),
      MESH_PLACE("segment.entries", 0, Segment, entries),
      MESH_PLACE("segment.records", 0, Segment, records),
      MESH_PLACE("segment.links", 0, Segment, links),
      MESH_CONSTANT("segment.id_shift", kWindowPageShift),
      MESH_CONSTANT("entry.class_shift", kPlaceBits),

      MESH_CONSTANT("span.size", sizeof(SpanRecord)),
      MESH_CONSTANT("links.size", sizeof(SpanLinks)),
      MESH_PLACE("links.leader", 0, MiniHeap::Links, leader_or_previous),
      MESH_PLACE("span.word", 0, MiniHeap, word_),
      MESH_PLACE("span.shape", 0, MiniHeap, shape_),
      MESH_CONSTANT("span.length_mask", MiniHeap::kLengthMask),
      MESH_CONSTANT("span.member_mask", MiniHeap::kMemberMask),
      MESH_PLACE("span.size_class", 0, MiniHeap, size_class_),

      MESH_PLACE("thread.next", 0, ThreadLocalHeap, next_),
      MESH_PLACE("thread.vectors", 0, ThreadLocalHeap, vectors_),
      MESH_PLACE("thread.attached", 0, ThreadLocalHeap, attached_),
      MESH_CONSTANT("vector.size", sizeof(ShuffleVector)),
      MESH_PLACE("vector.top", 0, ShuffleVector, top_),
      MESH_PLACE("vector.begin", 0, ShuffleVector, begin_),
      MESH_PLACE("vector.returned", 0, ShuffleVector, returned_),
      MESH_PLACE("vector.gone", 0, ShuffleVector, gone_),

      MESH_CONSTANT("file.size", sizeof(Backing::File)),
      MESH_PLACE("file.in_use", 0, Backing::File, in_use),
      MESH_PLACE("file.held", 0, Backing::File, held),

      MESH_CONSTANT("page.bytes", kPageSize),
      MESH_CONSTANT("request.max_period_ms", kMaxPeriodMs),
      MESH_CONSTANT("request.compact", WindowCommand::kCompact),
      MESH_CONSTANT("request.scavenge", WindowCommand::kScavenge),
      MESH_CONSTANT("request.period", WindowCommand::kSetPeriod),
  };

#undef MESH_PLACE
#undef MESH_CONSTANT

  static constexpr uint32_t kFieldCount = sizeof(kFields) / sizeof(kFields[0]);
  static constexpr const void* Ready() { return &Runtime::ready_; }
  static constexpr const void* RuntimePlace() { return Runtime::storage_; }
  static constexpr const void* Segments() { return &PageMap::segments_; }
};

namespace {

constinit WindowRequest request;

}  // namespace

// Reached through the note alone, also in a program that is stripped or linked statically.
extern "C" constinit const WindowHead kMeshWindow = {
    {'M', 'E', 'S', 'H', 'W', 'I', 'N', '\0'},
    kWindowVersion,
    WindowLayout::kFieldCount,
    WindowLayout::Ready(),
    WindowLayout::RuntimePlace(),
    WindowLayout::Segments(),
    &kSizeClasses,
    &request,
    WindowLayout::kFields,
};

static_assert(kWindowNoteType == 1);
asm(".pushsection .note.mesh, \"a\", %note\n"
    ".balign 4\n"
    ".long 5, 8, 1\n"  // bytes of the name, of the description, type
    ".asciz \"Mesh\"\n"
    ".balign 4\n"
    "0: .quad kMeshWindow - 0b\n"
    ".popsection\n");

void Runtime::ServeRequest() {
  // order: acquire; pairs with the store from outside, which comes after command and value.
  uint32_t asked = request.asked.load(std::memory_order_acquire);
  // order: relaxed; only one thread gets past the exchange.
  uint32_t before = request.begun.load(std::memory_order_relaxed);
  if (MESH_LIKELY(asked == before) || !is_own_process()) return;
  // order: relaxed; as above.
  if (!request.begun.compare_exchange_strong(before, asked, std::memory_order_relaxed)) return;
  request.result = 0;
  switch (static_cast<WindowCommand>(request.command)) {
    case WindowCommand::kNone:
      break;
    case WindowCommand::kCompact:
      request.result = Compact();
      break;
    case WindowCommand::kScavenge:
      request.result = global_.Scavenge();
      break;
    case WindowCommand::kSetPeriod:
      if (request.value <= static_cast<uint64_t>(kMaxPeriodMs)) set_period_ms(request.value);
      break;
  }
  // order: release; for the reader outside, which looks at the result when it sees the number.
  request.served.store(asked, std::memory_order_release);
}

}  // namespace mesh
