// See writer.h.
#include "src/base/writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mesh {

LineWriter& LineWriter::Text(std::string_view text) {
  size_t room = kCapacity - size_;
  if (text.size() > room) {
    truncated_ = true;
    text = {text.data(), room};
  }
  memcpy(buffer_ + size_, text.data(), text.size());
  size_ += text.size();
  return *this;
}

LineWriter& LineWriter::Decimal(uint64_t value) {
  char digits[20];
  size_t at = sizeof(digits);
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return Text({digits + at, sizeof(digits) - at});
}

LineWriter& LineWriter::Signed(int64_t value) {
  if (value >= 0) return Decimal(static_cast<uint64_t>(value));
  Text("-");
  return Decimal(~static_cast<uint64_t>(value) + 1);
}

LineWriter& LineWriter::Hex(uint64_t value) {
  char digits[16];
  size_t at = sizeof(digits);
  do {
    digits[--at] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  return Text("0x").Text({digits + at, sizeof(digits) - at});
}

LineWriter& LineWriter::Fixed(uint64_t value, uint64_t divisor, int digits) {
  uint64_t scale = 1;
  for (int i = 0; i < digits; i++) scale *= 10;
  uint64_t whole = value / divisor;
  uint64_t fraction = ((value % divisor) * scale + divisor / 2) / divisor;
  if (fraction == scale) {
    whole++;
    fraction = 0;
  }
  Decimal(whole);
  if (digits == 0) return *this;
  Text(".");
  for (uint64_t place = scale / 10; place > 0; place /= 10) {
    char digit = static_cast<char>('0' + fraction / place % 10);
    Text({&digit, 1});
  }
  return *this;
}

LineWriter& LineWriter::PadTo(size_t column) {
  while (size_ < column && !truncated_) Text(" ");
  return *this;
}

void LineWriter::FlushTo(int descriptor) {
  int saved = errno;
  size_t done = 0;
  while (done < size_) {
    ssize_t n = write(descriptor, buffer_ + done, size_ - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  Clear();
  errno = saved;
}

}  // namespace mesh
