"""The n-th system call from each call site of the library is refused, in a program of CPython.

test/programs/refuse_call.c runs it under a seccomp filter that asks for each call; the address it
comes from tells the library's calls from the program's. The program (refused_calls_program.py)
allocates, meshes, has threads, and forks: whatever is refused, what it keeps is what it stored, or
it is told that there is no memory.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import dataclasses
import pathlib
import sys

import pytest

from . import harness, tiers

SCRIPT = pathlib.Path(__file__).with_name("refused_calls_program.py")
NO_MEMORY = b"no memory"
# How CPython says that not even its own state could be allocated.
NO_START = b"memory allocation failed"

ONCE = 1
FOR_EVER = 1 << 40
# How refuse_call.c says that no filter of this process can ask.
NO_LISTENER = 125
# Calls of one site that are refused: the first, the 16th, the 256th; with --full, each.
STEP = 16
LEAST_SITES = 30


@dataclasses.dataclass(frozen=True)
class Site:
    """A system call instruction of the library; calls: as often as the program got there."""

    address: str
    number: int
    calls: int
    refused: int


class Runner:
    """Runs the program in one tier, as often as asked."""

    def __init__(self, root: pathlib.Path, barrier: str) -> None:
        settings = {"MESH_BARRIER": barrier, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"}
        self._sandbox = harness.Sandbox(root, None, {})
        self._settings = settings
        self._report = root / "report"
        self.unrefused = self.run("0", 0, 0)
        if self.unrefused.status == NO_LISTENER:
            harness.missing("no seccomp filter can ask here: an old kernel, or another that does")
        assert (self.unrefused.status, self.unrefused.stderr) == (0, b""), harness.describe(
            self.unrefused
        )

    def sites(self) -> list[Site]:
        """What the last run counted."""
        lines = (line.split() for line in self._report.read_text().splitlines())
        return [Site(address, *map(int, counts)) for address, *counts in lines]

    def run(self, address: str, first: int, count: int) -> harness.Outcome:
        """Has `count` calls of one site refused from the `first` on."""
        refusal = (harness.library(), self._report, address, str(first), str(count))
        python = pathlib.Path(sys.executable).resolve()
        return self._sandbox.run(
            tiers.path("refuse_call"),
            *refusal,
            *(python, "-E", "-S", SCRIPT),
            extra=self._settings,
            status=None,
            timeout_s=60,
            observed=False,
        )

    def is_fine(self, outcome: harness.Outcome) -> bool:
        """All that was kept is right; or the program, or a part of it, had no memory."""
        if outcome.status == 1 and NO_START in outcome.stderr:
            return b"mesh:" not in outcome.stderr
        if (outcome.status, outcome.stderr) != (0, b""):
            return False
        expected = self.unrefused.stdout.splitlines()[:-1]
        kept = outcome.stdout.splitlines()[:-1]
        return len(kept) == len(expected) and all(
            mine in (right, NO_MEMORY) for mine, right in zip(kept, expected, strict=True)
        )


def _chosen(calls: int, full: bool) -> list[int]:
    """The calls of one site to refuse."""
    if full:
        return list(range(1, calls + 1))
    chosen = [1]
    while chosen[-1] * STEP <= calls:
        chosen.append(chosen[-1] * STEP)
    return chosen


@pytest.mark.parametrize("barrier", ["auto", "userfault_user", "segv"])
def test_refused_calls_of_every_site(
    root: pathlib.Path, barrier: str, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once at several times, and from the first time on."""
    runner = Runner(root, barrier)
    assert int(runner.unrefused.stdout.split()[-1]) > 0, "nothing was meshed"
    sites = runner.sites()
    assert len(sites) >= LEAST_SITES
    runs = refused = 0
    for site in sites:
        refusals = [(first, ONCE) for first in _chosen(site.calls, full)]
        for first, count in (*refusals, (1, FOR_EVER)):
            outcome = runner.run(site.address, first, count)
            what = f"site {site}, from call {first} on, {count} calls"
            assert runner.is_fine(outcome), f"{what}: {harness.describe(outcome)}"
            runs += 1
            refused += min(1, sum(other.refused for other in runner.sites()))
    with capsys.disabled():
        print(f"{barrier}: {len(sites)} call sites, {runs} runs, {refused} with refusals")
    # A run may make fewer calls than the first one did.
    assert refused > runs // 2
