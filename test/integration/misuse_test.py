"""Misuse of malloc's family, each by a program of its own: what ends the program, and how.

test/programs/misuse.c commits one misuse, by name, and looks at the heap afterwards. Where the
allocator stops it, the program is ended by SIGABRT with one line on stderr.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import pathlib
import signal
from collections.abc import Mapping

import pytest

from . import harness, tiers

# Stopped there and then, in the default build; the words are those of the line. glibc 2.36 stops
# all of them too, but for two that it stops late: double_by_other and double_small_by_other.
STOPPED = {
    "double_small": "double free",
    "double_middle": "double free",
    "double_large": "free of a pointer that is not in use",
    "double_by_other": "free of a pointer that is not in use",
    "inside_large": "free of a pointer that is not in use",
    "head_of_large": "free of a pointer into the middle of an object",
    "mapped_misaligned": "free of a pointer that is not aligned",
    "on_stack": "free of a pointer to the stack",
    "on_thread_stack": "free of a pointer to the stack",
    "in_program": "free of a pointer to the program's own data",
    "realloc_freed": "free of a pointer that is not in use",
    "realloc_inside": "free of a pointer that is not in use",
    "realloc_inside_small": "realloc of a pointer into the middle of an object",
    "realloc_stack": "free of a pointer to the stack",
    "inside_small": "free of a pointer into the middle of an object",
    "inside_middle": "free of a pointer into the middle of an object",
    "misaligned": "free of a pointer into the middle of an object",
    "double_alternate": "double free",
    "double_small_by_other": "double free",
    "double_late": "double free",
    "double_seventh": "double free",
    "double_middle_sized": "double free",
    "double_aligned": "double free",
    "double_zero": "double free",
}
# There is no memory, which faults; glibc's too.
FAULTS = ("no_address",)
# Stopped when the slot leaves the thread, at the latest; at once with MESH_CHECK_FREES. glibc does
# not stop it.
STOPPED_LATE = {
    "double_by_live_other": "double free",
}
ALL_STOPPED = {**STOPPED, **STOPPED_LATE}
# Another allocator's, for all that can be known: left alone, and never taken for ours. glibc, whose
# own all memory is, ends the program.
LEFT_ALONE = ("mapped", "realloc_mapped")


def _commit(
    root: pathlib.Path,
    misuse: str,
    *words: str,
    settings: Mapping[str, str] | None = None,
) -> harness.Outcome:
    """Runs the program under the library."""
    sandbox = harness.Sandbox(root, harness.library(), settings or {})
    return sandbox.run(tiers.path("misuse"), misuse, *words, status=None)


def _check_stopped(outcome: harness.Outcome, words: str) -> None:
    """The program was ended, in one line that says why."""
    assert outcome.status == -signal.SIGABRT, harness.describe(outcome)
    lines = outcome.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"mesh: {words}: 0x"), harness.describe(outcome)


@pytest.mark.parametrize("misuse", STOPPED)
def test_misuse_is_stopped(misuse: str, root: pathlib.Path) -> None:
    """What costs nothing to see is seen at once."""
    _check_stopped(_commit(root, misuse), STOPPED[misuse])


@pytest.mark.parametrize("misuse", FAULTS)
def test_free_of_no_memory_faults(misuse: str, root: pathlib.Path) -> None:
    """What points to no memory was never an object, of anybody."""
    outcome = _commit(root, misuse)
    assert outcome.status == -signal.SIGSEGV, harness.describe(outcome)


@pytest.mark.parametrize("misuse", [*STOPPED, *FAULTS])
def test_glibc_stops_no_more(misuse: str, root: pathlib.Path) -> None:
    """The list is of what glibc stops, or sees late: nothing on it is one that it lets pass."""
    sandbox = harness.Sandbox(root, None, {})
    outcome = sandbox.run(tiers.path("misuse"), misuse, "flush", status=None)
    assert outcome.status in (-signal.SIGABRT, -signal.SIGSEGV), harness.describe(outcome)


@pytest.mark.parametrize("misuse", STOPPED_LATE)
def test_misuse_is_stopped_late(misuse: str, root: pathlib.Path) -> None:
    """What is not seen at once is seen when the thread gives the slot back to the heap."""
    _check_stopped(_commit(root, misuse, "flush"), STOPPED_LATE[misuse])


@pytest.mark.parametrize("misuse", ALL_STOPPED)
def test_checked_frees_stop_all_at_once(misuse: str, root: pathlib.Path) -> None:
    """With MESH_CHECK_FREES nothing is left for later."""
    outcome = _commit(root, misuse, settings={"MESH_CHECK_FREES": "1"})
    # A span that is empty then has gone back to the arena.
    is_gone = misuse in ("double_middle", "double_aligned")
    _check_stopped(outcome, STOPPED["double_large"] if is_gone else ALL_STOPPED[misuse])


@pytest.mark.parametrize("settings", [{}, {"MESH_CHECK_FREES": "1"}], ids=["default", "checked"])
@pytest.mark.parametrize("misuse", LEFT_ALONE)
def test_foreign_pointer_is_left_alone(
    misuse: str, settings: Mapping[str, str], root: pathlib.Path
) -> None:
    """Nothing comes of it, and what it points to is as it was."""
    outcome = _commit(root, misuse, settings=settings)
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)


@pytest.mark.parametrize("options", [(), ("--fork", "--compact")], ids=["threads", "fork"])
def test_checked_frees_accept_what_is_sound(options: tuple[str, ...], root: pathlib.Path) -> None:
    """The stress driver, with frees across threads, children and compaction, is not stopped."""
    settings = {**harness.EAGER, "MESH_CHECK_FREES": "1"}
    sandbox = harness.Sandbox(root, harness.library(), settings)
    outcome = sandbox.run(tiers.path("churn"), "--seconds=1", "--threads=4", *options)
    assert outcome.stderr == b"", harness.describe(outcome)


def test_the_list_is_whole(root: pathlib.Path) -> None:
    """Every misuse that the program knows has its outcome here."""
    known = harness.Sandbox(root, None, {}).run(tiers.path("misuse"), "list").stdout.decode()
    assert sorted(known.split()) == sorted((*STOPPED, *FAULTS, *STOPPED_LATE, *LEFT_ALONE))
