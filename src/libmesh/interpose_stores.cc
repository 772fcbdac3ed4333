// The interposed functions of stores.def, one wrapper for all.
//
// Where the write barrier lets the kernel's stores wait (its upper tiers), a wrapper costs one
// question; in the lower tiers it publishes the memory that it lends, if that may be meshed at all.
// A call is never tried again: what it has consumed would be lost.
// Room: libmesh. Thread rule: any thread; most of these are called inside signal handlers too.
#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/quota.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "src/base/check.h"
#include "src/libmesh/export.h"
#include "src/libmesh/loan.h"
#include "src/libmesh/real.h"
#include "src/runtime/hooks.h"

#define CANCELS
#define NOEXCEPT noexcept

#define MESH_STORES(Return, name, kind, parameters, arguments, memory)           \
  MESH_EXPORT Return name parameters kind {                                      \
    auto* libcs_own = mesh::RealFunction<Return parameters>(mesh::RealId::name); \
    if (MESH_LIKELY(!mesh::IsPublishing())) return libcs_own arguments;          \
    mesh::Loan loan;                                                             \
    loan memory;                                                                 \
    loan.Lend();                                                                 \
    return libcs_own arguments;                                                  \
  }

#include "src/libmesh/stores.def"
