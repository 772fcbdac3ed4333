"""Hardened heaps: which misuse each level of MESH_SECURE stops, and that sound programs run on.

test/programs/victims.cc commits one misuse, by name. It is *stopped* when

- the allocator ends the program with one line and SIGABRT, or
- the access faults (SIGSEGV), or
- a read has returned nothing of what was there: the program looks, and ends with 0.

Else the program ends with 42. Environment: MESH_PROGRAMS, the paths of the programs.
"""

import pathlib
import signal

import pytest

from . import harness, tiers

LEVELS = (0, 1, 2, 3, 4)
UNNOTICED = 42

# The lowest level that stops it: of a small object, of a large one.
STOPPED_FROM: dict[str, tuple[int, int]] = {
    "overflow_1": (2, 2),
    "overflow_32": (2, 2),
    "overflow_4096": (2, 2),
    "underflow_1": (2, 2),
    "underflow_32": (2, 2),
    "underflow_4096": (2, 2),
    "write_after_free": (3, 2),
    "write_after_free_at_end": (3, 2),
    "read_after_free": (3, 2),
    "uninitialised_read": (3, 2),
    "double_free": (0, 0),
    "double_free_delayed": (0, 0),
    "double_free_other_thread": (0, 0),
    "double_free_live_thread": (1, 0),
    "invalid_interior": (0, 0),
    "invalid_misaligned": (0, 0),
    "invalid_stack": (0, 0),
    "invalid_foreign": (1, 1),
    "wrong_size": (2, 2),
    "wrong_size_by_one": (2, 2),
    "zero_size_write": (2, 2),
    "zero_size_read": (2, 2),
}
# Below level 4 the first slot of a span may have memory before it that nobody looks at: one in 85
# of these objects, of 40 bytes.
BY_CHANCE_BELOW_4 = ("underflow_1", "underflow_32", "underflow_4096")
# Without canaries, what such a write destroys may end the program too.
MAY_END = ("overflow_32", "overflow_4096", "underflow_32", "underflow_4096")

SIZES = ("small", "large")
KINDS = ("malloc", "new")


def _commit(root: pathlib.Path, level: int, victim: str, size: str, kind: str) -> harness.Outcome:
    sandbox = harness.Sandbox(root, harness.library(), {"MESH_SECURE": str(level)})
    return sandbox.run(tiers.path("victims"), victim, size, kind, status=None)


def _is_stopped(outcome: harness.Outcome) -> bool:
    """Whether the misuse was stopped; an end of any other kind fails."""
    if outcome.status == -signal.SIGABRT:
        lines = outcome.stderr.decode().splitlines()
        assert len(lines) == 1 and lines[0].startswith("mesh: "), harness.describe(outcome)
    known = (-signal.SIGABRT, -signal.SIGSEGV, 0, UNNOTICED)
    assert outcome.status in known, harness.describe(outcome)
    return outcome.status != UNNOTICED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("victim", STOPPED_FROM)
def test_highest_level_stops(
    victim: str, size: str, kind: str, root: pathlib.Path, repeats: int
) -> None:
    """All of them, in every run: --repeats=20 for 20."""
    for _ in range(repeats):
        outcome = _commit(root, LEVELS[-1], victim, size, kind)
        assert _is_stopped(outcome), harness.describe(outcome)


@pytest.mark.parametrize("level", LEVELS[:-1])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("victim", STOPPED_FROM)
def test_level_stops(victim: str, size: str, level: int, root: pathlib.Path) -> None:
    """What a level is said to stop it stops; what it is not, goes through."""
    outcome = _commit(root, level, victim, size, "malloc")
    from_level = STOPPED_FROM[victim][SIZES.index(size)]
    if level >= from_level:
        if size == "small" and victim in BY_CHANCE_BELOW_4 and outcome.status == UNNOTICED:
            outcome = _commit(root, level, victim, size, "malloc")
        assert _is_stopped(outcome), harness.describe(outcome)
    elif victim not in MAY_END:
        assert not _is_stopped(outcome), harness.describe(outcome)


def test_the_list_is_whole(root: pathlib.Path) -> None:
    """Every misuse that the program knows has its level here."""
    known = harness.Sandbox(root, None, {}).run(tiers.path("victims"), "list").stdout.decode()
    assert sorted(known.split()) == sorted(STOPPED_FROM)


@pytest.mark.parametrize("options", [(), ("--fork", "--compact")], ids=["threads", "fork"])
@pytest.mark.parametrize("level", LEVELS[1:])
def test_what_is_sound_is_accepted(
    level: int, options: tuple[str, ...], root: pathlib.Path
) -> None:
    """The stress driver, with frees across threads, children and compaction, is not stopped."""
    settings = {**harness.EAGER, "MESH_SECURE": str(level)}
    sandbox = harness.Sandbox(root, harness.library(), settings)
    outcome = sandbox.run(tiers.path("churn"), "--seconds=1", "--threads=4", *options)
    assert outcome.stderr == b"", harness.describe(outcome)


# Programs that look at what malloc's family promises.
SITUATIONS = (
    "alignment",
    "bad_alignment",
    "calloc_zero",
    "delete_forms",
    "enomem",
    "errno_preserved",
    "fork_heap",
    "fork_mesh_again",
    "grow_steps",
    "huge_object",
    "new_handler",
    "null_cases",
    "overflow",
    "realloc_content",
    "signal_state",
    "spawn",
    "tls_destructor",
    "usable_size",
)


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_promises_are_kept(situation: str, level: int, root: pathlib.Path) -> None:
    """What the default heap keeps, a hardened one keeps too."""
    settings = {**harness.EAGER, "MESH_SECURE": str(level)}
    sandbox = harness.Sandbox(root, harness.library(), settings)
    outcome = sandbox.run(tiers.path(situation))
    assert outcome.stderr == b"", harness.describe(outcome)
