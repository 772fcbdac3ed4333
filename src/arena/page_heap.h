// PageHeap: free runs of pages, dirty or clean, of the segments of one kind.
//
//   segment   | span | dirty run | span | clean run ........... | not committed ... |
//                     head   tail         each run's first and last record is a FreeRun
//
// A dirty run has (or may have) memory behind it, a clean one has none and reads zeros. The two
// never coalesce with each other: Purge() gives the memory of dirty runs back and makes them clean.
// Room: arena. Locks: all of it is under the arena's lock.
//
// [PH1] A committed page whose entry is empty belongs to exactly one free run, but for spans that
//       wait between their guards (arena_guards.cc).
// [PH2] Two free runs of the same state are never neighbours.
// [PH3] dirty_pages is what is `there` of all dirty runs.
// [PH4] least_dirty_pages is the least that dirty_pages was after a call since StartPeriod().
#pragma once

#include <cstdint>

#include "src/arena/page_map.h"
#include "src/base/units.h"

namespace mesh {

// The record of a free run's first and last page. It is packed, so that nobody writes the last
// three bytes of a record: who still has the id of a span that has ended looks there, without a
// lock, and has to find what its end left (MiniHeap::owner).
struct __attribute__((packed)) FreeRun {
  static constexpr int kCountBits = kWindowPageShift + 1;
  static constexpr int kLowBits = 31 - kCountBits;

  SpanId next;
  SpanId previous;
  uint32_t pages : kCountBits;
  uint32_t dirty : 1;
  uint32_t there_low : kLowBits;
  uint8_t there_high;

  // While dirty: about so many have memory, at least one.
  PageCount there() const { return PageCount{there_high} << kLowBits | there_low; }
  void SetThere(PageCount count) {
    there_low = count & ((1u << kLowBits) - 1);
    there_high = static_cast<uint8_t>(count >> kLowBits);
  }
};
static_assert(sizeof(FreeRun) == sizeof(SpanRecord) - 3);

class PageHeap {
 public:
  constexpr PageHeap() = default;

  // Takes `pages` pages at a multiple of `alignment_pages` (a power of two), dirty ones first.
  // Sets *clean when they read zeros. kNoSpan when no run is long enough.
  SpanId Take(PageCount pages, PageCount alignment_pages, bool* clean);

  // Takes `*pages` pages, or the longest dirty run that has `least`: *pages becomes its length.
  // kNoSpan when there is neither.
  SpanId TakeDirty(PageCount least, PageCount* pages);

  // Free pages at and behind `id`, up to `limit` or the end of what is committed.
  PageCount FreePagesAt(SpanId id, PageCount limit) const;
  // Takes exactly `pages` pages at `id`, all of them free, of one run or of neighbours.
  void TakeAt(SpanId id, PageCount pages);

  // Gives pages (back). Their entries are empty. `there`: how many have memory, where not all do.
  void Give(SpanId id, PageCount pages, bool dirty, PageCount there = UINT32_MAX);

  // Returns memory to the system, longest runs first, until at most `keep` dirty pages are left, or
  // `most` pages were returned, whether or not they had memory.
  // Returns: pages returned. A refusal of the kernel ends it early; nothing is lost.
  PageCount Purge(PageCount keep, PageCount most);

  PageCount dirty_pages() const { return dirty_pages_; }
  // So many were not needed since then: what was there and was taken counts, whichever it was.
  void StartPeriod() { least_dirty_pages_ = dirty_pages_; }
  PageCount least_dirty_pages() const { return least_dirty_pages_; }
  PageCount clean_pages() const { return clean_pages_; }

  // Walks all runs; ends the program when [PH1] to [PH4] do not hold. For tests and debug builds.
  void CheckInvariants() const;

 private:
  friend struct WindowLayout;  // tells other processes where the figures lie
  // Runs of 1 to 64 pages have a bin each, longer ones a bin for each doubling.
  static constexpr int kExactBins = 64;
  static constexpr int kBins = kExactBins + 26;
  // Runs of one length that are tried for one that lies as an alignment wants it.
  static constexpr int kLooksAtOneLength = 16;

  struct Bins {
    SpanId heads[kBins] = {};
    uint64_t occupied[2] = {};  // bit set: the bin is not empty
  };

  static int BinOf(PageCount pages);
  Bins& BinsOf(bool dirty) { return dirty ? dirty_ : clean_; }
  void NoteTaken() {
    if (dirty_pages_ < least_dirty_pages_) least_dirty_pages_ = dirty_pages_;
  }
  void Insert(SpanId id, PageCount pages, bool dirty, PageCount there);
  // Inserts a part of a run that was removed.
  void InsertPart(const FreeRun& run, SpanId id, PageCount pages);
  void Remove(SpanId id);
  static bool Fits(SpanId id, PageCount pages, PageCount alignment_pages);
  SpanId FindRun(const Bins& bins, PageCount pages, PageCount alignment_pages) const;
  static int NextOccupied(const Bins& bins, int from);
  void CheckBins(const Bins& bins, bool dirty) const;

  Bins dirty_;
  Bins clean_;
  PageCount dirty_pages_ = 0;
  PageCount least_dirty_pages_ = 0;
  PageCount clean_pages_ = 0;
};

}  // namespace mesh
