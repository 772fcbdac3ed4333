"""Whether this kernel lets this user have what Mesh's write barriers by userfaultfd need."""

import ctypes
import fcntl
import os
import platform
import struct

# asm/unistd.h of the two.
_SYSCALL_NUMBERS = {"x86_64": 323, "aarch64": 282}
# _IOWR(0xAA, 0x3F, struct uffdio_api) and _IO(0xAA, 0), linux/userfaultfd.h.
_UFFDIO_API = 0xC018AA3F
_USERFAULTFD_IOC_NEW = 0xAA00
_UFFD_API = 0xAA
_UFFD_USER_MODE_ONLY = 1
# UFFD_FEATURE_PAGEFAULT_FLAG_WP, _WP_HUGETLBFS_SHMEM, _WP_UNPOPULATED (Linux 6.4).
_FEATURES = 1 << 0 | 1 << 12 | 1 << 13


def is_there(user_mode: bool = False) -> bool:
    """Tries it in a child process, as a seccomp filter may punish the attempt with death.

    Args: user_mode: ask for one that sees stores of user code alone, which any user may have.
    """
    child = os.fork()
    if child == 0:
        try:
            fcntl.ioctl(_open(user_mode), _UFFDIO_API, struct.pack("QQQ", _UFFD_API, _FEATURES, 0))
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def _open(user_mode: bool) -> int:
    """A userfaultfd, by either way to get one; it sees system calls too, unless user_mode is set.

    Raises: OSError: there is none for us.
    """
    number = _SYSCALL_NUMBERS.get(platform.machine())
    if number is not None:
        flags = os.O_CLOEXEC | (_UFFD_USER_MODE_ONLY if user_mode else 0)
        opened: int = ctypes.CDLL(None).syscall(number, flags)
        if opened >= 0:
            return opened
    device = os.open("/dev/userfaultfd", os.O_RDWR | os.O_CLOEXEC)
    return fcntl.ioctl(device, _USERFAULTFD_IOC_NEW, os.O_CLOEXEC)
