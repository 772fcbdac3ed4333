// SizeClassHeap, the half for classes that are never meshed: pages in free slots go back.
//
// A page goes that no object lies on, once: the record says which have no memory ([MH7]).
#include <bit>

#include "src/global/size_class_batch.h"
#include "src/os/memory.h"
#include "src/secure/policy.h"

namespace mesh {
namespace {

// Pages that one Trim() returns, more or less: 100 us or so.
constexpr PageCount kTrimmedPages = 256;
// So much may lie in free slots of a class, beside a busy program and an idle one: a walk looks at
// the entries of all pages of the heap.
constexpr size_t kUntrimmedBusy = kMiB;
constexpr size_t kUntrimmedIdle = 32 * kKiB;

}  // namespace

// Where free slots hold canaries, these are looked at again.
bool SizeClassHeap::MayTrim() const {
  const SizeClassInfo& info = kSizeClasses[size_class_];
  return !info.meshable && info.unit_pages > 1 && !secure_policy.has_canaries;
}

// Bytes of spans beside objects.
size_t SizeClassHeap::FreeBytesLocked() const {
  return (pages_ << kPageShift) - in_use_ * kSizeClasses[size_class_].size;
}

bool SizeClassHeap::IsWorthTrimming(bool keeps_recent) {
  if (!MayTrim()) return false;
  MutexLock lock(lock_);
  NoteUsedLocked();
  return FreeBytesLocked() - settled_bytes_ >= (keeps_recent ? kUntrimmedBusy : kUntrimmedIdle);
}

void SizeClassHeap::BeginTrim() {
  MutexLock lock(lock_);
  walked_bytes_ = FreeBytesLocked();
}

// Slots were taken, or spans have gone: as much of what was settled may have memory again.
void SizeClassHeap::NoteUsedLocked() {
  const size_t free = FreeBytesLocked();
  if (free < settled_bytes_) settled_bytes_ = free;
  if (free < walked_bytes_) walked_bytes_ = free;
}

void SizeClassHeap::NoteTrimmed() {
  MutexLock lock(lock_);
  NoteUsedLocked();
  settled_bytes_ = walked_bytes_;
}

SizeClassHeap::Trimmed SizeClassHeap::TrimSpanLocked(MiniHeap* span, bool keeps_recent) {
  static_assert(kMaxUnmeshedPages <= MiniHeap::kMostPages);
  const uint32_t all = (1u << span->pages()) - 1;
  const uint32_t idle = all & ~span->PagesOf(span->occupancy());
  uint32_t absent = span->absent_pages();
  uint32_t due = idle & ~absent;
  Trimmed result;
  result.has_kept = keeps_recent && (due & ~span->idle_pages()) != 0;
  if (keeps_recent) due &= span->idle_pages();
  while (due != 0) {
    const int first = std::countr_zero(due);
    const int length = std::countr_one(due >> first);
    const size_t bytes = size_t(length) << kPageShift;
    const uint32_t run = ((1u << length) - 1) << first;
    if (os::ReleasePages(span->address() + (size_t(first) << kPageShift), bytes).ok()) {
      result.bytes += bytes;
      absent |= run;
    }
    due &= ~run;
  }
  span->NotePages(absent, idle);
  return result;
}

SizeClassHeap::Trimmed SizeClassHeap::Trim(SpanId* cursor, bool keeps_recent) {
  PageCount pages = kSurveyedPages;
  Trimmed result;
  BatchLock lock(*this);
  for (uint32_t looked = 0; looked < kSurveyedSpans; looked++) {
    if (result.bytes >= size_t{kTrimmedPages} << kPageShift) break;
    if (!NextSpanLocked(WalkOf::kSurvey, cursor, &pages)) break;
    MiniHeap* span = MiniHeap::Of(*cursor);
    if (span->is_full() || span->in_use() == 0) continue;
    Trimmed trimmed = TrimSpanLocked(span, keeps_recent);
    result.bytes += trimmed.bytes;
    result.has_kept |= trimmed.has_kept;
  }
  return result;
}

size_t SizeClassHeap::ReleaseFreeSlots() {
  if (!MayTrim()) return 0;
  BeginTrim();
  size_t released = 0;
  SpanId cursor = kNoSpan;
  do {
    released += Trim(&cursor, false).bytes;
  } while (cursor != kNoSpan);
  NoteTrimmed();
  return released;
}

}  // namespace mesh
