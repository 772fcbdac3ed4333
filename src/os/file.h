// Descriptors: the memory file behind meshed spans, small files of /proc, writing text out.
//
// A process may close every descriptor it did not open, ours among them, and open its own file
// under the same number. So MemoryFile remembers device and inode, asks before each use, and never
// closes what is not its own. Room: os. Allocates nothing; takes no lock; errno stays untouched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "src/os/descriptor_gate.h"
#include "src/os/result.h"

namespace mesh::os {

// A descriptor as we expect to find it again.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;

  bool operator==(const FileIdentity&) const = default;
};

Result<FileIdentity> IdentityOf(int descriptor);

// True only if `descriptor` is open and is the file `identity`.
bool IsStillOurs(int descriptor, FileIdentity identity);

struct OpenedFile {
  int descriptor = -1;
  FileIdentity identity;
};

// Opens a file by open(argument), which returns a descriptor, and moves it out of the way of
// programs that count on the lowest free number, with FD_CLOEXEC set; there may be no room above.
// Errors: open's own; EBUSY: the program is closing a descriptor (descriptor_gate.h).
Result<OpenedFile> OpenOutOfTheWay(Result<int> (*open)(void*), void* argument);

// Closes `descriptor`. It is gone even when an error comes back.
Status CloseDescriptor(int descriptor);

// Memory with a descriptor (memfd_create). Thread rule: the owner's lock.
class MemoryFile {
 public:
  constexpr MemoryFile() = default;
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // Creates the file, empty, close-on-exec, under a high number. Must not be open.
  // Under a seccomp filter it is tried in a child first, since some filters kill the caller.
  // Errors: ENOSYS (old kernel, seccomp: EPERM), ECHILD (a filter kills), EMFILE, ENFILE, ENOMEM.
  Status Create();

  // Errors: EFBIG when RLIMIT_FSIZE forbids it (SIGXFSZ is never seen by the program), EBADF when
  //         the descriptor is no longer ours.
  Status Resize(size_t size);

  // Memory that the file holds [bytes]; holes do not count.
  Result<size_t> AllocatedBytes() const;

  // False when the program closed or replaced the descriptor behind our back.
  bool IsOurs() const;

  // Closes the descriptor if it is still ours; the mappings live on.
  void Close();

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
  FileIdentity identity_;
};

// Reads a file from its start into `buffer`, until it ends or the buffer is full. No zero is added.
Result<size_t> ReadSmallFile(const char* path, std::span<char> buffer);

// Writes `text` over the start of a file that is there.
Status WriteSmallFile(const char* path, std::string_view text);

// A file or a directory read front to back in pieces. Thread rule: one thread.
class FileReader {
 public:
  FileReader() = default;
  ~FileReader();
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  Status Open(const char* path);
  // Before what takes milliseconds: the program may open a file that has to get the lowest number.
  void GetOutOfTheWay();
  // At most buffer.size() bytes; 0 at the end of the file.
  Result<size_t> Read(std::span<char> buffer);
  // The same for a directory: records of getdents64(2).
  Result<size_t> ReadEntries(std::span<char> buffer);

 private:
  OpeningScope scope_;
  int descriptor_ = -1;
};

// Writes all of `text`, in as many calls as it takes.
Status WriteAll(int descriptor, std::string_view text);

}  // namespace mesh::os
