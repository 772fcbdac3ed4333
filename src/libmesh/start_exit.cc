// What the library does when it is loaded and when the program ends.
//
// The heap comes up with the first malloc, which is earlier than any constructor; the constructor
// makes sure that a program which never allocates is served too. The report of MALLOCSTATS is
// written by the destructor, as is MESH_STATS_FILE: after it, the program's last destructors may
// still allocate. Room: libmesh. Thread rule: the loader's, one thread at start.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "src/control/report.h"
#include "src/runtime/heap.h"
#include "src/runtime/program_hooks.h"

namespace mesh {
namespace {

// Where descriptors of our own begin, so that the program's own numbers come out as without us.
constexpr int kFirstOwnDescriptor = 100;

// A second descriptor for standard error, held only if a report was asked for: many programs (all
// of GNU coreutils) close standard error before destructors run. -1: none.
int report_descriptor = -1;
struct stat report_file;

// The program may have closed our descriptor and opened a file of its own there.
bool IsReportFile(int descriptor) {
  struct stat now;
  return fstat(descriptor, &now) == 0 && now.st_dev == report_file.st_dev &&
         now.st_ino == report_file.st_ino;
}

// Standard error as the program left it; what it was at the start if it is closed now.
int ReportDescriptor() {
  if (fcntl(STDERR_FILENO, F_GETFD) != -1) return STDERR_FILENO;
  if (report_descriptor != -1 && IsReportFile(report_descriptor)) return report_descriptor;
  return -1;
}

// Earlier than every constructor without a priority, also where the library is linked statically.
__attribute__((constructor(101))) void AtStart() {
  if (ProcessControl().options->mallocstats() == 0) return;
  if (fstat(STDERR_FILENO, &report_file) != 0) return;
  report_descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, kFirstOwnDescriptor);
}

// The name that the option asks for; cut where it does not fit.
void FormatFileName(std::string_view pattern, LineWriter* name) {
  size_t mark = pattern.find("%p");
  name->Text(pattern.substr(0, mark));
  if (mark == std::string_view::npos) return;
  pattern.remove_prefix(mark + 2);
  name->Decimal(static_cast<uint64_t>(getpid())).Text(pattern);
}

// As JSON. A file that cannot be written is reported in a line.
void WriteFile(const char* pattern, const Statistics& statistics) {
  LineWriter name;
  FormatFileName(pattern, &name);
  name.Text(std::string_view("\0", 1));
  int descriptor = open(name.view().data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor == -1) {
    LineWriter line;
    line.Text("mesh: MESH_STATS_FILE=").Text(pattern).Text(" cannot be written: errno ");
    line.Decimal(static_cast<uint64_t>(errno)).Text("\n");
    int reported = ReportDescriptor();
    OutputSink(&reported).Put(&line);
    return;
  }
  WriteJson(statistics, DescriptorSink(&descriptor));
  close(descriptor);
}

void WriteText(int64_t level, const Statistics& statistics) {
  int descriptor = ReportDescriptor();
  TextSink sink = OutputSink(&descriptor);
  if (level == 1) {
    WriteSummary(statistics, sink);
  } else {
    WriteDetails(statistics, sink);
  }
}

__attribute__((destructor(101))) void AtExit() {
  CheckAtExit();
  const ControlTarget& control = ProcessControl();
  int64_t level = control.options->mallocstats();
  const char* file = control.options->stats_file();
  if (level == 0 && file == nullptr) return;
  Statistics statistics;
  control.collect(control.context, &statistics);
  if (level != 0) WriteText(level, statistics);
  if (file != nullptr) WriteFile(file, statistics);
}

}  // namespace
}  // namespace mesh
