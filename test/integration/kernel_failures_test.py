"""The failures of allocators that the kernel has a part in, one test each; docs/safety.md has their
numbers.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks. MESH_SOURCES, the
sources of those that need a library which is not part of the build.
"""

import os
import pathlib
from collections.abc import Mapping

import pytest

from . import harness, tiers

in_every_tier = pytest.mark.parametrize("situation", tiers.EVERY, ids=str)

# For programs that cannot drop privileges: each tier as root has it.
BARRIERS = ("auto", "userfault", "userfault_user", "segv")

# What tier_shared.c sleeps on.
SHARED_KINDS = ("semaphore", "condition", "barrier", "rwlock", "mutex", "robust")

# How a program closes all descriptors.
CLOSES = ("close", "close_range", "closefrom", "dup2", "syscall")


# Meshed pages are shared views of a file: what sleeps there is known by the file. Programs that are
# expected to fork have private ones, where the next store brings the old name back.
SHARED_VIEWS: Mapping[str, str] = {"MESH_EXPECT_FORK": "0"}


def _check(
    root: pathlib.Path,
    situation: tiers.Situation,
    *words: str,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Runs a program in a tier: it is content and was meshed."""
    outcome = tiers.run(root, situation, words[0], *words[1:], settings=settings)
    tiers.check_meshed(outcome, situation)


def _check_silent(root: pathlib.Path, barrier: str | None, *words: str) -> None:
    """Runs a program that says nothing when all is well, with the library unless None."""
    preload = None if barrier is None else harness.library()
    sandbox = harness.Sandbox(root, preload, {"MESH_BARRIER": barrier or ""})
    outcome = sandbox.run(tiers.path(words[0]), *words[1:], status=None)
    silent = (0, b"", b"")
    assert (outcome.status, outcome.stdout, outcome.stderr) == silent, harness.describe(outcome)


@pytest.fixture(scope="session")
def uring_program(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """test/programs/tier_uring.c, compiled against the liburing of this machine."""
    built = tmp_path_factory.mktemp("uring") / "tier_uring"
    source = next(word for word in os.environ["MESH_SOURCES"].split() if "tier_uring" in word)
    options = ["-D_GNU_SOURCE", "-fno-builtin", "-O1", "-iquote", os.getcwd()]
    libraries = ["-luring", "-pthread", "-ldl"]
    command: list[str | pathlib.Path] = [harness.program("cc"), *options, "-o", built, source]
    command += libraries
    outcome = harness.run_program(command, dict(os.environ), pathlib.Path.cwd())
    if b"liburing.h" in outcome.stderr or b"-luring" in outcome.stderr:
        harness.missing("liburing is not installed")
    assert outcome.status == 0, harness.describe(outcome)
    return built


@in_every_tier
def test_bad_buffer_is_efault_at_once(root: pathlib.Path, situation: tiers.Situation) -> None:
    """A pointer that is really bad: EFAULT, nothing consumed, nothing of the program's changed."""
    _check(root, situation, "tier_bad_buffer")


@pytest.mark.parametrize("threads", ["alone", "threads"])
@pytest.mark.parametrize("situation", tiers.EVERY, ids=str)
def test_reads_by_io_uring_in_flight(
    root: pathlib.Path, situation: tiers.Situation, threads: str, uring_program: pathlib.Path
) -> None:
    """Reads complete behind the program's back: into what is meshed in the full tier alone."""
    outcome = tiers.run(root, situation, uring_program, threads)
    if outcome.stdout == b"no ring\n":
        pytest.skip("the kernel gives this user no io_uring")
    if situation == tiers.FULL:
        tiers.check_meshed(outcome, situation)
    else:
        assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
        assert outcome.stdout == b"none\n0\n"


@in_every_tier
def test_direct_reads_in_flight(root: pathlib.Path, situation: tiers.Situation) -> None:
    """Reads past the page cache, into buffers aligned as these need it."""
    outcome = tiers.run(root, situation, "tier_direct")
    if outcome.stdout == b"no direct reads\n":
        pytest.skip("the file system has no direct reads")
    tiers.check_meshed(outcome, situation)


@pytest.mark.parametrize("between", ["mesh", "fork"])
@in_every_tier
def test_shared_futex_is_woken(
    root: pathlib.Path, situation: tiers.Situation, between: str
) -> None:
    """A thread sleeps on a word without the PRIVATE flag while its page is meshed, or forked."""
    _check(root, situation, "tier_futex", between, settings=SHARED_VIEWS)


@pytest.mark.parametrize("kind", SHARED_KINDS)
@in_every_tier
def test_shared_objects_are_woken(
    root: pathlib.Path, situation: tiers.Situation, kind: str
) -> None:
    """Threads sleep on semaphores and their kin, made for several processes, that are meshed."""
    _check(root, situation, "tier_shared", kind, settings=SHARED_VIEWS)


@pytest.mark.parametrize("barrier", [None, *BARRIERS])
def test_future_is_woken(root: pathlib.Path, barrier: str | None) -> None:
    """std::future, whose state is meshed while threads wait for it."""
    _check_silent(root, barrier, "future_wakes")


@pytest.mark.parametrize("barrier", [None, *BARRIERS])
def test_advice_on_pages_of_the_heap(root: pathlib.Path, barrier: str | None) -> None:
    """madvise, mprotect and mlock on page-sized objects do what they do with any malloc."""
    _check_silent(root, barrier, "page_advice")


@pytest.mark.parametrize("way", ["mprotect", "syscall"])
@in_every_tier
def test_protected_pages_stay_so(root: pathlib.Path, situation: tiers.Situation, way: str) -> None:
    """Pages that a program makes executable, with small objects of its own and others on them."""
    _check(root, situation, "tier_protect", way)


@in_every_tier
def test_handler_on_the_meshing_thread(root: pathlib.Path, situation: tiers.Situation) -> None:
    """Signals come to the thread that meshes; their handler stores and reads into the heap."""
    _check(root, situation, "tier_handler_on_mesher", "threads")


@pytest.mark.parametrize("barrier", [None, *BARRIERS])
def test_handler_in_a_program_of_one_thread(root: pathlib.Path, barrier: str | None) -> None:
    """The same, where no barrier is needed for want of other threads."""
    preload = None if barrier is None else harness.library()
    sandbox = harness.Sandbox(root, preload, {"MESH_BARRIER": barrier or ""})
    outcome = sandbox.run(tiers.path("tier_handler_on_mesher"), "alone", status=None)
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)


