// See mallctl.h.
#include "src/control/mallctl.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include "src/base/units.h"
#include "src/control/report.h"

namespace mesh {
namespace {

struct Request {
  const ControlTarget& target;
  std::string_view name;
  void* oldp;
  size_t* oldlenp;
  void* newp;
  size_t newlen;

  bool wants_old() const { return oldp != nullptr && oldlenp != nullptr; }
  bool has_new() const { return newp != nullptr || newlen != 0; }
};

int CopyOut(const Request& request, const void* value, size_t size) {
  if (!request.wants_old()) return 0;
  size_t copied = *request.oldlenp < size ? *request.oldlenp : size;
  memcpy(request.oldp, value, copied);
  bool fits = *request.oldlenp == size;
  *request.oldlenp = copied;
  return fits ? 0 : EINVAL;
}

template <typename Type>
int ReadOnly(const Request& request, Type value) {
  if (request.has_new()) return EPERM;
  return CopyOut(request, &value, sizeof(value));
}

int ReadText(const Request& request, std::string_view text) {
  if (request.has_new()) return EPERM;
  if (!request.wants_old()) return 0;
  size_t room = *request.oldlenp;
  if (room < text.size() + 1) {
    memcpy(request.oldp, text.data(), room < text.size() ? room : text.size());
    *request.oldlenp = room < text.size() ? room : text.size();
    return EINVAL;
  }
  memcpy(request.oldp, text.data(), text.size());
  static_cast<char*>(request.oldp)[text.size()] = '\0';
  *request.oldlenp = text.size() + 1;
  return 0;
}

// Collects a report in the caller's room; `size` counts what does not fit too.
struct Room {
  char* text;
  size_t room;
  size_t size;

  static void Append(void* context, std::string_view text) {
    Room* self = static_cast<Room*>(context);
    size_t left = self->size < self->room ? self->room - self->size : 0;
    memcpy(self->text + (self->size < self->room ? self->size : self->room), text.data(),
           text.size() < left ? text.size() : left);
    self->size += text.size();
  }
};

int ReadJson(const Request& request, const Statistics& statistics) {
  if (request.has_new()) return EPERM;
  if (!request.wants_old()) return 0;
  Room room{static_cast<char*>(request.oldp), *request.oldlenp, 0};
  WriteJson(statistics, {Room::Append, &room});
  Room::Append(&room, std::string_view("\0", 1));
  bool fits = room.size <= room.room;
  *request.oldlenp = fits ? room.size : room.room;
  return fits ? 0 : EINVAL;
}

int Run(const Request& request, size_t (*command)(void* context)) {
  if (request.has_new()) return EPERM;
  if (request.wants_old() && *request.oldlenp != sizeof(size_t)) return EINVAL;
  size_t result = command(request.target.context);
  return CopyOut(request, &result, sizeof(result));
}

int Period(const Request& request) {
  const ControlTarget& target = request.target;
  size_t period = 0;
  if (request.has_new()) {
    if (request.newp == nullptr || request.newlen != sizeof(period)) return EINVAL;
    memcpy(&period, request.newp, sizeof(period));
    if (period > static_cast<size_t>(kMaxPeriodMs)) return EINVAL;
  }
  size_t old_period = target.period_ms(target.context);
  int error = CopyOut(request, &old_period, sizeof(old_period));
  if (error == 0 && request.has_new()) target.set_period_ms(target.context, period);
  return error;
}

// The choices of all enum options with a null behind each, so that they can be handed out as
// const char*: in options.def they stand in one text.
struct ChoiceTexts {
  static constexpr size_t kRoom = 128;  // bytes for one option; checked below
  char text[kOptionCount][kRoom] = {};

