// The statistics as one JSON object; see report.h.
#include "src/base/units.h"
#include "src/control/report.h"

namespace mesh {
namespace {

void PutClass(const ClassStatistics& c, const char* separator, const TextSink& sink) {
  LineWriter line;
  const char* before = "{";
#define MESH_CLASS_STATISTIC(Type, field, sentence)            \
  line.Text(before).Text("\"" #field "\": ").Decimal(c.field); \
  before = ", ";
#include "src/control/statistics.def"
#undef MESH_CLASS_STATISTIC
  line.Text("}").Text(separator).Text("\n");
  sink.Put(&line);
}

void PutHistogram(std::string_view name, const uint64_t* buckets, const TextSink& sink) {
  LineWriter line;
  line.Text("\"").Text(name).Text("\": [\n");
  for (size_t i = 0; i < kPauseBuckets; i++) {
    line.Decimal(buckets[i]).Text(i + 1 == kPauseBuckets ? "],\n" : ",\n");
    sink.Put(&line);
  }
}

}  // namespace

void WriteJson(const Statistics& s, const TextSink& sink) {
  LineWriter line;
  line.Text("{\n");
#define MESH_STATISTIC(field, sentence)                       \
  line.Text("\"" #field "\": ").Decimal(s.field).Text(",\n"); \
  sink.Put(&line);
#include "src/control/statistics.def"
#undef MESH_STATISTIC
  line.Text("\"physical_bytes\": ").Decimal(s.physical_bytes()).Text(",\n\"page_bytes\": ");
  line.Decimal(kPageSize).Text(",\n\"barrier_tier\": \"").Text(s.barrier_tier).Text("\",\n");
  sink.Put(&line);
  PutHistogram("pauses", s.pauses, sink);
  PutHistogram("waits", s.waits, sink);
  line.Text("\"classes\": [\n");
  sink.Put(&line);
  for (size_t i = 0; i < s.class_count; i++) {
    PutClass(s.classes[i], i + 1 == s.class_count ? "" : ",", sink);
  }
  line.Text("]\n}\n");
  sink.Put(&line);
}

}  // namespace mesh
