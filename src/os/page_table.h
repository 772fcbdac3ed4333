// PageTable: which pages of a private file mapping this process has stored to.
//
// Room: os. Source: proc(5), /proc/pid/pagemap; the flags are readable without privileges.
// Thread rule: one thread per object. Allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "src/os/descriptor_gate.h"
#include "src/os/result.h"

namespace mesh::os {

class PageTable {
 public:
  PageTable() = default;
  ~PageTable();
  PageTable(const PageTable&) = delete;
  PageTable& operator=(const PageTable&) = delete;

  // Errors: those of open(2): no /proc.
  Status Open();

  // Pages of the range that are this mapping's own copies, in memory or swapped out: stored to
  // since it was mapped. `length` is at most kMaxLength bytes.
  Result<size_t> CopiedPages(uintptr_t address, size_t length) const;

  static constexpr size_t kMaxLength = size_t{64} << 12;

 private:
  OpeningScope scope_;
  int descriptor_ = -1;
};

}  // namespace mesh::os
