// See test_heap.h.
#include "test/global/test_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "src/global/size_class_batch.h"

namespace mesh {
namespace {

// Small, so that hundreds of heaps fit one test program.
constexpr size_t kSegmentSize = 64 * kMiB;

// All that surveys of the class note, of 1000 spans at most.
std::vector<Candidate> SurveyAll(SizeClassHeap& heap, bool each) {
  std::vector<Candidate> found(1000);
  size_t count = 0;
  SpanId cursor = kNoSpan;
  do {
    count += heap.Survey(&cursor, each, std::span(found).subspan(count));
  } while (cursor != kNoSpan);
  found.resize(count);
  return found;
}

uint64_t PatternWord(const char* object, uint32_t stamp, size_t index) {
  uint64_t z = (reinterpret_cast<uintptr_t>(object) << 20) ^ (uint64_t{stamp} << 8) ^ index;
  z = (z ^ (z >> 33)) * 0xff51afd7ed558ccdu;
  return z ^ (z >> 29);
}

}  // namespace

MiniHeap* SpanOf(const char* object) {
  uintptr_t address = reinterpret_cast<uintptr_t>(object);
  return MiniHeap::Of(PageMap::SpanOf(address, PageMap::Find(address)));
}

TestHeap::TestHeap(BarrierTier tier, bool private_views) : global_(std::make_unique<GlobalHeap>()) {
  global_->backing().set_private_views(private_views);
  global_->arena().set_segment_size(kSegmentSize);
  // This tier works only for a program that publishes what it lends to the kernel: nothing, here.
  if (tier == BarrierTier::kSegv) {
    EXPECT_TRUE(global_->barrier().buffers().UseMembarrier());
    global_->barrier().buffers().Enable();
  }
  global_->barrier().Init(tier);
  mesher_ = std::make_unique<Mesher>(global_->backing(), global_->barrier(), global_->budget());
}

TestHeap::~TestHeap() {
  SegvHandler& handler = global_->barrier().segv_handler();
  if (handler.is_installed()) handler.Uninstall();
}

void TestHeap::Write(char* object, const Object& contents) {
  auto* words = reinterpret_cast<uint64_t*>(object);
  size_t count = kSizeClasses[contents.size_class].size / sizeof(uint64_t);
  for (size_t i = 0; i < count; i++) words[i] = PatternWord(object, contents.stamp, i);
}

bool TestHeap::Reads(const char* object, const Object& contents) const {
  auto* words = reinterpret_cast<const uint64_t*>(object);
  size_t count = kSizeClasses[contents.size_class].size / sizeof(uint64_t);
  for (size_t i = 0; i < count; i++) {
    if (words[i] != PatternWord(object, contents.stamp, i)) return false;
  }
  return true;
}

char* TestHeap::Allocate(SizeClass size_class) {
  void* slot = nullptr;
  if (heap_of(size_class)
          .Refill(kOwner, &attached_[size_class], random_, SlotOrder::kShuffled, &slot, 1, 1) ==
      0) {
    return nullptr;
  }
  auto* object = static_cast<char*>(slot);
  auto [place, is_new] = objects_.insert({object, {size_class, next_stamp_++}});
  EXPECT_TRUE(is_new) << "a slot in use was handed out again";
  Write(object, place->second);
  return object;
}

std::vector<SpanObjects> TestHeap::MakeFull(SizeClass size_class, size_t count) {
  std::vector<SpanObjects> spans;
  while (spans.size() < count) {
    char* first = Allocate(size_class);
    if (first == nullptr) break;
    MiniHeap* span = SpanOf(first);
    SpanObjects objects(span->slots());
    for (char* object = first; object != nullptr;) {
      EXPECT_EQ(SpanOf(object), span);
      size_t offset = reinterpret_cast<uintptr_t>(object) - span->address();
      objects[span->SlotAt(offset)] = object;
      object = span->is_full() ? nullptr : Allocate(size_class);
    }
    spans.push_back(std::move(objects));
  }
  return spans;
}

void TestHeap::FreeAtOnce(std::span<char* const> objects) {
  std::vector<void*> pointers;
  SizeClass size_class = kNoClass;
  for (char* object : objects) {
    auto found = objects_.find(object);
    ASSERT_NE(found, objects_.end());
    EXPECT_TRUE(Reads(object, found->second)) << static_cast<void*>(object);
    size_class = found->second.size_class;
    pointers.push_back(object);
    objects_.erase(found);
  }
  heap_of(size_class).Release(pointers.data(), static_cast<uint32_t>(pointers.size()), [] {});
}

void TestHeap::FreeAll() {
  while (!objects_.empty()) Free(objects_.begin()->first);
  for (SizeClass c = 1; c < kClassCount; c++) {
    heap_of(c).Detach(kOwner, attached_[c]);
    attached_[c] = kNoSpan;
  }
}

void TestHeap::Rewrite(char* object) {
  Object& contents = objects_.at(object);
  contents.stamp = next_stamp_++;
  Write(object, contents);
}

void TestHeap::RewriteAll() {
  for (auto& [object, contents] : objects_) {
    contents.stamp = next_stamp_++;
    Write(object, contents);
  }
}

MeshResult TestHeap::MeshInGroupsOf(size_t size, SizeClass size_class) {
  global_->budget().Refresh();
  SizeClassHeap& heap = heap_of(size_class);
  const std::vector<Candidate> found = SurveyAll(heap, false);
  uint32_t units = 0;
  for (const Candidate& span : found) units = std::max<uint32_t>(units, span.units);
  std::vector<SpanId> spans;
  for (const Candidate& span : found) {
    if (span.units == units) spans.push_back(span.id);
  }
  return heap.MeshBatch(*mesher_, [&](Gathered* gathered) {
    for (size_t first = 0; first < spans.size();) {
      size_t taken = std::min(size, spans.size() - first);
      std::span<MiniHeap*> leaders =
          heap.GatherLocked(std::span(spans).subspan(first, taken), units, UINT32_MAX, gathered);
      if (leaders.size() > 1) static_cast<void>(mesher_->Add(leaders));
      first += taken;
    }
  });
}

void TestHeap::MakeAnew(size_t groups, SizeClass size_class) {
  global_->budget().Refresh();
  SizeClassHeap& heap = heap_of(size_class);
  const std::vector<Candidate> found = SurveyAll(heap, true);
  for (size_t first = 0; first < found.size(); first += groups) {
    heap.MeshBatch(*mesher_, [&](Gathered* gathered) {
      for (size_t i = first; i < std::min(first + groups, found.size()); i++) {
        const SpanId to = first == 0 ? kNoSpan : found[i - first].id;
        const GatheredSpan span =
            heap.GatherOneLocked(found[i].id, to, found[i].units, UINT32_MAX, gathered);
        if (span.span != nullptr) static_cast<void>(mesher_->AddOne(span.span, span.target));
      }
    });
  }
}

size_t TestHeap::Compact() {
  PassLimits limits;
  limits.looks_per_class = 1 << 20;
  limits.every_class = true;
  return global_->compactor().Run(limits, true).freed;
}

void TestHeap::CheckContents() const {
  for (const auto& [object, contents] : objects_) {
    ASSERT_TRUE(Reads(object, contents)) << static_cast<const void*>(object);
  }
}

void TestHeap::CheckInvariants() {
  global_->arena().CheckInvariants();
  size_t shown_pages = 0;    // whose backing is in use
  size_t retired_pages = 0;  // or given up, with a fork or a descriptor
  std::set<BackingPage> backing_pages;
  uint64_t members[kClassCount] = {};
  uint64_t in_use[kClassCount] = {};
  global_->arena().ForEachSpan([&](SpanId id) {
    MiniHeap* span = MiniHeap::Of(id);
    const SizeClass size_class = span->size_class();
    if (!span->is_leader()) {
      members[size_class]++;
      return;
    }
    span->CheckInvariants();
    in_use[size_class] += span->in_use();
    if (!span->is_backed()) return;
    bool is_shown = global_->backing().CanShow(span->backing());
    (is_shown ? shown_pages : retired_pages) += span->pages();
    EXPECT_TRUE(backing_pages.insert(span->backing()).second) << "two groups share memory";
  });
  EXPECT_GE(global_->backing().bytes_in_use(), shown_pages * kPageSize);
  EXPECT_LE(global_->backing().bytes_in_use(), (shown_pages + retired_pages) * kPageSize);
  size_t objects = 0;
  for (SizeClass c = 1; c < kClassCount; c++) {
    heap_of(c).CheckInvariants();
    SizeClassStatistics statistics = heap_of(c).statistics();
    EXPECT_EQ(statistics.meshed, members[c]) << "class " << int{c};
    EXPECT_EQ(statistics.in_use, in_use[c]) << "class " << int{c};
    objects += in_use[c];
  }
  EXPECT_EQ(objects, objects_.size());
}

}  // namespace mesh