  constexpr ChoiceTexts() {
    for (size_t i = 0; i < kOptionCount; i++) {
      std::string_view choices = kOptionSpecs[i].choices;
      for (size_t at = 0; at < choices.size(); at++) {
        text[i][at] = choices[at] == '|' ? '\0' : choices[at];  // fails to compile beyond kRoom
      }
    }
  }
};
constexpr ChoiceTexts kChoiceTexts;

int ReadOption(const Request& request, size_t index) {
  const OptionSpec& spec = kOptionSpecs[index];
  int64_t value = request.target.options->value(static_cast<OptionId>(index));
  if (spec.kind == OptionKind::kText) {
    return ReadOnly<const char*>(request,
                                 request.target.options->text(static_cast<OptionId>(index)));
  }
  if (spec.kind == OptionKind::kBool) return ReadOnly<bool>(request, value != 0);
  if (spec.kind != OptionKind::kEnum) return ReadOnly<size_t>(request, value);
  const char* choice = kChoiceTexts.text[index];
  for (; value > 0; value--) choice += strlen(choice) + 1;
  return ReadOnly<const char*>(request, choice);
}

// Reads a decimal number that ends at a dot or at the end, and takes it off `text`.
bool TakeIndex(std::string_view* text, uint64_t bound, uint64_t* index) {
  size_t digits = 0;
  uint64_t value = 0;
  while (digits < text->size() && digits < 6) {
    char c = (*text)[digits];
    if (c < '0' || c > '9') break;
    value = value * 10 + static_cast<uint64_t>(c - '0');
    digits++;
  }
  if (digits == 0 || value >= bound) return false;
  text->remove_prefix(digits);
  *index = value;
  return true;
}

int ReadClass(const Request& request, std::string_view rest, const Statistics& statistics) {
  uint64_t index = 0;
  if (!TakeIndex(&rest, statistics.class_count, &index)) return ENOENT;
  const ClassStatistics& c = statistics.classes[index];
#define MESH_CLASS_STATISTIC(Type, field, sentence) \
  if (rest == "." #field) return ReadOnly<size_t>(request, c.field);
#include "src/control/statistics.def"
#undef MESH_CLASS_STATISTIC
  return ENOENT;
}

int ReadBucket(const Request& request, std::string_view rest, const uint64_t* buckets) {
  uint64_t index = 0;
  if (!TakeIndex(&rest, kPauseBuckets, &index) || !rest.empty()) return ENOENT;
  return ReadOnly<size_t>(request, buckets[index]);
}

bool TakePrefix(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

uint64_t ActiveBytes(const Statistics& s) {
  uint64_t saved = s.meshed_pages_now * kPageSize;
  return s.mapped_bytes > saved ? s.mapped_bytes - saved : 0;
}

// Keys under names that users of other allocators know.
bool FindAlias(std::string_view name, const Statistics& s, uint64_t* value) {
  const struct {
    std::string_view name;
    uint64_t value;
  } aliases[] = {
      {"arena", s.arena_reserved_bytes}, {"stats.resident", s.pss_bytes},
      {"stats.active", ActiveBytes(s)},  {"stats.physical", s.physical_bytes()},
      {"stats.allocated", s.live_bytes}, {"stats.meshed", s.meshed_pages_now * kPageSize},
      {"stats.mapped", s.mapped_bytes},  {"stats.class_count", s.class_count},
  };
  for (const auto& alias : aliases) {
    if (alias.name != name) continue;
    *value = alias.value;
    return true;
  }
  return false;
}

// Kept out of Mallctl(), whose frame would hold the statistics under every command too.
[[gnu::noinline]] int ReadStatistics(const Request& request) {
  Statistics statistics;
  request.target.collect(request.target.context, &statistics);
  for (const StatisticSpec& spec : kStatisticSpecs) {
    if (request.name == spec.key) return ReadOnly<size_t>(request, statistics.*spec.field);
  }
  uint64_t value = 0;
  if (FindAlias(request.name, statistics, &value)) return ReadOnly<size_t>(request, value);
  if (request.name == "stats.barrier_tier") {
    return ReadOnly<const char*>(request, statistics.barrier_tier);
  }
  if (request.name == "stats.json") return ReadJson(request, statistics);
  if (request.name == "arena.text") {
    LineWriter line;
    DescribeArena(statistics, &line);
    return ReadText(request, line.view());
  }
  std::string_view rest = request.name;
  if (TakePrefix(&rest, "stats.class.")) return ReadClass(request, rest, statistics);
  if (TakePrefix(&rest, "stats.pauses.")) return ReadBucket(request, rest, statistics.pauses);
  if (TakePrefix(&rest, "stats.waits.")) return ReadBucket(request, rest, statistics.waits);
  return ENOENT;
}

}  // namespace

int Mallctl(const ControlTarget& target, const char* name, void* oldp, size_t* oldlenp, void* newp,
            size_t newlen) {
  if (name == nullptr) return EINVAL;
  Request request{target, name, oldp, oldlenp, newp, newlen};
  if (request.name == "mesh.check_period") return Period(request);
  if (request.name == "mesh.compact") return Run(request, target.compact);
  if (request.name == "mesh.scavenge") return Run(request, target.scavenge);
  for (size_t i = 0; i < kOptionCount; i++) {
    if (request.name == kOptionSpecs[i].key) return ReadOption(request, i);
  }
  return ReadStatistics(request);
}

}  // namespace mesh
