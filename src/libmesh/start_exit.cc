// What the library does when it is loaded and when the program ends.
//
// The heap comes up with the first malloc, which is earlier than any constructor; the constructor
// makes sure that a program which never allocates is served too. The report of MALLOCSTATS is
// written by the destructor: after it, the program's last destructors may still allocate.
// Room: libmesh. Thread rule: the loader's, one thread at start.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/control/report.h"
#include "src/runtime/heap.h"

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

__attribute__((destructor(101))) void AtExit() {
  const ControlTarget& control = ProcessControl();
  int64_t level = control.options->mallocstats();
  if (level == 0) return;
  int descriptor = ReportDescriptor();
  if (descriptor == -1) return;
  Statistics statistics;
  control.collect(control.context, &statistics);
  TextSink sink = DescriptorSink(&descriptor);
  if (level == 1) {
    WriteSummary(statistics, sink);
  } else {
    WriteDetails(statistics, sink);
  }
}

}  // namespace
}  // namespace mesh
