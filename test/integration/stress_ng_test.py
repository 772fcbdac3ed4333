"""stress-ng: stressors of allocation, memory, processes, threads and signals, with --verify.

Each stressor does a fixed number of rounds or runs for a second, whichever is less, and checks for
itself what it has written. Its exit status has to be the one that it has without the library: some
end otherwise than with 0 on a kernel that lacks something.
"""

import pathlib
import re
from collections.abc import Sequence

import pytest

from . import harness

# What a stressor may take, so that it fits any machine: the defaults fill the memory.
LIMITS = (
    *("--malloc-bytes", "2k", "--malloc-max", "20000", "--malloc-pthreads", "3"),
    *("--vm-bytes", "16m", "--mmap-bytes", "16m", "--mremap-bytes", "8m", "--brk-ops", "20000"),
    *("--bigheap-ops", "1000", "--stack-ops", "5", "--fork-max", "4"),
    *("--pthread-max", "64", "--shm-bytes", "1m", "--vforkmany-ops", "100"),
)

# Allocation and data structures on malloc.
ALLOCATION = """
malloc bigheap brk list tree skiplist hsearch tsearch judy bsearch lsearch qsort heapsort
mergesort radixsort str wcs memcpy zlib randlist funccall
"""

# Memory and mappings, behind and beside the heap.
MEMORY = """
vm vm-rw vm-addr vm-segv vm-splice mmap mmapfixed mmapaddr msync mmapmany mremap munmap madvise
mincore mlock memfd memthrash shm shm-sysv rmap remap stack stackmmap tlb-shootdown userfaultfd
zero
"""

# Processes, threads, signals, and calls between them.
PROCESSES = """
fork vfork vforkmany clone spawn exec daemon wait zombie exit-group pthread mutex
futex membarrier sem sem-sysv context bad-altstack sigabrt sigchld sigfd sigfpe sigio sigq
signal signest sigpending sigrt sigsegv sigsuspend kill switch pipe poll sockpair msg mq splice
tee timer timerfd getdent procfs rlimit sysbadaddr nanosleep yield prctl rseq
"""

STRESSORS = {"allocation": ALLOCATION, "memory": MEMORY, "processes": PROCESSES}

# Of those, the ones that CI runs.
IN_BRIEF = """
malloc bigheap brk list tree hsearch qsort str zlib vm vm-addr vm-rw mmapmany mremap mlock memfd
stack userfaultfd fork vfork clone spawn exec daemon pthread futex bad-altstack
sigsegv signest sigq sem pipe splice timerfd
"""

# As many at once in CI.
AT_ONCE = 4


def _stress(sandbox: harness.Sandbox, stressors: Sequence[str]) -> None:
    """Some stressors at once; what they complain of has to be the same, less numbers."""
    chosen = [word for stressor in stressors for word in (f"--{stressor}", "1")]
    # Less than a second would be no limit at all.
    call = [harness.program("stress-ng"), *chosen, "--verify", "-t", "1", *LIMITS]
    outcome = sandbox.run(*call, "--temp-path", sandbox.root, status=None, observed=False)
    text = outcome.stdout + outcome.stderr
    complaints = re.findall(rb"(?m)^stress-ng: (?:fail|error): .*$|^libmesh.*$", text)
    plain = sorted({re.sub(rb"\d+", b"N", line) for line in complaints})
    sandbox.observe(f"complaints of {stressors}", b"\n".join(plain))


@pytest.mark.parametrize("group", STRESSORS)
def test_stressors(group: str, root: pathlib.Path, full: bool) -> None:
    """Every stressor ends as it does without the library, in every tier of the write barrier."""
    chosen = IN_BRIEF.split()
    stressors = [name for name in STRESSORS[group].split() if full or name in chosen]
    step = 1 if full else AT_ONCE

    def scenario(sandbox: harness.Sandbox) -> None:
        for start in range(0, len(stressors), step):
            _stress(sandbox, stressors[start : start + step])

    harness.expect_same(scenario, root, len(harness.TIER_SETTINGS), harness.TIER_SETTINGS)
