"""Processes that are short of something run, and keep what is theirs: in every tier.

Descriptors, system calls, address space, mappings, devices: what is refused, taken away or used up
here ends in "not meshed" or in ENOMEM, and nowhere else. The programs (test/programs) check for
themselves, and print the tier they were meshed in and the number of spans that were meshed.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import pathlib
import signal
import subprocess
from collections.abc import Sequence

import pytest

from . import harness, tiers

# Of the file that a daemon opens after it has closed everything.
FILE_MEGABYTES = 256

# Address space and data of a program under a limit [bytes].
MEMORY_LIMIT = 512 << 20
# Mappings are limited to 65,530; we stop at 3/4 to 7/8 of that (src/meshing/mapping_budget.h).
MAPPINGS = 62_000
MAPPINGS_BESIDE_MESHES = (40_000, 12_000)

EPERM, ENOSYS, KILL = "1", "38", "0"
# System calls that a filter refuses, how, and whether meshing has to go on without them.
REFUSALS = (
    ("memfd_create", EPERM, True),
    ("memfd_create", ENOSYS, True),
    ("memfd_create", KILL, True),
    ("userfaultfd", KILL, True),
    ("membarrier", EPERM, True),
    ("membarrier", KILL, True),
    ("getrandom", ENOSYS, True),
    ("mincore,prctl,fallocate,ftruncate", EPERM, True),
    ("mremap", EPERM, False),
    ("madvise", EPERM, False),
    ("memfd_create,userfaultfd,mremap,madvise,membarrier", EPERM, False),
)
LIMITS = (
    ("as", MEMORY_LIMIT),
    ("data", MEMORY_LIMIT // 4),
    ("fsize", 0),
    ("nofile", 3),
    ("nofile", 0),
    ("memlock", 0),
    ("stack", 256 << 10),
    ("core", 0),
)

every_tier = pytest.mark.parametrize("situation", tiers.EVERY, ids=str)


def _sandbox(root: pathlib.Path, situation: tiers.Situation) -> harness.Sandbox:
    """A directory in which an ordinary user may write as well."""
    tiers.need_kernel(situation)
    sandbox = harness.Sandbox(root, harness.library(), {"MESH_BARRIER": situation.barrier})
    root.chmod(0o777)
    return sandbox


def _check_runs(outcome: harness.Outcome) -> None:
    """The program is content and has said nothing but its report."""
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
    assert len(outcome.stdout.splitlines()) == 2, harness.describe(outcome)


@pytest.mark.parametrize("way", [(), ("raw",)], ids=["libc", "raw"])
@every_tier
def test_daemon_keeps_its_file(
    situation: tiers.Situation, way: Sequence[str], root: pathlib.Path
) -> None:
    """closefrom(3), then a file of its own under all our numbers: the same byte for byte."""
    sandbox = _sandbox(root, situation)
    arguments = ("file", str(FILE_MEGABYTES), *way, *situation.words)
    program = tiers.path("daemon_files")
    outcome = sandbox.run(program, *arguments, status=None)
    # Meshed at first; without its descriptor, what comes then may be another tier.
    _check_runs(outcome)
    assert int(outcome.stdout.split()[-1]) > 0, harness.describe(outcome)
    (root / "file").unlink()


@every_tier
def test_no_descriptor_leaks_over_exec(situation: tiers.Situation, root: pathlib.Path) -> None:
    """0, 1, 2, and the directory that ls reads; in a child first, then in the program's place."""
    outcome = tiers.run(root, situation, "exec_descriptors")
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
    assert outcome.stdout == b"0\n1\n2\n3\n" * 2


@every_tier
@pytest.mark.parametrize(("calls", "how", "meshes"), REFUSALS)
def test_refused_calls(
    calls: str, how: str, meshes: bool, situation: tiers.Situation, root: pathlib.Path
) -> None:
    """A filter that refuses what a compacting allocator would like to have, or kills for it."""
    outcome = tiers.run(root, situation, "denied_calls", calls, how)
    _check_runs(outcome)
    # A tier that was asked for by name is not replaced by another.
    can_mesh = meshes and not ("userfaultfd" in calls and situation is tiers.FULL)
    assert (int(outcome.stdout.split()[-1]) > 0) == can_mesh, harness.describe(outcome)


