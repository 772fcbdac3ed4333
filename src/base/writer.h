// LineWriter: text put together without allocating, for messages and reports of the allocator.
//
// A fixed buffer; what does not fit is cut off, and truncated() tells. No locale, no stdio.
// Room: base. Thread rule: one thread per writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mesh {

class LineWriter {
 public:
  static constexpr size_t kCapacity = 512;  // bytes; longer than any line that we print

  LineWriter& Text(std::string_view text);
  LineWriter& Decimal(uint64_t value);
  LineWriter& Signed(int64_t value);
  LineWriter& Hex(uint64_t value);  // with "0x"
  // value / divisor with `digits` decimals, rounded half up; digits <= 6, divisor > 0.
  LineWriter& Fixed(uint64_t value, uint64_t divisor, int digits);
  // Pads with blanks until the line is `column` characters long.
  LineWriter& PadTo(size_t column);

  std::string_view view() const { return {buffer_, size_}; }
  bool truncated() const { return truncated_; }
  void Clear() {
    size_ = 0;
    truncated_ = false;
  }
  // Writes the text to a descriptor, in as many write(2) as it takes, and clears it. A descriptor
  // that refuses loses the text: there is nobody to tell. Keeps errno.
  void FlushTo(int descriptor);

 private:
  char buffer_[kCapacity];
  size_t size_ = 0;
  bool truncated_ = false;
};

}  // namespace mesh
