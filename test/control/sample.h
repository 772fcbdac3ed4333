// A statistics snapshot with a different value in every field, for the tests of control.
#pragma once

#include <string>
#include <string_view>

#include "src/control/statistics.h"
#include "src/control/text_sink.h"

namespace mesh {

inline Statistics SampleStatistics() {
  Statistics s;
  uint64_t next = 1;
  for (const StatisticSpec& spec : kStatisticSpecs) s.*spec.field = next++ << 20;
  s.barrier_tier = "userfault";
  for (size_t i = 0; i < kPauseBuckets; i++) {
    s.pauses[i] = 100 + i;
    s.waits[i] = 200 + i;
  }
  s.class_count = 2;
  s.classes[0] = {.object_size = 16,
                  .span_pages = 1,
                  .spans = 10,
                  .attached = 1,
                  .partial = 6,
                  .full = 3,
                  .meshed = 2,
                  .live_objects = 640,
                  .capacity_objects = 2560};
  s.classes[1] = {.object_size = 48,
                  .span_pages = 3,
                  .spans = 4,
                  .attached = 2,
                  .partial = 1,
                  .full = 1,
                  .meshed = 0,
                  .live_objects = 1024,
                  .capacity_objects = 1024};
  return s;
}

// Collects a report as one text.
class StringSink {
 public:
  TextSink sink() { return {&Append, this}; }
  const std::string& text() const { return text_; }

 private:
  static void Append(void* context, std::string_view text) {
    static_cast<StringSink*>(context)->text_ += text;
  }

  std::string text_;
};

}  // namespace mesh
