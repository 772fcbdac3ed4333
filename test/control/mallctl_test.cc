// Tests of mallctl: every key, every error, and that an error has changed nothing.
#include "src/control/mallctl.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>

#include "src/config/options.h"
#include "test/control/sample.h"

namespace mesh {
namespace {

class MallctlTest : public testing::Test {
 protected:
  MallctlTest() {
    options_.SetValue(OptionId::barrier, static_cast<int64_t>(BarrierChoice::kSegv));
    options_.SetValue(OptionId::seed, 77);
  }

  int Call(const char* name, void* oldp, size_t* oldlenp, void* newp, size_t newlen) {
    ControlTarget target = {
        .context = this,
        .options = &options_,
        .compact = [](void* self) { return Self(self).compactions_++, size_t{4096}; },
        .scavenge = [](void* self) { return Self(self).scavenges_++, size_t{8192}; },
        .collect = [](void* self, Statistics* out) { *out = Self(self).statistics_; },
        .period_ms = [](void* self) { return Self(self).period_ms_; },
        .set_period_ms = [](void* self, uint64_t period) { Self(self).period_ms_ = period; },
    };
    return Mallctl(target, name, oldp, oldlenp, newp, newlen);
  }

  template <typename Type>
  Type Read(const std::string& name) {
    Type value{};
    size_t size = sizeof(value);
    EXPECT_EQ(Call(name.c_str(), &value, &size, nullptr, 0), 0) << name;
    EXPECT_EQ(size, sizeof(value)) << name;
    return value;
  }

  static MallctlTest& Self(void* self) { return *static_cast<MallctlTest*>(self); }

