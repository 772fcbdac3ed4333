// Tests of the option table: parsing, every way to be refused, messages, the environment.
#include "src/config/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "src/base/writer.h"
#include "src/config/environment.h"

namespace mesh {
namespace {

std::vector<std::string>* problems = nullptr;

void RecordProblem(const OptionSpec& spec, std::string_view value) {
  problems->push_back(std::string(spec.environment) + "=" + std::string(value));
}

class LoadOptionsTest : public testing::Test {
 protected:
  LoadOptionsTest() { problems = &problems_; }
  ~LoadOptionsTest() override { problems = nullptr; }

  Options Load(std::vector<const char*> environment) {
    environment.push_back(nullptr);
    Options options;
    LoadOptions(const_cast<char* const*>(environment.data()), RecordProblem, &options);
    return options;
  }

  std::vector<std::string> problems_;
};

const OptionSpec& Spec(OptionId id) { return kOptionSpecs[static_cast<size_t>(id)]; }

TEST_F(LoadOptionsTest, DefaultsWithoutEnvironment) {
  Options options;
  LoadOptions(nullptr, RecordProblem, &options);
  EXPECT_EQ(options.mallocstats(), 0);
  EXPECT_EQ(options.period_ms(), 100);
  EXPECT_TRUE(options.meshing());
  EXPECT_EQ(options.barrier(), BarrierChoice::kAuto);
  EXPECT_EQ(options.expect_fork(), ForkChoice::kAuto);
  EXPECT_EQ(options.random(), RandomChoice::kStart);
  EXPECT_EQ(options.seed(), 0);
  EXPECT_FALSE(options.check_frees());
  EXPECT_TRUE(problems_.empty());
}

TEST_F(LoadOptionsTest, ReadsEveryOption) {
  Options options = Load({"MALLOCSTATS=2", "MESH_PERIOD_MS=0", "MESH_MESHING=0",
                          "MESH_BARRIER=userfault_user", "MESH_EXPECT_FORK=1", "MESH_RANDOM=none",
                          "MESH_SEED=9223372036854775807", "MESH_CHECK_FREES=1"});
  EXPECT_EQ(options.mallocstats(), 2);
  EXPECT_EQ(options.period_ms(), 0);
  EXPECT_FALSE(options.meshing());
  EXPECT_EQ(options.barrier(), BarrierChoice::kUserfaultUser);
  EXPECT_EQ(options.expect_fork(), ForkChoice::kAlways);
  EXPECT_EQ(options.random(), RandomChoice::kNone);
  EXPECT_EQ(options.seed(), INT64_MAX);
  EXPECT_TRUE(options.check_frees());
  EXPECT_TRUE(problems_.empty());
}

TEST_F(LoadOptionsTest, EveryChoiceOfAnEnumIsRead) {
  const std::pair<const char*, BarrierChoice> cases[] = {
      {"MESH_BARRIER=auto", BarrierChoice::kAuto},
      {"MESH_BARRIER=single", BarrierChoice::kSingle},
      {"MESH_BARRIER=userfault", BarrierChoice::kUserfault},
      {"MESH_BARRIER=userfault_user", BarrierChoice::kUserfaultUser},
      {"MESH_BARRIER=segv", BarrierChoice::kSegv},
      {"MESH_BARRIER=none", BarrierChoice::kNone}};
  for (const auto& [entry, choice] : cases) EXPECT_EQ(Load({entry}).barrier(), choice) << entry;
  EXPECT_EQ(Load({"MESH_EXPECT_FORK=0"}).expect_fork(), ForkChoice::kNever);
  EXPECT_EQ(Load({"MESH_EXPECT_FORK=auto"}).expect_fork(), ForkChoice::kAuto);
}

TEST_F(LoadOptionsTest, EveryBadValueIsReportedAndTheDefaultStays) {
  const char* const bad[] = {
      "MALLOCSTATS=3",        "MALLOCSTATS=-1",           "MALLOCSTATS=one",
      "MALLOCSTATS=1 ",       "MALLOCSTATS=+1",           "MESH_PERIOD_MS=86400001",
      "MESH_PERIOD_MS=100ms", "MESH_PERIOD_MS=1e3",       "MESH_PERIOD_MS=99999999999999999999999",
      "MESH_PERIOD_MS=-",     "MESH_MESHING=2",           "MESH_MESHING=true",
      "MESH_BARRIER=Auto",    "MESH_BARRIER=userfaul",    "MESH_BARRIER=userfaultx",
      "MESH_BARRIER=0",       "MESH_BARRIER=auto|single", "MESH_EXPECT_FORK=2",
      "MESH_EXPECT_FORK=yes", "MESH_RANDOM=half",         "MESH_SEED=9223372036854775808",
      "MESH_SEED=0x10",
  };
  Options defaults;
  for (const char* entry : bad) {
    problems_.clear();
    Options options = Load({entry});
    ASSERT_EQ(problems_.size(), 1u) << entry;
    EXPECT_EQ(problems_[0], entry);
    for (size_t i = 0; i < kOptionCount; i++) {
      OptionId id = static_cast<OptionId>(i);
      EXPECT_EQ(options.value(id), defaults.value(id)) << entry << " " << kOptionSpecs[i].key;
    }
  }
}

TEST_F(LoadOptionsTest, TextsAreCopiedAndNeverCut) {
  EXPECT_EQ(Load({}).stats_file(), nullptr);
  std::string entry = "MESH_STATS_FILE=" + std::string(kMaxOptionText, 'x');
  Options options = Load({entry.c_str()});
  entry.assign(entry.size(), '-');  // as programs do that show their state in ps
  EXPECT_STREQ(options.stats_file(), std::string(kMaxOptionText, 'x').c_str());
  EXPECT_TRUE(problems_.empty());
  std::string longer = "MESH_STATS_FILE=" + std::string(kMaxOptionText + 1, 'x');
  EXPECT_EQ(Load({longer.c_str()}).stats_file(), nullptr);
  EXPECT_EQ(problems_.size(), 1u);
}

TEST_F(LoadOptionsTest, OneBadValueDoesNotTouchTheOthers) {
  Options options = Load({"MESH_PERIOD_MS=never", "MALLOCSTATS=1"});
  EXPECT_EQ(options.mallocstats(), 1);
  EXPECT_EQ(options.period_ms(), 100);
  EXPECT_EQ(problems_.size(), 1u);
}

TEST_F(LoadOptionsTest, FirstOfEqualNamesCountsAndEmptyIsNotSet) {
  EXPECT_EQ(Load({"MESH_PERIOD_MS=5", "MESH_PERIOD_MS=7"}).period_ms(), 5);
  EXPECT_EQ(Load({"MESH_PERIOD_MS="}).period_ms(), 100);
  EXPECT_EQ(Load({"MESH_PERIOD_MSX=5", "XMESH_PERIOD_MS=6", "MESH_PERIOD_MS"}).period_ms(), 100);
  EXPECT_TRUE(problems_.empty());
}

TEST(OptionValue, SizesTakeSuffixes) {
  OptionSpec spec = {"MESH_X", "opt.x", OptionKind::kSize, 0, 0, int64_t{1} << 40, "", ""};
  int64_t value = -1;
  EXPECT_TRUE(ParseOptionValue(spec, "17", &value));
  EXPECT_EQ(value, 17);
  EXPECT_TRUE(ParseOptionValue(spec, "2k", &value));
  EXPECT_EQ(value, 2048);
  EXPECT_TRUE(ParseOptionValue(spec, "3M", &value));
  EXPECT_EQ(value, 3 << 20);
  EXPECT_TRUE(ParseOptionValue(spec, "4G", &value));
  EXPECT_EQ(value, int64_t{4} << 30);
  for (const char* bad : {"", "K", "1KB", "1T", "-1K", "9000000000G", "1025G", "1 K"}) {
    EXPECT_FALSE(ParseOptionValue(spec, bad, &value)) << bad;
  }
  EXPECT_EQ(value, int64_t{4} << 30) << "a refused text changes nothing";
}

TEST(OptionValue, ChoicesByIndex) {
  const OptionSpec& spec = Spec(OptionId::barrier);
  EXPECT_EQ(OptionChoice(spec, 0), "auto");
  EXPECT_EQ(OptionChoice(spec, 5), "none");
  EXPECT_EQ(OptionChoice(spec, 6), "");
}

TEST(OptionProblem, LineNamesValueAcceptedAndDefault) {
  LineWriter line;
  FormatOptionProblem(Spec(OptionId::period_ms), "soon", &line);
  EXPECT_EQ(line.view(),
            "mesh: MESH_PERIOD_MS=soon is ignored: it takes a whole number from 0 to 86400000; "
            "using 100\n");
  line.Clear();
  FormatOptionProblem(Spec(OptionId::meshing), "on", &line);
  EXPECT_EQ(line.view(), "mesh: MESH_MESHING=on is ignored: it takes 0 or 1; using 1\n");
  line.Clear();
  FormatOptionProblem(Spec(OptionId::expect_fork), "2", &line);
  EXPECT_EQ(line.view(),
            "mesh: MESH_EXPECT_FORK=2 is ignored: it takes auto, 0 or 1; using auto\n");
}

TEST(OptionProblem, HostileValueIsCutAndMadePrintable) {
  LineWriter line;
  FormatOptionProblem(Spec(OptionId::meshing), "a\nb\x1b" + std::string(1000, 'x'), &line);
  EXPECT_FALSE(line.truncated());
  EXPECT_EQ(line.view(), "mesh: MESH_MESHING=a?b?" + std::string(60, 'x') +
                             "... is ignored: it takes 0 or 1; using 1\n");
}

TEST(OptionProblem, PrintedOnStandardError) {
  testing::internal::CaptureStderr();
  PrintOptionProblem(Spec(OptionId::random), "9");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "mesh: MESH_RANDOM=9 is ignored: it takes start, full or none; using start\n");
}

TEST(Environment, LibcFirstThenStackNeverWhenSecure) {
  char one[] = "ONE=1";
  char program[] = "program";
  char* from_libc[] = {one, nullptr};
  struct {
    intptr_t argument_count = 1;
    char* arguments[2];
    char* environment[2];
  } stack = {1, {program, nullptr}, {one, nullptr}};
  EXPECT_EQ(ChooseEnvironment(from_libc, &stack, false), from_libc);
  EXPECT_EQ(ChooseEnvironment(nullptr, &stack, false), stack.environment);
  EXPECT_EQ(ChooseEnvironment(nullptr, nullptr, false), nullptr);
  EXPECT_EQ(ChooseEnvironment(from_libc, &stack, true), nullptr);
}

TEST(Environment, FindsThisProcess) {
  setenv("MESH_TEST_MARK", "here", 1);
  bool found = false;
  for (char* const* entry = FindEnvironment(); entry != nullptr && *entry != nullptr; entry++) {
    found |= std::string_view(*entry) == "MESH_TEST_MARK=here";
  }
  EXPECT_TRUE(found);
}

// The loader's block is what the first call of malloc sees.
TEST(Environment, LoaderStackHoldsTheEnvironment) {
  char** saved = environ;
  environ = nullptr;
  char* const* found = FindEnvironment();
  environ = saved;
  ASSERT_NE(found, nullptr);
  ASSERT_NE(*found, nullptr);
  EXPECT_NE(std::string_view(*found).find('='), std::string_view::npos);
}

}  // namespace
}  // namespace mesh
