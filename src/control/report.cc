// See report.h.
#include "src/control/report.h"

#include "src/base/units.h"

namespace mesh {
namespace {

// Column where figures begin: behind the longest label that published Mesh prints, and one blank.
constexpr size_t kFigureColumn = 20;

class Labelled {
 public:
  explicit Labelled(const TextSink& sink) : sink_(sink) {}

  void Number(std::string_view label, uint64_t value) {
    Begin(label);
    line_.Decimal(value).Text("\n");
    sink_.Put(&line_);
  }

  void Megabytes(std::string_view label, uint64_t bytes) {
    Begin(label);
    line_.Fixed(bytes, kMiB, 1).Text("\n");
    sink_.Put(&line_);
  }

  void Words(std::string_view label, std::string_view words) {
    Begin(label);
    line_.Text(words).Text("\n");
    sink_.Put(&line_);
  }

 private:
  void Begin(std::string_view label) { line_.Text(label).PadTo(kFigureColumn); }

  const TextSink& sink_;
  LineWriter line_;
};

// A figure at the right of a column, two blanks from the one before.
void PutRight(uint64_t value, size_t end_column, LineWriter* line) {
  size_t digits = 1;
  for (uint64_t rest = value; rest >= 10; rest /= 10) digits++;
  line->Text(" ");
  if (end_column > digits) line->PadTo(end_column - digits);
  line->Decimal(value);
}

void WriteMemory(const Statistics& s, const TextSink& sink) {
  Labelled out(sink);
  out.Megabytes("Live MB:", s.live_bytes);
  out.Number("Large objects:", s.large_count);
  out.Megabytes("Large MB:", s.large_bytes);
  out.Megabytes("Mapped MB:", s.mapped_bytes);
  out.Megabytes("Arena MB:", s.arena_committed_bytes);
  out.Megabytes("Dirty MB:", s.dirty_bytes);
  out.Megabytes("Backing MB:", s.backing_bytes);
  out.Megabytes("PSS MB:", s.pss_bytes);
  out.Megabytes("Pss_Anon MB:", s.pss_anon_bytes);
  out.Megabytes("Physical MB:", s.physical_bytes());
  out.Megabytes("RSS MB:", s.rss_bytes);
}

void WriteMeshing(const Statistics& s, const TextSink& sink) {
  Labelled out(sink);
  out.Words("Barrier tier:", s.barrier_tier);
  out.Number("Mappings used:", s.mappings_used);
  out.Number("Mappings budget:", s.mappings_budget);
  out.Number("Mesh passes:", s.mesh_passes);
  out.Number("Background turns:", s.background_turns);
  out.Number("Background CPU ms:", s.background_cpu_ns / kNsPerMs);
  out.Number("Meshed pages now:", s.meshed_pages_now);
  out.Number("Failed, mappings:", s.mesh_failed_mappings);
  out.Number("Failed, map:", s.mesh_failed_map);
  out.Number("Failed, barrier:", s.mesh_failed_barrier);
}

// Buckets that counted nothing are left out.
void WriteHistogram(std::string_view one, std::string_view all, uint64_t longest_ns,
                    const uint64_t* buckets, const TextSink& sink) {
  LineWriter line;
  line.Text("Longest ").Text(one).Text(" us:").PadTo(kFigureColumn).Fixed(longest_ns, 1000, 1);
  line.Text("\n");
  sink.Put(&line);
  for (size_t i = 0; i < kPauseBuckets; i++) {
    if (buckets[i] == 0) continue;
    bool is_last = i + 1 == kPauseBuckets;
    line.Text(all).Text(is_last ? " >= " : " < ");
    line.Decimal(uint64_t{1} << (is_last ? i - 1 : i)).Text(" us:");
    line.PadTo(kFigureColumn);
    if (line.view().back() != ' ') line.Text(" ");
    line.Decimal(buckets[i]).Text("\n");
    sink.Put(&line);
  }
}

void WriteClasses(const Statistics& s, const TextSink& sink) {
  LineWriter line;
  line.Text("  size pages     spans  attached   partial      full    meshed");
  line.Text("      live bytes occupancy\n");
  sink.Put(&line);
  for (size_t i = 0; i < s.class_count; i++) {
    const ClassStatistics& c = s.classes[i];
    if (c.spans == 0) continue;
    PutRight(c.object_size, 6, &line);
    PutRight(c.span_pages, 12, &line);
    PutRight(c.spans, 22, &line);
    PutRight(c.attached, 32, &line);
    PutRight(c.partial, 42, &line);
    PutRight(c.full, 52, &line);
    PutRight(c.meshed, 62, &line);
    PutRight(c.live_objects * c.object_size, 78, &line);
    line.Text("     ");
    line.Fixed(c.live_objects, c.capacity_objects == 0 ? 1 : c.capacity_objects, 3).Text("\n");
    sink.Put(&line);
  }
}

void PutXmlCount(const char* type, uint64_t count, uint64_t bytes, LineWriter* line) {
  line->Text("<total type=\"").Text(type).Text("\" count=\"").Decimal(count);
  line->Text("\" size=\"").Decimal(bytes).Text("\"/>\n");
}

void PutXmlBytes(const char* element, const char* type, uint64_t bytes, LineWriter* line) {
  line->Text("<").Text(element).Text(" type=\"").Text(type).Text("\" size=\"").Decimal(bytes);
  line->Text("\"/>\n");
}

struct FreeSlots {
  uint64_t count = 0;
  uint64_t bytes = 0;
};

uint64_t FreeSlotsOf(const ClassStatistics& c) {
  return c.capacity_objects > c.live_objects ? c.capacity_objects - c.live_objects : 0;
}

FreeSlots WriteXmlSizes(const Statistics& s, const TextSink& sink) {
  FreeSlots all;
  LineWriter line;
  line.Text("<sizes>\n");
  sink.Put(&line);
  uint64_t from = 1;
  for (size_t i = 0; i < s.class_count; i++) {
    const ClassStatistics& c = s.classes[i];
    uint64_t count = FreeSlotsOf(c);
    if (count > 0) {
      line.Text("<size from=\"").Decimal(from).Text("\" to=\"").Decimal(c.object_size);
      line.Text("\" total=\"").Decimal(count * c.object_size);
      line.Text("\" count=\"").Decimal(count).Text("\"/>\n");
      sink.Put(&line);
    }
    all.count += count;
    all.bytes += count * c.object_size;
    from = c.object_size + 1;
  }
  line.Text("</sizes>\n");
  sink.Put(&line);
  return all;
}

void WriteXmlTotals(const Statistics& s, const FreeSlots& free_slots, bool with_large,
                    const TextSink& sink) {
  LineWriter line;
  PutXmlCount("fast", 0, 0, &line);
  PutXmlCount("rest", free_slots.count, free_slots.bytes, &line);
  if (with_large) PutXmlCount("mmap", s.large_count, s.large_bytes, &line);
  sink.Put(&line);
  PutXmlBytes("system", "current", s.arena_committed_bytes, &line);
  PutXmlBytes("system", "max", s.arena_reserved_bytes, &line);
  PutXmlBytes("aspace", "total", s.arena_committed_bytes, &line);
  PutXmlBytes("aspace", "mprotect", s.arena_committed_bytes, &line);
  sink.Put(&line);
}

void WriteFixedWidth(const char* label, uint64_t value, const TextSink& sink) {
  LineWriter line;
  line.Text(label);
  PutRight(value, line.view().size() + 11, &line);
  line.Text("\n");
  sink.Put(&line);
}

void WriteDescriptor(void* context, std::string_view text) {
  LineWriter line;
  line.Text(text).FlushTo(*static_cast<const int*>(context));
}

}  // namespace

TextSink DescriptorSink(const int* descriptor) {
  return {WriteDescriptor, const_cast<int*>(descriptor)};
}

void WriteSummary(const Statistics& s, const TextSink& sink) {
  Labelled out(sink);
  out.Number("MESH COUNT:", s.mesh_count);
  out.Megabytes("Meshed MB (total):", s.meshed_pages_total * kPageSize);
  out.Number("Meshed pages HWM:", s.meshed_pages_hwm);
  out.Megabytes("Meshed MB HWM:", s.meshed_pages_hwm * kPageSize);
  out.Number("MH Alloc Count:", s.miniheap_alloc_count);
  out.Number("MH Free  Count:", s.miniheap_free_count);
  out.Number("MH High Water Mark:", s.miniheap_hwm);
}

void WriteDetails(const Statistics& s, const TextSink& sink) {
  WriteSummary(s, sink);
  WriteMemory(s, sink);
  WriteMeshing(s, sink);
  WriteHistogram("pause", "Pauses", s.longest_pause_ns, s.pauses, sink);
  WriteHistogram("wait", "Waits", s.longest_wait_ns, s.waits, sink);
  WriteClasses(s, sink);
}

void WriteMallocStats(const Statistics& s, const TextSink& sink) {
  LineWriter line;
  line.Text("Arena 0:\n");
  sink.Put(&line);
  WriteFixedWidth("system bytes     =", s.arena_committed_bytes, sink);
  WriteFixedWidth("in use bytes     =", s.live_bytes, sink);
  line.Text("Total (incl. mmap):\n");
  sink.Put(&line);
  WriteFixedWidth("system bytes     =", s.arena_committed_bytes, sink);
  WriteFixedWidth("in use bytes     =", s.live_bytes, sink);
  WriteFixedWidth("max mmap regions =", s.large_count, sink);
  WriteFixedWidth("max mmap bytes   =", s.large_bytes, sink);
}

void WriteMallocInfo(const Statistics& s, const TextSink& sink) {
  LineWriter line;
  line.Text("<malloc version=\"1\">\n<heap nr=\"0\">\n");
  sink.Put(&line);
  FreeSlots free_slots = WriteXmlSizes(s, sink);
  WriteXmlTotals(s, free_slots, false, sink);
  line.Text("</heap>\n");
  sink.Put(&line);
  WriteXmlTotals(s, free_slots, true, sink);
  line.Text("</malloc>\n");
  sink.Put(&line);
}

void DescribeArena(const Statistics& s, LineWriter* out) {
  out->Decimal(s.arena_segments).Text(" segments, ").Decimal(s.arena_reserved_bytes / kMiB);
  out->Text(" MiB reserved, ").Decimal(s.arena_committed_bytes / kMiB);
  out->Text(" MiB committed, ").Decimal(s.dirty_bytes / kMiB).Text(" MiB dirty, ");
  out->Decimal(s.backing_bytes / kMiB).Text(" MiB of backing");
}

}  // namespace mesh
