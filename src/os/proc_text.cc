// See proc_text.h.
#include "src/os/proc_text.h"

#include <errno.h>

namespace mesh::os {

namespace {

// Value of a digit, or 16.
unsigned DigitValue(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  return 16;
}

Result<uint64_t> ParseInBase(std::string_view text, unsigned base) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  if (text.empty() || DigitValue(text.front()) >= base) return {0, EINVAL};
  uint64_t value = 0;
  for (; !text.empty() && DigitValue(text.front()) < base; text.remove_prefix(1)) {
    value = value * base + DigitValue(text.front());
  }
  return {value, 0};
}

Result<uint64_t> FindInBase(std::string_view text, std::string_view key, unsigned base) {
  while (!text.empty()) {
    if (text.starts_with(key)) {
      text.remove_prefix(key.size());
      return ParseInBase(text, base);
    }
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {0, ENOENT};
}

}  // namespace

Result<uint64_t> ParseNumber(std::string_view text) { return ParseInBase(text, 10); }

Result<uint64_t> FindNumber(std::string_view text, std::string_view key) {
  return FindInBase(text, key, 10);
}

Result<uint64_t> FindHexNumber(std::string_view text, std::string_view key) {
  return FindInBase(text, key, 16);
}

Result<uint64_t> StatField(std::string_view stat, int number) {
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return {0, EINVAL};
  stat.remove_prefix(name_end + 1);
  for (int field = 2; field < number; field++) {
    const size_t blank = stat.find(' ');
    if (blank == std::string_view::npos) return {0, EINVAL};
    stat.remove_prefix(blank + 1);
  }
  return ParseNumber(stat);
}

}  // namespace mesh::os
