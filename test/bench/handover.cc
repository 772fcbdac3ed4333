// Producer and consumer: one thread allocates, another frees, so that every free is a remote one.
// They hand objects over by the batch through a ring, as threads with queues do. Unit: an object.
#include <array>
#include <atomic>
#include <memory>

#include "test/bench/shape.h"

namespace {

constexpr std::size_t kBatch = 100;
constexpr std::uint64_t kRing = 64;  // Batches on their way at most.
constexpr std::size_t kLargest = 256;

class Ring {
 public:
  using Batch = std::array<void*, kBatch>;

  // Returns the place for the next batch, which is on its way after Send().
  Batch& Next() {
    // order: acquire; pairs with release in Return(). The consumer has done with the place.
    while (sent_ - returned_.load(std::memory_order_acquire) == kRing) std::this_thread::yield();
    return batches_[sent_ % kRing];
  }
  void Send() { visible_.store(++sent_, std::memory_order_release); }  // order: for Take().

  Batch& Take() {
    // order: acquire; pairs with release in Send(). The batch is filled.
    while (visible_.load(std::memory_order_acquire) == taken_) std::this_thread::yield();
    return batches_[taken_ % kRing];
  }
  void Return() { returned_.store(++taken_, std::memory_order_release); }  // order: for Next().

 private:
  std::array<Batch, kRing> batches_;
  alignas(64) std::uint64_t sent_ = 0;
  std::atomic<std::uint64_t> visible_{0};
  alignas(64) std::uint64_t taken_ = 0;
  std::atomic<std::uint64_t> returned_{0};
};

void Produce(Ring& ring, std::uint64_t batches, std::uint64_t seed) {
  bench::Random random(seed);
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (void*& object : ring.Next()) {
      object = bench::Malloc(random.SmallSize(kLargest));
      bench::Mark(object, i);
    }
    ring.Send();
  }
}

void Consume(Ring& ring, std::uint64_t batches) {
  for (std::uint64_t i = 0; i < batches; ++i) {
    for (void* object : ring.Take()) {
      bench::CheckMark(object, i);
      bench::Free(object);
    }
    ring.Return();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 5'000'000);
  const std::uint64_t batches = shape.units() / kBatch + 1;
  const auto ring = std::make_unique<Ring>();
  bench::RunThreads(2, [&](std::uint64_t thread) {
    if (thread == 0) Produce(*ring, batches, shape.seed());
    if (thread == 1) Consume(*ring, batches);
  });
  return shape.Report("object", batches * kBatch);
}
