// Tests of the reports: their exact text.
#include "src/control/report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "test/control/sample.h"

namespace mesh {
namespace {

Statistics SmallFigures() {
  Statistics s;
  s.mesh_count = 1234;
  s.meshed_pages_total = 2000;
  s.meshed_pages_hwm = 300;
  s.miniheap_alloc_count = 50;
  s.miniheap_free_count = 40;
  s.miniheap_hwm = 30;
  return s;
}

constexpr char kSmallSummary[] =
    "MESH COUNT:         1234\n"
    "Meshed MB (total):  7.8\n"
    "Meshed pages HWM:   300\n"
    "Meshed MB HWM:      1.2\n"
    "MH Alloc Count:     50\n"
    "MH Free  Count:     40\n"
    "MH High Water Mark: 30\n";

TEST(Report, SummaryAsPublishedMeshPrintsIt) {
  StringSink out;
  WriteSummary(SmallFigures(), out.sink());
  EXPECT_EQ(out.text(), kSmallSummary);
}

TEST(Report, SummaryOfNothing) {
  StringSink out;
  WriteSummary(Statistics(), out.sink());
  EXPECT_EQ(out.text().substr(0, 50), "MESH COUNT:         0\nMeshed MB (total):  0.0\nMesh");
}

TEST(Report, Details) {
  Statistics s = SampleStatistics();
  for (uint64_t& pauses : s.pauses) pauses = 0;
  for (uint64_t& waits : s.waits) waits = 0;
  s.waits[5] = 3;
  s.pauses[0] = 7;
  s.pauses[4] = 9;
  s.pauses[kPauseBuckets - 1] = 1;
  s.longest_pause_ns = 12345;
  StringSink out;
  WriteDetails(s, out.sink());
  EXPECT_EQ(
      out.text(),
      "MESH COUNT:         1048576\n"
      "Meshed MB (total):  8192.0\n"
      "Meshed pages HWM:   4194304\n"
      "Meshed MB HWM:      16384.0\n"
      "MH Alloc Count:     9437184\n"
      "MH Free  Count:     10485760\n"
      "MH High Water Mark: 11534336\n"
      "Live MB:            12.0\n"
      "Large objects:      13631488\n"
      "Large MB:           14.0\n"
      "Mapped MB:          15.0\n"
      "Arena MB:           18.0\n"
      "Dirty MB:           19.0\n"
      "Backing MB:         20.0\n"
      "PSS MB:             21.0\n"
      "Pss_Anon MB:        22.0\n"
      "Physical MB:        42.0\n"
      "RSS MB:             23.0\n"
      "Barrier tier:       userfault\n"
      "Mappings used:      25165824\n"
      "Mappings budget:    26214400\n"
      "Mesh passes:        5242880\n"
      "Background turns:   29360128\n"
      "Background CPU ms:  30\n"
      "Meshed pages now:   3145728\n"
      "Failed, mappings:   6291456\n"
      "Failed, map:        7340032\n"
      "Failed, barrier:    8388608\n"
      "Longest pause us:   12.3\n"
      "Pauses < 1 us:      7\n"
      "Pauses < 16 us:     9\n"
      "Pauses >= 4194304 us: 1\n"
      "Longest wait us:    28311.6\n"
      "Waits < 32 us:      3\n"
      "  size pages     spans  attached   partial      full    meshed      live bytes occupancy\n"
      "    16     1        10         1         6         3         2           10240     0.250\n"
      "    48     3         4         2         1         1         0           49152     1.000\n");
}

TEST(Report, ClassesWithoutSpansAreLeftOut) {
  Statistics s;
  s.class_count = 3;
  s.classes[1].object_size = 32;
  s.classes[1].spans = 1;
  StringSink out;
  WriteDetails(s, out.sink());
  EXPECT_NE(out.text().find("\n    32     0         1"), std::string::npos) << out.text();
  EXPECT_EQ(out.text().find("\n     0"), std::string::npos);
}

TEST(Report, MallocStatsAsGlibcPrintsIt) {
  Statistics s;
  s.arena_committed_bytes = 135168;
  s.live_bytes = 592;
  s.large_count = 2;
  s.large_bytes = 12345678901;
  StringSink out;
  WriteMallocStats(s, out.sink());
  EXPECT_EQ(out.text(),
            "Arena 0:\n"
            "system bytes     =     135168\n"
            "in use bytes     =        592\n"
            "Total (incl. mmap):\n"
            "system bytes     =     135168\n"
            "in use bytes     =        592\n"
            "max mmap regions =          2\n"
            "max mmap bytes   = 12345678901\n");
}

TEST(Report, Json) {
  Statistics s = SampleStatistics();
  s.class_count = 2;
  s.barrier_tier = "userfault";
  StringSink out;
  WriteJson(s, out.sink());
  const std::string& text = out.text();
  EXPECT_EQ(text.find("{\n\"mesh_count\": 1048576,\n\"meshed_pages_total\": 2097152,\n"), 0u);
  for (const StatisticSpec& spec : kStatisticSpecs) {
    std::string name = std::string(spec.key).substr(strlen("stats."));
    std::string row = "\"" + name + "\": " + std::to_string(s.*spec.field) + ",\n";
    EXPECT_NE(text.find(row), std::string::npos) << row;
  }
  EXPECT_NE(text.find("\"page_bytes\": 4096,\n\"barrier_tier\": \"userfault\",\n\"pauses\": ["),
            std::string::npos);
  EXPECT_NE(text.find("{\"object_size\": 48, \"span_pages\": 3, \"spans\": 4, \"attached\": 2, "
                      "\"partial\": 1, \"full\": 1, \"meshed\": 0, \"live_objects\": 1024, "
                      "\"capacity_objects\": 1024}\n]\n}\n"),
            std::string::npos);
}

TEST(Report, MallocInfo) {
  Statistics s = SampleStatistics();
  s.large_count = 3;
  StringSink out;
  WriteMallocInfo(s, out.sink());
  EXPECT_EQ(out.text(),
            "<malloc version=\"1\">\n"
            "<heap nr=\"0\">\n"
            "<sizes>\n"
            "<size from=\"1\" to=\"16\" total=\"30720\" count=\"1920\"/>\n"
            "</sizes>\n"
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"1920\" size=\"30720\"/>\n"
            "<system type=\"current\" size=\"18874368\"/>\n"
            "<system type=\"max\" size=\"17825792\"/>\n"
            "<aspace type=\"total\" size=\"18874368\"/>\n"
            "<aspace type=\"mprotect\" size=\"18874368\"/>\n"
            "</heap>\n"
            "<total type=\"fast\" count=\"0\" size=\"0\"/>\n"
            "<total type=\"rest\" count=\"1920\" size=\"30720\"/>\n"
            "<total type=\"mmap\" count=\"3\" size=\"14680064\"/>\n"
            "<system type=\"current\" size=\"18874368\"/>\n"
            "<system type=\"max\" size=\"17825792\"/>\n"
            "<aspace type=\"total\" size=\"18874368\"/>\n"
            "<aspace type=\"mprotect\" size=\"18874368\"/>\n"
            "</malloc>\n");
}

// The largest figures there are must not run into the writer's bound.
TEST(Report, NoLineIsCut) {
  Statistics s;
  for (const StatisticSpec& spec : kStatisticSpecs) s.*spec.field = UINT64_MAX;
  s.class_count = kMaxSizeClasses;
  for (ClassStatistics& c : s.classes) {
    c = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX,
         UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT64_MAX};
  }
  for (uint64_t& pauses : s.pauses) pauses = UINT64_MAX;
  bool all_end = true;
  TextSink sink = {[](void* context, std::string_view text) {
                     *static_cast<bool*>(context) &= !text.empty() && text.back() == '\n';
                   },
                   &all_end};
  WriteDetails(s, sink);
  WriteJson(s, sink);
  WriteMallocInfo(s, sink);
  WriteMallocStats(s, sink);
  EXPECT_TRUE(all_end);
}

TEST(Report, DescriptorSinkWrites) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  WriteSummary(SmallFigures(), DescriptorSink(&ends[1]));
  char text[512] = {};
  EXPECT_EQ(read(ends[0], text, sizeof(text)), static_cast<ssize_t>(sizeof(kSmallSummary) - 1));
  EXPECT_STREQ(text, kSmallSummary);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace mesh
