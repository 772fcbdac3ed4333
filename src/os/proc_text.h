// Reading numbers out of the text of /proc files.
//
// Room: os; apart from process.cc so that the parsing is tested by itself. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "src/os/result.h"

namespace mesh::os {

// The first decimal number in `text` after blanks. EINVAL when there is none.
Result<uint64_t> ParseNumber(std::string_view text);

// The number behind `key` (such as "Rss:") at the start of a line. ENOENT when no line has it.
Result<uint64_t> FindNumber(std::string_view text, std::string_view key);

// The hexadecimal number behind `key`, likewise.
Result<uint64_t> FindHexNumber(std::string_view text, std::string_view key);

// Field `number` (1-based, proc(5)) of /proc/PID/stat; 3 and up, as the command's name in field 2
// may hold blanks and brackets.
Result<uint64_t> StatField(std::string_view stat, int number);

}  // namespace mesh::os
