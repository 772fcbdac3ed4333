"""Programs with threads mesh in every tier of the write barrier, and do not notice.

The programs are test/programs/tier_*.c; each checks for itself, and prints the tier it ended in and
the number of spans that were meshed.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import pathlib
import signal

import pytest

from . import harness, tiers

# Seconds that tier_stores runs.
STORES_SECONDS = "2"


SITUATIONS = (
    tiers.FULL,
    tiers.Situation("userfault_user", (), tiers.USER.tier),
    tiers.Situation("segv", (), tiers.LAST.tier),
    tiers.USER,
    tiers.LAST,
)

SURVIVORS = ("own", "full_mask", "blocked", "sent")
VICTIMS = ("null", "null_ignored", "raised")


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_no_store_fails_or_is_lost(situation: tiers.Situation, root: pathlib.Path) -> None:
    """Every kind of call that stores into small objects, while these are meshed."""
    tiers.check_meshed(tiers.run(root, situation, "tier_stores", STORES_SECONDS), situation)


@pytest.mark.parametrize("mode", SURVIVORS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_own_signals(situation: tiers.Situation, mode: str, root: pathlib.Path) -> None:
    """Handlers, masks and alternate stacks of the program, while it is meshed."""
    tiers.check_meshed(tiers.run(root, situation, "tier_signals", mode), situation)


@pytest.mark.parametrize("mode", VICTIMS)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_death_by_sigsegv(situation: tiers.Situation, mode: str, root: pathlib.Path) -> None:
    """A true fault ends the program as it would without us, after it was meshed."""
    outcome = tiers.run(root, situation, "tier_signals", mode)
    assert outcome.status == -signal.SIGSEGV, harness.describe(outcome)
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


@pytest.mark.parametrize("mode", SURVIVORS)
def test_programs_hold_plainly(mode: str, root: pathlib.Path) -> None:
    """The programs of this test have nothing to complain of without the library."""
    sandbox = harness.Sandbox(root, None, {})
    outcome = sandbox.run(tiers.path("tier_signals"), mode)
    assert outcome.stderr == b""
    outcome = sandbox.run(tiers.path("tier_stores"), "0.2")
    assert outcome.stdout == b"plain\n0\n"
