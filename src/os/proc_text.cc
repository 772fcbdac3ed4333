// See proc_text.h.
#include "src/os/proc_text.h"

#include <errno.h>

namespace mesh::os {

Result<uint64_t> ParseNumber(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) at++;
  if (at == text.size() || text[at] < '0' || text[at] > '9') return {0, EINVAL};
  uint64_t value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; at++) {
    value = value * 10 + static_cast<uint64_t>(text[at] - '0');
  }
  return {value, 0};
}

Result<uint64_t> FindNumber(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    if (text.starts_with(key)) {
      text.remove_prefix(key.size());
      return ParseNumber(text);
    }
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {0, ENOENT};
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
