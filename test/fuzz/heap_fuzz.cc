// The malloc family and compaction in any order, against the shadow model.
#include "src/runtime/heap.h"
#include "src/runtime/runtime.h"
#include "test/fuzz/input.h"
#include "test/oracle/shadow_model.h"

namespace {

constexpr size_t kMaxObjects = 2000;

void CheckInvariants(mesh::GlobalHeap& global) {
  for (mesh::SizeClassHeap& heap : global.size_class_heaps()) heap.CheckInvariants();
  global.arena().CheckInvariants();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mesh::Runtime& runtime = mesh::Runtime::Get();
  runtime.set_period_ms(0);  // passes come from the input alone
  mesh::FuzzInput input(data, size);
  mesh::ShadowModel model("heap_fuzz", 0, kMaxObjects);
  mesh::ShadowModel::Draw draw = [&](uint32_t bound) { return input.Below(bound); };
  while (!input.empty()) {
    uint8_t what = input.Byte();
    for (int i = 0; i < (what & 15); i++) model.Step(draw);
    if (what >= 0xf8) runtime.Compact();
    if ((what & 0xfc) == 0xf0) runtime.global().Scavenge();
    if ((what & 0xfe) == 0xf4) model.RewriteAll();
  }
  model.CheckAll();
  runtime.Compact();
  model.CheckAll();
  CheckInvariants(runtime.global());
  model.FreeAll();
  return 0;
}
