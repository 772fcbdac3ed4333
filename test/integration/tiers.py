"""The tiers of the write barrier as tests see them: what a process may have, and how to run there.

The programs are those of test/programs that take the words of `Situation`, do what they say to
themselves first, and print the tier they ended in and the number of spans that were meshed.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import pytest

from . import harness, userfault


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


FULL = Situation("userfault", (), "userfaultfd")
# What the library chooses for an ordinary program, and in a container.
USER = Situation("auto", ("nobody",), "userfaultfd user mode")
LAST = Situation("auto", ("nobody", "denied"), "segv")
EVERY = (FULL, USER, LAST)


def path(name: str) -> pathlib.Path:
    """The path of a built program or library, by its file name."""
    for word in os.environ.get("MESH_PROGRAMS", "").split():
        if pathlib.Path(word).name == name:
            return pathlib.Path(word).resolve()
    raise AssertionError(f"MESH_PROGRAMS does not list {name}")


def need_kernel(situation: Situation) -> None:
    """Skips the test where this user may not have the tier, or none may: before Linux 6.4."""
    if situation.tier == FULL.tier and not userfault.is_there():
        pytest.skip("the kernel gives this user no full userfaultfd")
    if "userfaultfd" in situation.tier and not userfault.is_there(user_mode=True):
        harness.missing("this kernel has no userfaultfd for ordinary users")


def run(
    root: pathlib.Path,
    situation: Situation,
    program: str | pathlib.Path,
    *arguments: str,
    settings: Mapping[str, str] | None = None,
) -> harness.Outcome:
    """Runs a program in a situation; its words come after the program's own arguments."""
    need_kernel(situation)
    environment = {"MESH_BARRIER": situation.barrier, **(settings or {})}
    sandbox = harness.Sandbox(root, harness.library(), environment)
    where = path(program) if isinstance(program, str) else program
    return sandbox.run(where, *arguments, *situation.words, status=None)


def check_meshed(outcome: harness.Outcome, situation: Situation) -> None:
    """The program is content, said nothing else, and was meshed in its tier."""
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
    tier, meshed = outcome.stdout.decode().splitlines()
    assert tier == situation.tier
    assert int(meshed) > 0


def check_plainly(root: pathlib.Path, program: str | pathlib.Path, *arguments: str) -> None:
    """The program has nothing to complain of without the library."""
    where = path(program) if isinstance(program, str) else program
    outcome = harness.Sandbox(root, None, {}).run(where, *arguments)
    assert (outcome.stdout, outcome.stderr) == (b"plain\n0\n", b"")
