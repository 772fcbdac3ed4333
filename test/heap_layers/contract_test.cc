#include "heaplayers/contract.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "test/heap_layers/recording_heap.h"

namespace heaplayers {
namespace {

struct NoFree {
  static constexpr std::size_t kAlignment = 16;
  void* malloc(std::size_t);
};
struct WrongResult : NoFree {
  int* malloc(std::size_t);
  void free(void*);
};
struct OddAlignment : RecordingHeap {
  static constexpr std::size_t kAlignment = 24;
};
struct TooSmallAlignment : RecordingHeap {
  static constexpr std::size_t kAlignment = 1;
};

static_assert(Heap<RecordingHeap>);
static_assert(HasMalloc<NoFree> && HasAlignment<NoFree> && !HasFree<NoFree> && !Heap<NoFree>);
static_assert(HasFree<WrongResult> && !HasMalloc<WrongResult> && !Heap<WrongResult>);
static_assert(!HasAlignment<OddAlignment> && !HasAlignment<TooSmallAlignment>);
static_assert(!SizedHeap<RecordingHeap> && !AligningHeap<RecordingHeap>);
static_assert(!ZeroingHeap<RecordingHeap> && !OwningHeap<RecordingHeap>);
static_assert(!ClearableHeap<RecordingHeap> && !ResizingHeap<RecordingHeap>);
static_assert(SizedHeap<FullRecordingHeap> && AligningHeap<FullRecordingHeap>);
static_assert(ZeroingHeap<FullRecordingHeap> && OwningHeap<FullRecordingHeap>);
static_assert(ClearableHeap<FullRecordingHeap> && ResizingHeap<FullRecordingHeap>);
static_assert(!CallocHeap<FullRecordingHeap> && !ReallocHeap<FullRecordingHeap>);

// Compiles `code` and returns what the compiler prints.
std::string Diagnose(const std::string& code) {
  const std::string header = std::getenv("HEAP_LAYERS_CONTRACT");
  const std::string include_dir = header.substr(0, header.rfind("/heaplayers/"));
  const std::string source = testing::TempDir() + "/wrong_stack.cc";
  std::ofstream(source) << code;
  const std::string command =
      "${CXX:-c++} -std=c++20 -fsyntax-only -I'" + include_dir + "' '" + source + "' 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  char line[1024];
  while (std::fgets(line, sizeof line, pipe) != nullptr) output += line;
  pclose(pipe);
  return output;
}

class ContractMessageTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("${CXX:-c++} --version >/dev/null 2>&1") != 0) {
      GTEST_SKIP() << "no compiler to ask";
    }
  }
};

TEST_F(ContractMessageTest, NamesTheMissingMember) {
  const std::string output = Diagnose(
      "#include \"heaplayers/freelist_layer.h\"\n"
      "struct Broken {\n"
      "  static constexpr std::size_t kAlignment = 16;\n"
      "  void* malloc(std::size_t);\n"
      "};\n"
      "heaplayers::FreelistLayer<Broken> heap;\n");
  EXPECT_NE(output.find("Super is no Heap: `void free(void*)` is missing"), std::string::npos)
      << output;
  EXPECT_NE(output.find("FreelistLayer<Broken>"), std::string::npos) << output;
}

TEST_F(ContractMessageTest, NamesTheMissingRefinement) {
  const std::string output = Diagnose(
      "#include \"heaplayers/bump_source.h\"\n"
      "#include \"heaplayers/realloc_layer.h\"\n"
      "using namespace heaplayers;\n"
      "ReallocLayer<KeepIfHalfUsed, BumpSource<64>> heap;\n");
  EXPECT_NE(output.find("Super is no SizedHeap: `usable_size` is missing"), std::string::npos)
      << output;
}

TEST_F(ContractMessageTest, ARightStackCompilesSilently) {
  EXPECT_EQ(Diagnose("#include \"heaplayers/bump_source.h\"\n"
                     "#include \"heaplayers/freelist_layer.h\"\n"
                     "heaplayers::FreelistLayer<heaplayers::BumpSource<64>> heap;\n"),
            "");
}

}  // namespace
}  // namespace heaplayers