  Statistics statistics_ = SampleStatistics();
  Options options_;
  uint64_t period_ms_ = 100;
  int compactions_ = 0;
  int scavenges_ = 0;
};

// Every fixed-size key with the size of its type: the tables, and what they do not hold.
std::map<std::string, size_t> AllReadableKeys() {
  std::map<std::string, size_t> keys;
  for (const ControlKeySpec& spec : kControlKeys) {
    if (strcmp(spec.type, "char[]") != 0) keys[spec.key] = 8;
  }
  for (const StatisticSpec& spec : kStatisticSpecs) keys[spec.key] = 8;
  for (const OptionSpec& spec : kOptionSpecs) {
    keys[spec.key] = spec.kind == OptionKind::kBool ? 1 : 8;
  }
  for (const char* field : {"object_size", "span_pages", "spans", "attached", "partial", "full",
                            "meshed", "live_objects", "capacity_objects"}) {
    keys[std::string("stats.class.1.") + field] = 8;
  }
  keys["stats.pauses.0"] = 8;
  keys["stats.waits.23"] = 8;
  keys["stats.pauses.23"] = 8;
  return keys;
}

TEST_F(MallctlTest, EveryKeyIsReadWithTheSizeOfItsTypeOnly) {
  for (const auto& [name, type_size] : AllReadableKeys()) {
    unsigned char room[16];
    size_t size = type_size;
    EXPECT_EQ(Call(name.c_str(), room, &size, nullptr, 0), 0) << name;
    EXPECT_EQ(size, type_size) << name;
    size = type_size + 1;
    EXPECT_EQ(Call(name.c_str(), room, &size, nullptr, 0), EINVAL) << name;
    size = type_size - 1;
    EXPECT_EQ(Call(name.c_str(), room, &size, nullptr, 0), EINVAL) << name;
    EXPECT_EQ(size, type_size - 1) << name;
    EXPECT_EQ(Call(name.c_str(), nullptr, nullptr, nullptr, 0), 0) << name;
  }
}

TEST_F(MallctlTest, OnlyThePeriodCanBeWritten) {
  for (const auto& [name, type_size] : AllReadableKeys()) {
    if (name == "mesh.check_period") continue;
    unsigned char value[8] = {};
    EXPECT_EQ(Call(name.c_str(), nullptr, nullptr, value, type_size), EPERM) << name;
    EXPECT_EQ(Call(name.c_str(), nullptr, nullptr, nullptr, type_size), EPERM) << name;
  }
  EXPECT_EQ(Call("arena.text", nullptr, nullptr, &period_ms_, 8), EPERM);
  EXPECT_EQ(compactions_ + scavenges_, 0);
}

TEST_F(MallctlTest, UnknownNames) {
  for (const char* name : {"",
                           "mesh",
                           "mesh.",
                           "mesh.compact.",
                           "Mesh.compact",
                           "stats",
                           "stats.",
                           "stats.nothing",
                           "stats.class",
                           "stats.class.",
                           "stats.class.2.spans",
                           "stats.class.-1.spans",
                           "stats.class.1",
                           "stats.class.1.",
                           "stats.class.1.nothing",
                           "stats.class.1spans",
                           "stats.class.99999999999999999999.spans",
                           "stats.pauses.24",
                           "stats.pauses.",
                           "stats.pauses.1x",
                           "opt.nothing",
                           "opt.",
                           "arenas",
                           "arena.0"}) {
    size_t value = 5;
    size_t size = sizeof(value);
    EXPECT_EQ(Call(name, &value, &size, nullptr, 0), ENOENT) << name;
    EXPECT_EQ(Call(name, nullptr, nullptr, &value, sizeof(value)), ENOENT) << name;
    EXPECT_EQ(value, 5u);
  }
  EXPECT_EQ(Call(nullptr, nullptr, nullptr, nullptr, 0), EINVAL);
}

TEST_F(MallctlTest, StatisticsHaveTheirOwnValues) {
  for (const StatisticSpec& spec : kStatisticSpecs) {
    EXPECT_EQ(Read<size_t>(spec.key), statistics_.*spec.field) << spec.key;
  }
  EXPECT_EQ(Read<size_t>("stats.resident"), statistics_.pss_bytes);
  EXPECT_EQ(Read<size_t>("stats.physical"), statistics_.pss_anon_bytes + statistics_.backing_bytes);
  EXPECT_EQ(Read<size_t>("stats.allocated"), statistics_.live_bytes);
  EXPECT_EQ(Read<size_t>("stats.mapped"), statistics_.mapped_bytes);
  EXPECT_EQ(Read<size_t>("stats.meshed"), statistics_.meshed_pages_now * 4096);
  EXPECT_EQ(Read<size_t>("arena"), statistics_.arena_reserved_bytes);
  EXPECT_EQ(Read<size_t>("stats.class_count"), 2u);
  EXPECT_STREQ(Read<const char*>("stats.barrier_tier"), "userfault");
}

TEST_F(MallctlTest, ActiveCountsMeshedPagesOnce) {
  statistics_.mapped_bytes = 10 * 4096;
  statistics_.meshed_pages_now = 3;
  EXPECT_EQ(Read<size_t>("stats.active"), 7u * 4096);
  statistics_.meshed_pages_now = 11;
  EXPECT_EQ(Read<size_t>("stats.active"), 0u) << "figures read while they change";
}

TEST_F(MallctlTest, ClassesAndPauses) {
  EXPECT_EQ(Read<size_t>("stats.class.0.object_size"), 16u);
  EXPECT_EQ(Read<size_t>("stats.class.0.live_objects"), 640u);
  EXPECT_EQ(Read<size_t>("stats.class.1.object_size"), 48u);
  EXPECT_EQ(Read<size_t>("stats.class.1.span_pages"), 3u);
  EXPECT_EQ(Read<size_t>("stats.class.1.attached"), 2u);
  EXPECT_EQ(Read<size_t>("stats.class.1.capacity_objects"), 1024u);
  EXPECT_EQ(Read<size_t>("stats.pauses.0"), 100u);
  EXPECT_EQ(Read<size_t>("stats.pauses.23"), 123u);
  EXPECT_EQ(Read<size_t>("stats.waits.23"), 223u);
}

TEST_F(MallctlTest, OptionsWithTheirTypes) {
  EXPECT_EQ(Read<size_t>("opt.period_ms"), 100u);
  EXPECT_EQ(Read<size_t>("opt.seed"), 77u);
  EXPECT_EQ(Read<size_t>("opt.mallocstats"), 0u);
  EXPECT_TRUE(Read<bool>("opt.meshing"));
  EXPECT_STREQ(Read<const char*>("opt.barrier"), "segv");
  EXPECT_STREQ(Read<const char*>("opt.expect_fork"), "auto");
  EXPECT_STREQ(Read<const char*>("opt.random"), "start");
}

TEST_F(MallctlTest, PeriodIsReadAndWritten) {
  size_t old_period = 0;
  size_t size = sizeof(old_period);
  size_t new_period = 250;
  EXPECT_EQ(Call("mesh.check_period", &old_period, &size, &new_period, sizeof(new_period)), 0);
  EXPECT_EQ(old_period, 100u);
  EXPECT_EQ(period_ms_, 250u);
  new_period = 0;
  EXPECT_EQ(Call("mesh.check_period", nullptr, nullptr, &new_period, sizeof(new_period)), 0);
  EXPECT_EQ(Read<size_t>("mesh.check_period"), 0u);
}

TEST_F(MallctlTest, RefusedPeriodChangesNothing) {
  size_t old_period = 0;
  size_t size = sizeof(old_period);
  size_t new_period = kMaxPeriodMs + 1;
  EXPECT_EQ(Call("mesh.check_period", nullptr, nullptr, &new_period, sizeof(new_period)), EINVAL);
  new_period = 5;
  EXPECT_EQ(Call("mesh.check_period", nullptr, nullptr, &new_period, 4), EINVAL);
  EXPECT_EQ(Call("mesh.check_period", nullptr, nullptr, nullptr, 8), EINVAL);
  size = 4;
  EXPECT_EQ(Call("mesh.check_period", &old_period, &size, &new_period, sizeof(new_period)), EINVAL);
  EXPECT_EQ(period_ms_, 100u);
}

TEST_F(MallctlTest, CommandsRunAndYieldBytes) {
  EXPECT_EQ(Read<size_t>("mesh.compact"), 4096u);
  EXPECT_EQ(Read<size_t>("mesh.scavenge"), 8192u);
  EXPECT_EQ(Call("mesh.compact", nullptr, nullptr, nullptr, 0), 0);
  EXPECT_EQ(compactions_, 2);
  EXPECT_EQ(scavenges_, 1);
}

TEST_F(MallctlTest, RefusedCommandDoesNotRun) {
  size_t value = 0;
  size_t size = 4;
  EXPECT_EQ(Call("mesh.compact", &value, &size, nullptr, 0), EINVAL);
  EXPECT_EQ(Call("mesh.scavenge", nullptr, nullptr, &value, sizeof(value)), EPERM);
  EXPECT_EQ(compactions_ + scavenges_, 0);
}

TEST_F(MallctlTest, ArenaInWords) {
  constexpr char kWords[] =
      "16777216 segments, 17 MiB reserved, 18 MiB committed, 19 MiB dirty, 20 MiB of backing";
  char text[200];
  size_t size = sizeof(text);
  ASSERT_EQ(Call("arena.text", text, &size, nullptr, 0), 0);
  EXPECT_STREQ(text, kWords);
  EXPECT_EQ(size, sizeof(kWords));
  size = sizeof(kWords) - 1;
  EXPECT_EQ(Call("arena.text", text, &size, nullptr, 0), EINVAL) << "no room for the null";
  size = 4;
  memset(text, '#', sizeof(text));
  EXPECT_EQ(Call("arena.text", text, &size, nullptr, 0), EINVAL);
  EXPECT_EQ(size, 4u);
  EXPECT_EQ(std::string(text, 5), "1677#");
}

TEST_F(MallctlTest, EverythingAsJson) {
  std::string text(32 << 10, '#');
  size_t size = text.size();
  ASSERT_EQ(Call("stats.json", text.data(), &size, nullptr, 0), 0);
  EXPECT_EQ(text.substr(0, 14), "{\n\"mesh_count\"");
  EXPECT_EQ(text.substr(size - 3, 4), std::string("}\n\0#", 4));
  EXPECT_EQ(strlen(text.c_str()), size - 1);
  std::string whole = text;
  for (size_t room : {size - 1, size_t{100}, size_t{0}}) {
    text.assign(text.size(), '#');
    size_t taken = room;
    EXPECT_EQ(Call("stats.json", text.data(), &taken, nullptr, 0), EINVAL);
    EXPECT_EQ(taken, room);
    EXPECT_EQ(text.substr(0, room + 1), whole.substr(0, room) + "#");
  }
  EXPECT_EQ(Call("stats.json", nullptr, nullptr, text.data(), 1), EPERM);
}

}  // namespace
}  // namespace mesh