@every_tier
@pytest.mark.parametrize("forks", ["0", "1"])
def test_data_limit_reached_during_a_mesh(
    forks: str, situation: tiers.Situation, root: pathlib.Path
) -> None:
    """Another thread takes up what read-only pages leave of RLIMIT_DATA."""
    settings = {"MESH_EXPECT_FORK": forks}
    outcome = tiers.run(root, situation, "tier_data_limit", settings=settings)
    tiers.check_meshed(outcome, situation)


@every_tier
@pytest.mark.parametrize(("resource", "limit"), LIMITS)
def test_resource_limits(
    resource: str, limit: int, situation: tiers.Situation, root: pathlib.Path
) -> None:
    """Under each limit from the start on; where it is one of memory, up to the end of that."""
    outcome = tiers.run(root, situation, "resource_limits", resource, str(limit))
    _check_runs(outcome)
    # Without a descriptor, /proc does not tell whether there are other threads.
    if resource != "nofile":
        tiers.check_meshed(outcome, situation)


@every_tier
def test_tens_of_thousands_of_mappings(situation: tiers.Situation, root: pathlib.Path) -> None:
    """A program that has nearly all mappings runs, unmeshed: the rest is for itself."""
    outcome = tiers.run(root, situation, "many_mappings", str(MAPPINGS), "1000")
    _check_runs(outcome)
    assert outcome.stdout.split()[-1] == b"0"


@every_tier
def test_mappings_beside_meshes(situation: tiers.Situation, root: pathlib.Path) -> None:
    """Half-way there is room for meshes, and for the program's own mappings after that."""
    counts = map(str, MAPPINGS_BESIDE_MESHES)
    tiers.check_meshed(tiers.run(root, situation, "many_mappings", *counts), situation)


def _isolated(*script: str) -> Sequence[str]:
    """Words that run a command in mounts of its own, changed by a script; skips where none may."""
    for unshare in (
        ["unshare", "--mount"],
        ["unshare", "--user", "--map-root-user", "--mount"],
    ):
        command = [*unshare, "sh", "-ec", "; ".join((*script, 'exec "$0" "$@"'))]
        if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
            return command
    pytest.skip("this user may not mount")


MOUNTS = {
    "no_dev": ("mount -t tmpfs none /dev",),
    "no_proc": ("mount -t tmpfs none /proc",),
    "neither": ("mount -t tmpfs none /dev", "mount -t tmpfs none /proc"),
    "small_shm": ("mkdir -p /dev/shm", "mount -t tmpfs -o size=4k none /dev/shm"),
}


@every_tier
@pytest.mark.parametrize("mounts", MOUNTS)
def test_bare_file_system(mounts: str, situation: tiers.Situation, root: pathlib.Path) -> None:
    """No /dev/urandom and no getrandom(2), no /proc, no room in /dev/shm."""
    isolated = _isolated(*MOUNTS[mounts])
    sandbox = _sandbox(root, situation)
    arguments = ("getrandom", ENOSYS, *situation.words)
    program = tiers.path("denied_calls")
    outcome = sandbox.run(*isolated, program, *arguments, status=None)
    _check_runs(outcome)
    if mounts == "small_shm":
        assert int(outcome.stdout.split()[-1]) > 0


@pytest.mark.parametrize("mode", ["handled", "fatal"])
@every_tier
def test_stack_overflow(situation: tiers.Situation, mode: str, root: pathlib.Path) -> None:
    """On an alternate stack it is the handler's; without one it kills by SIGSEGV."""
    outcome = tiers.run(root, situation, "tier_overflow", mode)
    if mode == "handled":
        tiers.check_meshed(outcome, situation)
    else:
        assert (outcome.status, outcome.stdout) == (-signal.SIGSEGV, b""), harness.describe(outcome)


# Program, arguments.
PLAIN = (
    ("daemon_files", ("file", "2")),
    ("denied_calls", ("memfd_create", EPERM)),
    ("resource_limits", ("as", str(MEMORY_LIMIT))),
    ("many_mappings", (str(MAPPINGS), "1000")),
    ("huge_pages", ()),
    ("tier_overflow", ("handled",)),
)


@pytest.mark.parametrize(("program", "arguments"), PLAIN)
def test_programs_hold_plainly(program: str, arguments: Sequence[str], root: pathlib.Path) -> None:
    """The programs of this test have nothing to complain of without the library."""
    tiers.check_plainly(root, program, *arguments)
