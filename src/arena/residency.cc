// See residency.h.
#include "src/arena/residency.h"

#include <cstring>

#include "src/base/units.h"
#include "src/os/memory.h"
#include "src/os/probe.h"

namespace mesh {
namespace {

// Where MayBeThere() looks.
constexpr size_t kSampledPages = 4;
// Pages that are asked for at once: half a kilobyte of stack.
constexpr size_t kAskedPages = 512;
// Memory among them is cleared by itself where it lies in few pieces and makes little of the whole:
// each piece costs a system call for the gap behind it, as much as a fault; and what is kept is
// kept by programs that have no use for it, too.
constexpr size_t kMostPieces = 3;
constexpr size_t kLittle = 4;  // a quarter
constexpr size_t kMostly = 2;  // a half: that much is worth writing zeros over all

// Where Estimate() looks: at rows of pages, as programs that use one in so many do so at even
// steps.
constexpr size_t kWindows = 8;
constexpr size_t kWindowPagesAsked = 16;
// Below this the calls would cost more than the pages are worth: 4 MiB.
constexpr size_t kPagesToAsk = 1024;

void WriteZeros(uintptr_t address, size_t pages) {
  memset(reinterpret_cast<void*>(address), 0, pages << kPageShift);
}

void Drop(uintptr_t address, size_t pages) {
  if (!os::ReleasePages(address, pages << kPageShift).ok()) WriteZeros(address, pages);
}

// Whether there seems to be memory behind most of the run: a dirty run was used, but a table of
// which little was written has little. Reads alone: what is not there stays so.
bool MayBeThere(uintptr_t address, size_t pages) {
  size_t found = 0;
  for (size_t i = 0; i < kSampledPages; i++) {
    const size_t page = pages * (2 * i + 1) / (2 * kSampledPages);
    const auto* words = reinterpret_cast<const uint64_t*>(address + (page << kPageShift));
    uint64_t any = 0;
    for (size_t w = 0; w < 64 / sizeof(uint64_t); w++) any |= words[w];
    found += any != 0;
  }
  return found >= kSampledPages / 2;
}

void ClearWhole(uintptr_t address, size_t pages, bool is_there) {
  if (is_there) {
    WriteZeros(address, pages);
  } else {
    Drop(address, pages);
  }
}

// Calls visit(first, length, is_there) for each row of pages that are all there, or none.
template <typename Visit>
void ForEachPiece(const unsigned char* residency, size_t pages, Visit visit) {
  for (size_t first = 0; first < pages;) {
    const bool is_there = (residency[first] & 1) != 0;
    size_t next = first + 1;
    while (next < pages && ((residency[next] & 1) != 0) == is_there) next++;
    visit(first, next - first, is_there);
    first = next;
  }
}

bool IsZero(uintptr_t page) {
  const auto* words = reinterpret_cast<const uint64_t*>(page);
  constexpr size_t kWords = 64 / sizeof(uint64_t);
  for (size_t line = 0; line < kPageSize / 64; line++, words += kWords) {
    uint64_t any = 0;
    for (size_t w = 0; w < kWords; w++) any |= words[w];
    if (any != 0) return false;
  }
  return true;
}

// Of pages that are there. Where a program has only read, the kernel's one page of zeros is, and a
// write would put memory in its place.
void ClearPages(uintptr_t address, size_t pages) {
  for (size_t i = 0; i < pages; i++, address += kPageSize) {
    if (!IsZero(address)) WriteZeros(address, 1);
  }
}

void ClearPieces(uintptr_t address, size_t pages, const unsigned char* residency) {
  size_t found = 0;
  size_t pieces = 0;
  ForEachPiece(residency, pages, [&](size_t, size_t length, bool is_there) {
    found += is_there ? length : 0;
    pieces += is_there;
  });
  const bool is_mostly_there = found >= pages / kMostly;
  if (!is_mostly_there && (found >= pages / kLittle || pieces > kMostPieces)) {
    return Drop(address, pages);
  }
  ForEachPiece(residency, pages, [&](size_t first, size_t length, bool is_there) {
    const uintptr_t piece = address + (first << kPageShift);
    if (is_there) {
      ClearPages(piece, length);
    } else {
      Drop(piece, length);
    }
  });
}

}  // namespace

bool Residency::MayAsk() {
  // order: relaxed; a switch, publishes nothing.
  Answer answer = may_ask_.load(std::memory_order_relaxed);
  if (answer == Answer::kUnknown) {
    const Answer found = os::MayAskResidency() ? Answer::kYes : Answer::kNo;
    may_ask_.compare_exchange_strong(answer, found, std::memory_order_relaxed);
    answer = may_ask_.load(std::memory_order_relaxed);
  }
  return answer == Answer::kYes;
}

void Residency::Clear(uintptr_t address, size_t pages) {
  if (!MayAsk()) return ClearWhole(address, pages, MayBeThere(address, pages));
  while (pages > 0) {
    unsigned char residency[kAskedPages];
    const size_t asked = pages < kAskedPages ? pages : kAskedPages;
    if (os::Residency(address, asked << kPageShift, residency).ok()) {
      ClearPieces(address, asked, residency);
    } else {
      ClearWhole(address, asked, MayBeThere(address, asked));
    }
    address += asked << kPageShift;
    pages -= asked;
  }
}

size_t Residency::Estimate(uintptr_t address, size_t pages) {
  if (pages < kPagesToAsk || !MayAsk()) return pages;
  size_t found = 0;
  for (size_t i = 0; i < kWindows; i++) {
    const size_t first = (pages - kWindowPagesAsked) * i / (kWindows - 1);
    unsigned char there[kWindowPagesAsked];
    const uintptr_t window = address + (first << kPageShift);
    if (!os::Residency(window, sizeof(there) << kPageShift, there).ok()) return pages;
    for (unsigned char page : there) found += page & 1;
  }
  return pages * found / (kWindows * kWindowPagesAsked);
}

}  // namespace mesh