@pytest.mark.parametrize("barrier", BARRIERS)
def test_user_namespace_is_granted(root: pathlib.Path, barrier: str) -> None:
    """No thread of ours has a program of one thread refused a namespace."""
    program = tiers.path("user_namespace")
    plain = harness.Sandbox(root, None, {}).run(program)
    if plain.stdout != b"unshared\n":
        pytest.skip("this machine refuses user namespaces to everybody")
    preloaded = harness.Sandbox(root, harness.library(), {"MESH_BARRIER": barrier}).run(program)
    assert (preloaded.stdout, preloaded.stderr) == (b"unshared\n", b"")


@in_every_tier
def test_file_size_limit_is_no_signal(root: pathlib.Path, situation: tiers.Situation) -> None:
    """No SIGXFSZ but the program's own, and meshing goes on without a file."""
    _check(root, situation, "tier_file_size")


@pytest.mark.parametrize("filter_of", ["service", "sandbox"])
@pytest.mark.parametrize("barrier", [None, *BARRIERS])
def test_own_filter_that_kills(root: pathlib.Path, barrier: str | None, filter_of: str) -> None:
    """A program puts itself under a filter: meshed if it lets that be, and never killed by us."""
    _check_silent(root, barrier, "strict_filter", filter_of)


@pytest.mark.parametrize("way", CLOSES)
@in_every_tier
def test_descriptors_closed_during_a_mesh(
    root: pathlib.Path, situation: tiers.Situation, way: str
) -> None:
    """All descriptors are closed, over and over, by a thread beside the one that meshes."""
    _check(root, situation, "tier_closing", way)


@pytest.mark.parametrize("barrier", [None, "auto"])
def test_nothing_is_freed_out_of_a_huge_page(root: pathlib.Path, barrier: str | None) -> None:
    """What is given back singly lies in no huge page; huge pages go back whole."""
    _check_silent(root, barrier, "huge_page_return")


@pytest.mark.parametrize("stack", ["large", "small", "handler"])
@in_every_tier
def test_stacks_in_the_heap(root: pathlib.Path, situation: tiers.Situation, stack: str) -> None:
    """Coroutines and signal handlers run on heap objects while these would be meshed."""
    _check(root, situation, "tier_stacks", stack)


@pytest.mark.parametrize(
    "words",
    [
        ("tier_bad_buffer",),
        ("tier_direct",),
        ("tier_futex", "mesh"),
        ("tier_futex", "fork"),
        *(("tier_shared", kind) for kind in SHARED_KINDS),
        ("tier_protect", "mprotect"),
        ("tier_handler_on_mesher", "threads"),
        ("tier_file_size",),
        ("tier_closing", "close_range"),
        ("tier_stacks", "large"),
        ("tier_stacks", "small"),
        ("tier_stacks", "handler"),
    ],
    ids="-".join,
)
def test_programs_hold_plainly(root: pathlib.Path, words: tuple[str, ...]) -> None:
    """The programs of this test have nothing to complain of without the library."""
    tiers.check_plainly(root, *words)
