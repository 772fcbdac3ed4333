"""Programs with threads mesh in every tier of the write barrier, and do not notice.

The programs are test/programs/tier_*.c; each checks for itself, and prints the tier it ended in and
the number of spans that were meshed.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import dataclasses
import os
import pathlib
import signal

import pytest

from . import harness, userfault

# Seconds that tier_stores runs.
STORES_SECONDS = "2"


@dataclasses.dataclass(frozen=True)
class Situation:
    """What a process is allowed, and the tier that it has to end in.

    Args: barrier: MESH_BARRIER. words: what the program does to itself first: "nobody" drops
    privileges, "denied" has userfaultfd refused by a filter.
    """

    barrier: str
    words: tuple[str, ...]
    tier: str

    def __str__(self) -> str:
        return "-".join((self.barrier, *self.words))


SITUATIONS = (
    Situation("userfault_user", (), "userfaultfd user mode"),
    Situation("segv", (), "segv"),
    # What the library chooses for an ordinary program, and in a container.
    Situation("auto", ("nobody",), "userfaultfd user mode"),
    Situation("auto", ("nobody", "denied"), "segv"),
)

SURVIVORS = ("own", "full_mask", "blocked", "sent")
VICTIMS = ("null", "null_ignored", "raised")


def _path(name: str) -> pathlib.Path:
    """The path of a built program."""
    for word in os.environ.get("MESH_PROGRAMS", "").split():
        if pathlib.Path(word).name == name:
            return pathlib.Path(word).resolve()
    raise AssertionError(f"MESH_PROGRAMS does not list {name}")


def _need_kernel(situation: Situation) -> None:
    """Skips the test where no user may have the tier: before Linux 6.4."""
    if "userfaultfd" in situation.tier and not userfault.is_there(user_mode=True):
        harness.missing("this kernel has no userfaultfd for ordinary users")


def _run(root: pathlib.Path, situation: Situation, *command: str) -> harness.Outcome:
    """Runs a program of this test in a situation."""
    _need_kernel(situation)
    sandbox = harness.Sandbox(root, harness.library(), {"MESH_BARRIER": situation.barrier})
    return sandbox.run(_path(command[0]), *command[1:], *situation.words, status=None, timeout_s=60)


def _check_meshed(outcome: harness.Outcome, situation: Situation) -> None:
    """The program is content, and was meshed in its tier."""
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
    tier, meshed = outcome.stdout.decode().splitlines()
    assert tier == situation.tier
    assert int(meshed) > 0


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_no_store_fails_or_is_lost(situation: Situation, root: pathlib.Path) -> None:
    """Every kind of call that stores into small objects, while these are meshed."""
    _check_meshed(_run(root, situation, "tier_stores", STORES_SECONDS), situation)


@pytest.mark.parametrize("mode", SURVIVORS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_own_signals(situation: Situation, mode: str, root: pathlib.Path) -> None:
    """Handlers, masks and alternate stacks of the program, while it is meshed."""
    _check_meshed(_run(root, situation, "tier_signals", mode), situation)


@pytest.mark.parametrize("mode", VICTIMS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_death_by_sigsegv(situation: Situation, mode: str, root: pathlib.Path) -> None:
    """A true fault ends the program as it would without us, after it was meshed."""
    outcome = _run(root, situation, "tier_signals", mode)
    assert outcome.status == -signal.SIGSEGV, harness.describe(outcome)
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


@pytest.mark.parametrize("mode", SURVIVORS)
def test_programs_hold_plainly(mode: str, root: pathlib.Path) -> None:
    """The programs of this test have nothing to complain of without the library."""
    sandbox = harness.Sandbox(root, None, {})
    outcome = sandbox.run(_path("tier_signals"), mode, timeout_s=60)
    assert outcome.stderr == b""
    outcome = sandbox.run(_path("tier_stores"), "0.2", timeout_s=60)
    assert outcome.stdout == b"plain\n0\n"
