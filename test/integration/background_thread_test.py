"""The library's own thread: there when it was asked for, and noticed by nobody.

The program is test/programs/background.c, which does one thing a run. What it prints and how it
ends has to be the same without the library, with its thread, and without.

Environment: MESH_LIB, the library. MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import os
import pathlib
import subprocess
import time
from collections.abc import Mapping

import pytest

from . import harness, tiers

CHOICES = ("auto", "0", "1")

# Ways that look the same with any allocator.
WAYS = ("main_first", "main_last", "fork", "unshare", "signals", "user", "limit", "c11", "results")

# Frequent passes, so that the thread is at work as often as not.
BUSY = {"MESH_PERIOD_MS": "1", "MESH_CPU_PERCENT": "100"}


def _run(root: pathlib.Path, way: str, settings: Mapping[str, str] | None) -> harness.Outcome:
    library = None if settings is None else harness.library()
    sandbox = harness.Sandbox(root, library, settings or {})
    return sandbox.run(tiers.path("background"), way, status=None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("choice", CHOICES)
def test_nobody_notices(root: pathlib.Path, choice: str, way: str) -> None:
    """Same output and same end as without the library."""
    plain = _run(root, way, None)
    assert (plain.status, plain.stderr) == (0, b""), harness.describe(plain)
    if plain.stdout == b"no other user\n":
        pytest.skip("this sandbox has but one user, whom the limit does not bind")
    for settings in ({}, BUSY):
        outcome = _run(root, way, {"MESH_BACKGROUND_THREAD": choice, **settings})
        assert (outcome.status, outcome.stdout, outcome.stderr) == (0, plain.stdout, b""), (
            harness.describe(outcome)
        )


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        (None, "1, then 2"),
        ({}, "1, then 3"),
        ({"MESH_BACKGROUND_THREAD": "0"}, "1, then 2"),
        ({"MESH_BACKGROUND_THREAD": "1"}, "2, then 3"),
        # Nothing for it to do.
        ({"MESH_PERIOD_MS": "0"}, "1, then 2"),
    ],
    ids=["plain", "auto", "never", "always", "no-passes"],
)
def test_it_comes_with_the_first_thread(
    root: pathlib.Path, settings: Mapping[str, str] | None, seen: str
) -> None:
    """How many threads the kernel counts, before and after the program has made one."""
    outcome = _run(root, "count", settings)
    assert (outcome.status, outcome.stdout) == (0, f"{seen}\n".encode()), harness.describe(outcome)


def _own_thread(process: int) -> pathlib.Path:
    """The directory in /proc of the thread that is called mesh, once it has run and says so."""
    deadline = time.monotonic() + harness.LONGEST_S
    while True:
        found = [
            task
            for task in pathlib.Path(f"/proc/{process}/task").iterdir()
            if (task / "comm").read_text() == "mesh\n"
        ]
        assert len(found) <= 1
        if found:
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("barrier", ["auto", "segv"])
def test_heaps_of_waiting_threads_are_emptied(root: pathlib.Path, barrier: str) -> None:
    """In every kind of wait, with signal handlers that use the heap at any point, and forks."""
    for arguments in (["--kept"], ["--seed=1"], ["--seed=2", "--threads=7"]):
        sandbox = harness.Sandbox(root, harness.library(), {"MESH_BARRIER": barrier})
        outcome = sandbox.run(tiers.path("rests"), *arguments, status=None)
        assert (outcome.status, outcome.stdout, outcome.stderr) == (0, b"", b""), harness.describe(
            outcome
        )


@pytest.mark.parametrize("setting", [{}, {"MESH_SECURE": "4"}, {"MESH_BARRIER": "none"}], ids=str)
def test_a_signal_handler_may_sleep_in_the_middle_of_malloc(
    root: pathlib.Path, setting: dict[str, str]
) -> None:
    """The thread's heap is emptied meanwhile; what it has looked at has to stay."""
    for seed in ("1", "2"):
        sandbox = harness.Sandbox(root, harness.library(), setting)
        arguments = ("--inside", "--rounds=1500", f"--seed={seed}")
        outcome = sandbox.run(tiers.path("rests"), *arguments, status=None)
        assert (outcome.status, outcome.stdout, outcome.stderr) == (0, b"", b""), harness.describe(
            outcome
        )


def _status(task: pathlib.Path, key: str) -> str:
    for line in (task / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return value.strip()
    raise AssertionError(f"no {key} in {task}/status")


def _switches(task: pathlib.Path) -> int:
    return int(_status(task, "voluntary_ctxt_switches"))


def test_quiet_program_makes_no_wakeups(root: pathlib.Path) -> None:
    """The thread goes to sleep for good when all is done, with every signal of programs blocked."""
    sandbox = harness.Sandbox(root, harness.library(), {})
    with subprocess.Popen(
        [str(tiers.path("background")), "quiet"],
        env=sandbox.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        process = int(program.stdout.readline())
        task = _own_thread(process)
        # All 64 but SIGKILL, SIGSTOP, and the two by which libc calls every thread.
        libcs = 1 << (32 - 1) | 1 << (33 - 1)
        unblocked = ~int(_status(task, "SigBlk"), 16) & (1 << 64) - 1
        assert unblocked & ~libcs == 1 << (9 - 1) | 1 << (19 - 1)
        deadline = time.monotonic() + harness.LONGEST_S
        seen = -1
        # Three seconds are longer than any wait of a thread that means to come back.
        while (now := _switches(task)) != seen:
            assert time.monotonic() < deadline
            seen = now
            time.sleep(3)
        program.stdin.write(b"\n")
        program.stdin.close()
        assert program.wait() == 0
    assert not os.path.exists(task)
