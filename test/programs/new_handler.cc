// operator new that cannot be served calls the new_handler again and again until the handler gives
// up by throwing or by removing itself; nothrow forms turn the exception into nullptr.
#include <new>

#include "test/programs/check.h"

namespace {

int calls = 0;
constexpr size_t kTooMuch = size_t{1} << 62;
constexpr std::align_val_t kAlignment{64};

void RemoveAtThird() {
  if (++calls % 3 == 0) std::set_new_handler(nullptr);
}

void Throw() {
  ++calls;
  throw std::bad_alloc();
}

template <typename Allocate>
bool Throws(Allocate allocate) {
  try {
    (void)Opaque(allocate());
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  const size_t size = Hidden(kTooMuch);
  REQUIRE(Throws([=] { return ::operator new(size); }));
  REQUIRE(Throws([=] { return ::operator new[](size); }));
  REQUIRE(Throws([=] { return ::operator new(size, kAlignment); }));
  REQUIRE(Throws([=] { return ::operator new[](size, kAlignment); }));
  REQUIRE(::operator new(size, std::nothrow) == nullptr);
  REQUIRE(::operator new[](size, kAlignment, std::nothrow) == nullptr);
  std::set_new_handler(RemoveAtThird);
  REQUIRE(Throws([=] { return ::operator new(size); }) && calls == 3);
  std::set_new_handler(RemoveAtThird);
  REQUIRE(::operator new(size, std::nothrow) == nullptr&& calls == 6);
  std::set_new_handler(Throw);
  REQUIRE(Throws([=] { return ::operator new(size); }) && calls == 7);
  REQUIRE(::operator new[](size, std::nothrow) == nullptr&& calls == 8);
  REQUIRE(std::get_new_handler() == Throw);
  return 0;
}
