// mallctl with any key, any room for the old value and any new value. The buffers are as long as
// they are said to be, so that a sanitizer sees each byte too many.
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "src/base/check.h"
#include "src/control/mallctl.h"
#include "test/control/sample.h"
#include "test/fuzz/input.h"

namespace mesh {
namespace {

struct Fake {
  uint64_t period_ms = 100;
  int calls = 0;
};

Fake* FakeOf(void* context) { return static_cast<Fake*>(context); }

ControlTarget TargetOf(Fake* fake, const Options* options) {
  ControlTarget target = {};
  target.context = fake;
  target.options = options;
  target.compact = [](void* context) -> size_t { return ++FakeOf(context)->calls; };
  target.scavenge = [](void* context) -> size_t { return ++FakeOf(context)->calls; };
  target.collect = [](void*, Statistics* out) { *out = SampleStatistics(); };
  target.period_ms = [](void* context) { return FakeOf(context)->period_ms; };
  target.set_period_ms = [](void* context, uint64_t period_ms) {
    MESH_CHECK(period_ms <= kMaxPeriodMs);
    FakeOf(context)->period_ms = period_ms;
  };
  return target;
}

void Call(const ControlTarget& target, FuzzInput& input) {
  std::string key(input.Until('\n'));
  size_t room = input.Below(300);
  size_t new_length = input.Below(20);
  auto old_value = std::make_unique<char[]>(room);
  auto new_value = std::make_unique<char[]>(new_length);
  for (size_t i = 0; i < new_length; i++) new_value[i] = static_cast<char>(input.Byte());
  uint8_t form = input.Byte();
  size_t old_length = room;
  Fake before = *FakeOf(target.context);
  int error = Mallctl(target, key.c_str(), (form & 1) != 0 ? nullptr : old_value.get(),
                      (form & 2) != 0 ? nullptr : &old_length,
                      (form & 4) != 0 ? nullptr : new_value.get(), new_length);
  MESH_CHECK(error == 0 || error == ENOENT || error == EINVAL || error == EPERM);
  // What was read fits the buffer; an error leaves all as it was.
  MESH_CHECK(old_length <= room || (form & 1) != 0);
  const Fake& after = *FakeOf(target.context);
  MESH_CHECK(error == 0 || (before.period_ms == after.period_ms && before.calls == after.calls));
}

}  // namespace
}  // namespace mesh

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::FuzzInput input(data, size);
  mesh::Fake fake;
  mesh::Options options;
  mesh::ControlTarget target = mesh::TargetOf(&fake, &options);
  while (!input.empty()) mesh::Call(target, input);
  return 0;
}
