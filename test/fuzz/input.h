// FuzzInput: numbers and texts out of a fuzzer's bytes; zeros once they are used up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mesh {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }

  uint8_t Byte() {
    if (size_ == 0) return 0;
    size_--;
    return *data_++;
  }

  // A number in [0, bound), from as many bytes as the bound needs.
  uint32_t Below(uint32_t bound) {
    uint64_t number = 0;
    for (uint64_t reach = 1; reach < bound; reach <<= 8) number = number << 8 | Byte();
    return static_cast<uint32_t>(number % bound);
  }

  // The bytes up to the next one that is `end`, which is dropped.
  std::string_view Until(char end) {
    std::string_view rest(reinterpret_cast<const char*>(data_), size_);
    size_t length = rest.find(end);
    std::string_view text = rest.substr(0, length);
    size_t used = length == std::string_view::npos ? size_ : length + 1;
    data_ += used;
    size_ -= used;
    return text;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace mesh
