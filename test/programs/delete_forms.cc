// Every C++17 form of operator new with every form of operator delete that may free it.
#include <new>

#include "test/programs/check.h"

namespace {

constexpr size_t kSizes[] = {0, 1, 16, 80, 1000, 5000, 100000, 3000000};
constexpr std::align_val_t kAlignments[] = {std::align_val_t{8}, std::align_val_t{64},
                                            std::align_val_t{4096}};

void* Filled(void* object, size_t size, size_t alignment = 16) {
  REQUIRE(object != nullptr && reinterpret_cast<uintptr_t>(object) % alignment == 0);
  memset(object, 1, size);
  return object;
}

void Plain(size_t size) {
  ::operator delete(Filled(::operator new(size), size));
  ::operator delete(Filled(::operator new(size), size), size);
  ::operator delete(Filled(::operator new(size, std::nothrow), size), std::nothrow);
  ::operator delete[](Filled(::operator new[](size), size));
  ::operator delete[](Filled(::operator new[](size), size), size);
  ::operator delete[](Filled(::operator new[](size, std::nothrow), size), std::nothrow);
}

void Aligned(size_t size, std::align_val_t form) {
  const size_t alignment = static_cast<size_t>(form);
  auto filled = [=](void* object) { return Filled(object, size, alignment); };
  ::operator delete(filled(::operator new(size, form)), form);
  ::operator delete(filled(::operator new(size, form)), size, form);
  ::operator delete(filled(::operator new(size, form, std::nothrow)), form, std::nothrow);
  ::operator delete[](filled(::operator new[](size, form)), form);
  ::operator delete[](filled(::operator new[](size, form)), size, form);
  ::operator delete[](filled(::operator new[](size, form, std::nothrow)), form, std::nothrow);
}

}  // namespace

int main() {
  for (size_t size : kSizes) {
    for (int round = 0; round < 50; ++round) Plain(size);
    for (std::align_val_t form : kAlignments) {
      for (int round = 0; round < 50; ++round) Aligned(size, form);
    }
  }
  ::operator delete(nullptr);
  ::operator delete[](nullptr, std::nothrow);
  ::operator delete (nullptr, size_t{64}, std::align_val_t{64});
  return 0;
}
