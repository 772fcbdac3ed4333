"""The n-th system call from each call site of the library is refused, in a program of CPython.

The program (refused_calls_program.py) allocates, meshes, has threads, and forks: whatever is
refused, what it keeps is what it stored, or it is told that there is no memory.
"""

import pathlib
import sys

import pytest

from . import harness, refused_calls

SCRIPT = pathlib.Path(__file__).with_name("refused_calls_program.py")
NO_MEMORY = b"no memory"
# How CPython says that not even its own state could be allocated.
NO_START = b"memory allocation failed"

# Calls of one site that are refused: the first, the 16th, the 256th; with --full, each.
STEP = 16
# What each part of the program allocates. With fewer it gets to the same call sites, less often:
# so that each call can be refused.
OBJECTS = 6000
OBJECTS_FULL = 1500


class Python(refused_calls.Player):
    """Runs the program in one tier, as often as asked."""

    def __init__(self, root: pathlib.Path, barrier: str, objects: int) -> None:
        super().__init__(root)
        self._settings = {"MESH_BARRIER": barrier, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"}
        self._sandbox = harness.Sandbox(root, None, {})
        self._objects = str(objects)
        unrefused = self._run(refused_calls.NOTHING, 0, 0)
        refused_calls.need_listener(unrefused.status)
        assert (unrefused.status, unrefused.stderr) == (0, b""), harness.describe(unrefused)
        *self._expected, meshed = unrefused.stdout.splitlines()
        assert int(meshed) > 0, "nothing was meshed"

    def play(self, site: refused_calls.Site, first: int, count: int) -> str:
        outcome = self._run(site, first, count)
        return "" if self._is_fine(outcome) else harness.describe(outcome)

    def _run(self, site: refused_calls.Site, first: int, count: int) -> harness.Outcome:
        python = pathlib.Path(sys.executable).resolve()
        return self._sandbox.run(
            *self.refusing(site, first, count),
            *(python, "-E", "-S", SCRIPT, self._objects),
            extra=self._settings,
            status=None,
            timeout_s=60,
            observed=False,
        )

    def _is_fine(self, outcome: harness.Outcome) -> bool:
        """All that was kept is right; or the program, or a part of it, had no memory."""
        if outcome.status == 1 and NO_START in outcome.stderr:
            return b"mesh:" not in outcome.stderr
        if (outcome.status, outcome.stderr) != (0, b""):
            return False
        kept = outcome.stdout.splitlines()[:-1]
        return len(kept) == len(self._expected) and all(
            mine in (right, NO_MEMORY) for mine, right in zip(kept, self._expected, strict=True)
        )


def _chosen(calls: int, full: bool) -> list[int]:
    """The calls of one site to refuse."""
    if full:
        return list(range(1, calls + 1))
    chosen = [1]
    while chosen[-1] * STEP <= calls:
        chosen.append(chosen[-1] * STEP)
    return chosen


@pytest.mark.parametrize("barrier", refused_calls.BARRIERS)
def test_refused_calls_of_every_site(
    root: pathlib.Path, barrier: str, full: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once at several times, and from the first time on."""
    player = Python(root, barrier, OBJECTS_FULL if full else OBJECTS)
    numbers = {site: _chosen(site.calls, full) for site in player.sites()}
    done = refused_calls.play_all(player, numbers)
    with capsys.disabled():
        print(f"{barrier}: {done}")
