// See options.h.
#include "src/config/options.h"

#include <unistd.h>

namespace mesh {
namespace {

// Characters of a refused value that are shown: enough to recognise it, short enough for one line.
constexpr size_t kShownValue = 64;

constexpr int64_t CountChoices(std::string_view choices) {
  int64_t count = choices.empty() ? 0 : 1;
  for (char c : choices) count += c == '|';
  return count;
}

constexpr bool TableIsSound() {
  for (const OptionSpec& spec : kOptionSpecs) {
    if (spec.min > spec.default_value || spec.default_value > spec.max) return false;
    bool is_enum = spec.kind == OptionKind::kEnum;
    if (is_enum != !spec.choices.empty()) return false;
    if (is_enum && (spec.min != 0 || spec.max != CountChoices(spec.choices) - 1)) return false;
    if (spec.kind == OptionKind::kBool && (spec.min != 0 || spec.max != 1)) return false;
  }
  return true;
}
constexpr int CountTexts() {
  int count = 0;
  for (const OptionSpec& spec : kOptionSpecs) count += spec.kind == OptionKind::kText;
  return count;
}
static_assert(CountTexts() == 1, "Options has room for one text");

static_assert(TableIsSound(), "options.def: a default or the choices do not fit the bounds");

bool ParseNumber(std::string_view digits, int64_t* value) {
  if (digits.empty()) return false;
  int64_t result = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return false;
    if (__builtin_mul_overflow(result, 10, &result)) return false;
    if (__builtin_add_overflow(result, c - '0', &result)) return false;
  }
  *value = result;
  return true;
}

bool ParseSize(std::string_view text, int64_t* value) {
  if (text.empty()) return false;
  int shift = 0;
  switch (text.back()) {
    case 'k':
    case 'K':
      shift = 10;
      break;
    case 'm':
    case 'M':
      shift = 20;
      break;
    case 'g':
    case 'G':
      shift = 30;
      break;
    default:
      break;
  }
  if (shift != 0) text.remove_suffix(1);
  int64_t count = 0;
  if (!ParseNumber(text, &count)) return false;
  return !__builtin_mul_overflow(count, int64_t{1} << shift, value);
}

bool ParseChoice(const OptionSpec& spec, std::string_view text, int64_t* value) {
  for (int64_t i = spec.min; i <= spec.max; i++) {
    if (OptionChoice(spec, i) == text) {
      *value = i;
      return true;
    }
  }
  return false;
}

// The part behind "NAME=", if `entry` sets `name`.
bool ValueOf(const char* entry, std::string_view name, std::string_view* value) {
  std::string_view text(entry);
  if (text.size() <= name.size() || text[name.size()] != '=') return false;
  if (text.substr(0, name.size()) != name) return false;
  text.remove_prefix(name.size() + 1);
  *value = text;
  return true;
}

bool FindVariable(char* const* environment, std::string_view name, std::string_view* value) {
  for (; *environment != nullptr; environment++) {
    if (ValueOf(*environment, name, value)) return true;
  }
  return false;
}

// Shows a value that may hold anything at all: cut, and without control characters.
void AppendShown(std::string_view value, LineWriter* out) {
  for (char c : value.substr(0, kShownValue)) {
    char shown = c >= ' ' && c <= '~' ? c : '?';
    out->Text({&shown, 1});
  }
  if (value.size() > kShownValue) out->Text("...");
}

}  // namespace

std::string_view OptionChoice(const OptionSpec& spec, int64_t index) {
  std::string_view rest = spec.choices;
  while (true) {
    size_t bar = rest.find('|');
    if (index == 0) return rest.substr(0, bar);
    if (bar == std::string_view::npos) return {};
    rest.remove_prefix(bar + 1);
    index--;
  }
}

bool ParseOptionValue(const OptionSpec& spec, std::string_view text, int64_t* value) {
  int64_t parsed = 0;
  bool is_read = false;
  switch (spec.kind) {
    case OptionKind::kBool:
    case OptionKind::kInt:
      is_read = ParseNumber(text, &parsed);
      break;
    case OptionKind::kSize:
      is_read = ParseSize(text, &parsed);
      break;
    case OptionKind::kEnum:
      is_read = ParseChoice(spec, text, &parsed);
      break;
    case OptionKind::kText:
      is_read = text.size() <= kMaxOptionText;
      break;
  }
  if (!is_read || parsed < spec.min || parsed > spec.max) return false;
  *value = parsed;
  return true;
}

void DescribeAccepted(const OptionSpec& spec, LineWriter* out) {
  switch (spec.kind) {
    case OptionKind::kBool:
      out->Text("0 or 1");
      return;
    case OptionKind::kInt:
      out->Text("a whole number from ").Signed(spec.min).Text(" to ").Signed(spec.max);
      return;
    case OptionKind::kSize:
      out->Text("bytes from ").Signed(spec.min).Text(" to ").Signed(spec.max);
      out->Text(", or a number with K, M or G behind it");
      return;
    case OptionKind::kEnum:
      for (int64_t i = spec.min; i <= spec.max; i++) {
        if (i > spec.min) out->Text(i == spec.max ? " or " : ", ");
        out->Text(OptionChoice(spec, i));
      }
      return;
    case OptionKind::kText:
      out->Text("a text of up to ").Decimal(kMaxOptionText).Text(" bytes");
      return;
  }
}

void FormatOptionValue(const OptionSpec& spec, int64_t value, LineWriter* out) {
  if (spec.kind == OptionKind::kEnum) {
    out->Text(OptionChoice(spec, value));
  } else if (spec.kind == OptionKind::kText) {
    out->Text("none");  // Shown for defaults only.
  } else {
    out->Signed(value);
  }
}

void FormatOptionProblem(const OptionSpec& spec, std::string_view value, LineWriter* out) {
  out->Text("mesh: ").Text(spec.environment).Text("=");
  AppendShown(value, out);
  out->Text(" is ignored: it takes ");
  DescribeAccepted(spec, out);
  out->Text("; using ");
  FormatOptionValue(spec, spec.default_value, out);
  out->Text("\n");
}

void PrintOptionProblem(const OptionSpec& spec, std::string_view value) {
  LineWriter line;
  FormatOptionProblem(spec, value, &line);
  line.FlushTo(STDERR_FILENO);
}

void LoadOptions(char* const* environment, OptionProblemHandler problem, Options* options) {
  if (environment == nullptr) return;
  for (size_t i = 0; i < kOptionCount; i++) {
    const OptionSpec& spec = kOptionSpecs[i];
    std::string_view text;
    if (!FindVariable(environment, spec.environment, &text) || text.empty()) continue;
    int64_t value = 0;
    if (ParseOptionValue(spec, text, &value)) {
      options->SetValue(static_cast<OptionId>(i), value);
      if (spec.kind == OptionKind::kText) options->SetText(static_cast<OptionId>(i), text);
    } else {
      problem(spec, text);
    }
  }
}

}  // namespace mesh
