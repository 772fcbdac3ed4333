"""The failures of allocators around fork(2), one test each; docs/safety.md has their numbers.

Programs with threads run in every tier of the write barrier, and with meshed memory shown in both
ways: by shared views, and by private ones, as to programs that are expected to fork.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import pathlib
import platform

import pytest

from . import harness, tiers

in_every_tier = pytest.mark.parametrize("situation", tiers.EVERY, ids=str)
# Ways to fork of fork_raw.c; all but SYS_fork are on every machine.
RAW_FORKS = ("_Fork", "clone", "syscall_clone", "syscall_clone3") + (
    ("syscall_fork",) if platform.machine() == "x86_64" else ()
)

with_both_views = pytest.mark.parametrize("expect_fork", ["0", "1"])


def _check(root: pathlib.Path, situation: tiers.Situation, expect_fork: str, *words: str) -> None:
    """Runs a program in a tier: it is content and was meshed."""
    settings = {"MESH_EXPECT_FORK": expect_fork}
    outcome = tiers.run(root, situation, words[0], *words[1:], settings=settings)
    tiers.check_meshed(outcome, situation)


def _check_silent(root: pathlib.Path, expect_fork: str | None, *words: str) -> None:
    """Runs a program that says nothing when all is well, with the library unless None."""
    preload = None if expect_fork is None else harness.library()
    sandbox = harness.Sandbox(root, preload, {"MESH_EXPECT_FORK": expect_fork or ""})
    outcome = sandbox.run(tiers.path(words[0]), *words[1:], status=None)
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, b"", b""), harness.describe(
        outcome
    )


@in_every_tier
@with_both_views
def test_child_heap_with_holes(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """Children find the heap whole, allocate, mesh and fork, while the parent meshes."""
    _check(root, situation, expect_fork, "tier_fork", "holes")


@in_every_tier
@with_both_views
def test_parent_does_not_wait_for_the_child(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """A debugger holds the child back; the parent goes on, to its end."""
    _check(root, situation, expect_fork, "fork_parent_goes_on")


@in_every_tier
@with_both_views
def test_snapshot_is_atomic(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """A child sees one moment of each other thread's stores."""
    _check(root, situation, expect_fork, "tier_fork", "snapshot")


@pytest.mark.parametrize("way", RAW_FORKS)
@in_every_tier
@with_both_views
def test_fork_without_atfork_handlers(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str, way: str
) -> None:
    """_Fork, clone and system calls by number: parent and child live apart, and mesh."""
    _check(root, situation, expect_fork, "fork_raw", way)


def test_fork_that_nobody_sees(root: pathlib.Path) -> None:
    """A system call of the program's own instruction, where meshed memory is shown privately."""
    alone = tiers.Situation("auto", (), "single thread")
    _check(root, alone, "1", "fork_raw", "instruction")


@with_both_views
def test_spans_of_other_threads_come_back(root: pathlib.Path, expect_fork: str) -> None:
    """What threads had in hand is not lost to their process's children, and theirs."""
    _check(root, tiers.USER, expect_fork, "tier_fork", "generations")


@pytest.mark.parametrize("expect_fork", [None, "0", "1"])
def test_living_children_pin_one_copy(root: pathlib.Path, expect_fork: str | None) -> None:
    """Children that live on share one old heap."""
    _check_silent(root, expect_fork, "fork_memory", "pins")


@in_every_tier
@with_both_views
def test_system_calls_after_fork(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """The kernel stores into the heaps of both sides, while they are meshed."""
    _check(root, situation, expect_fork, "tier_fork", "calls")


@in_every_tier
@with_both_views
def test_meshing_goes_on_after_fork(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """Parents, children and their children mesh as before."""
    _check(root, situation, expect_fork, "tier_fork", "meshes")


@pytest.mark.parametrize("expect_fork", [None, "0", "1"])
def test_object_above_two_gib(root: pathlib.Path, expect_fork: str | None) -> None:
    """Lengths that do not fit into an int."""
    _check_silent(root, expect_fork, "fork_huge_object")


@pytest.mark.parametrize("expect_fork", ["0", "1"])
def test_fork_is_silent(root: pathlib.Path, expect_fork: str) -> None:
    """Nothing is written to stdout or stderr by parents, children and theirs."""
    _check_silent(root, expect_fork, "fork_heap")


@pytest.mark.parametrize("way", ["posix_spawn", "vfork"])
@in_every_tier
def test_spawn_holds_no_lock(root: pathlib.Path, situation: tiers.Situation, way: str) -> None:
    """While a child waits before its exec, other threads allocate and mesh."""
    _check(root, situation, "auto", "spawn_blocked", way)


@in_every_tier
@with_both_views
def test_stopped_child_holds_nobody(
    root: pathlib.Path, situation: tiers.Situation, expect_fork: str
) -> None:
    """A child stopped in the middle of a mesh, or killed, does not keep its parent waiting."""
    _check(root, situation, expect_fork, "tier_fork", "stopped")


@pytest.mark.parametrize("expect_fork", [None, "0", "1"])
def test_memory_stays_small_over_forks(root: pathlib.Path, expect_fork: str | None) -> None:
    """A parent that forks again and again gets its compacted heap back each time."""
    _check_silent(root, expect_fork, "fork_memory", "growth")


@pytest.mark.parametrize(
    "words",
    [
        ("tier_fork", "holes"),
        ("tier_fork", "snapshot"),
        ("tier_fork", "generations"),
        ("tier_fork", "meshes"),
        ("tier_fork", "calls"),
        ("tier_fork", "stopped"),
        ("fork_parent_goes_on",),
        ("fork_raw", "instruction"),
        ("spawn_blocked", "posix_spawn"),
        ("spawn_blocked", "vfork"),
    ],
    ids="-".join,
)
def test_programs_hold_plainly(root: pathlib.Path, words: tuple[str, ...]) -> None:
    """The programs of this test have nothing to complain of without the library."""
    tiers.check_plainly(root, *words)
