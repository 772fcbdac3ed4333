// A C++ program as many are: a word index with maps, sets, vectors and strings, built, looked up,
// thinned out and built again. Unit: a word.
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "test/bench/shape.h"

#ifdef MESH_BENCH_TIMED
// What containers call, through the calls that are timed.
void* operator new(std::size_t size) { return bench::Malloc(size); }
void operator delete(void* object) noexcept { bench::Free(object); }
void operator delete(void* object, std::size_t) noexcept { bench::Free(object); }
#endif

namespace {

constexpr std::uint32_t kVocabulary = 60'000;
constexpr std::uint64_t kWordsPerRound = 100'000;

std::string Word(bench::Random& random) {
  // Half of the words fit into the string itself, half do not.
  std::uint32_t number = random.Below(kVocabulary);
  std::string word = number % 2 == 0 ? "w" : "a-rather-long-prefix-";
  for (; number > 0; number /= 10) word.push_back(static_cast<char>('0' + number % 10));
  return word;
}

class Index {
 public:
  void Add(std::string word, std::uint32_t position) {
    positions_[word].push_back(position);
    ++lengths_[word.size()][std::move(word)];
    ++words_;
  }

  // Drops every word with a position that `random` picks; what is left stays as it was.
  void Thin(bench::Random& random) {
    for (auto entry = positions_.begin(); entry != positions_.end();) {
      if (random.Below(4) == 0) {
        entry = std::next(entry);
        continue;
      }
      words_ -= entry->second.size();
      lengths_[entry->first.size()].erase(entry->first);
      entry = positions_.erase(entry);
    }
  }

  void Check() const {
    std::uint64_t by_position = 0;
    for (const auto& [word, positions] : positions_) by_position += positions.size();
    std::uint64_t by_length = 0;
    for (const auto& [length, words] : lengths_) {
      for (const auto& [word, count] : words) by_length += count;
    }
    bench::Expect(by_position == words_ && by_length == words_, "words are lost");
  }

 private:
  std::unordered_map<std::string, std::vector<std::uint32_t>> positions_;
  std::map<std::size_t, std::map<std::string, std::uint32_t>> lengths_;
  std::uint64_t words_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Shape shape(argc, argv, 400'000);
  bench::Random random(shape.seed());
  Index index;
  std::uint64_t done = 0;
  while (done < shape.units()) {
    for (std::uint64_t i = 0; i < kWordsPerRound; ++i) {
      index.Add(Word(random), static_cast<std::uint32_t>(i));
    }
    done += kWordsPerRound;
    index.Check();
    index.Thin(random);
    index.Check();
  }
  return shape.Report("word", done);
}
