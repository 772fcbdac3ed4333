"""Runs the repository's fragmenting program (test/programs/fragment.cc) on one allocator.

It stands in for Redis on a machine without one: a heap with nine objects of ten freed at random,
then idle. The program says on stdout where it is and waits for a line on stdin between phases.
"""

import dataclasses
import json
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

from . import allocators, memory, results

_SETTLED_WINDOW_MS = 1000.0
# By what the program reported last; "compacted", which not every allocator reports, is no phase.
_PHASE_NAMES = {"ready": "fill", "filled": "free 90 %", "freed": "idle", "settled": "check"}
# Calls of `progress` in one run.
PHASES_PER_RUN = len(_PHASE_NAMES)


class ProgramFailed(Exception):
    """The fragmenting program ended early, or with a status other than 0."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Parameters: heap size before freeing [MB], idle time [s], sampling interval [ms].

    compact: ask the allocator for a compaction after freeing, where it knows "mesh.compact".
    keep_every: objects come one size after the other, and each N-th stays; 0: a random 10 % stays.
    twelve_sizes: from 16 to 2048 bytes, with equal bytes of each. threads: that fill a part each
    and free another's; 0: one does all. quiet: the idle time is one sleep, not many short ones.
    stages: what is freed is freed in as many parts, with a compaction or the idle time after each.
    own_mappings: that the program has beside its heap.
    """

    executable: pathlib.Path
    heap_mb: int
    settle_s: float
    sample_ms: float
    seed: int
    compact: bool = False
    keep_every: int = 0
    twelve_sizes: bool = False
    threads: int = 0
    quiet: bool = False
    stages: int = 1
    own_mappings: int = 0

    def to_json(self) -> dict[str, Any]:
        """Returns the parameters as plain data."""
        return {**dataclasses.asdict(self), "executable": self.executable.name}


class _Program:
    """The running program; a phase at a time."""

    def __init__(self, plan: Plan, allocator: allocators.Allocator) -> None:
        self._process = subprocess.Popen(
            [
                str(plan.executable),
                f"--mb={plan.heap_mb}",
                f"--idle_ms={plan.settle_s * 1000:.0f}",
                f"--seed={plan.seed}",
                f"--keep_every={plan.keep_every}",
                f"--threads={plan.threads}",
                f"--stages={plan.stages}",
                f"--own_mappings={plan.own_mappings}",
                *(["--twelve_sizes"] if plan.twelve_sizes else []),
                *(["--quiet"] if plan.quiet else []),
                *(["--compact"] if plan.compact else []),
            ],
            env=allocator.make_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def next_phase(self) -> dict[str, Any]:
        """Returns the program's next line.

        Raises:
            ProgramFailed: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate()
            raise ProgramFailed(
                f"the fragmenting program ended early with status {self._process.returncode}: "
                f"{errors.strip()}"
            )
        report: dict[str, Any] = json.loads(line)
        return report

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self) -> str:
        """Lets the program end; returns its stderr. Its status says only what "wrong" said."""
        _, errors = self._process.communicate("\n")
        if self._process.returncode not in (0, 1):
            raise ProgramFailed(
                f"the fragmenting program ended with status {self._process.returncode}: "
                f"{errors.strip()}"
            )
        return errors

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


def run(
    plan: Plan,
    allocator: allocators.Allocator,
    round_index: int,
    progress: Callable[[str, int], None],
) -> results.RunResult:
    """Runs the program once; figures are without what the program needs before it has a heap.

    Args:
        progress: called with what begins, and 1, at each phase.

    Raises:
        ProgramFailed: the program ended in the wrong way.
    """
    program = _Program(plan, allocator)
    sampler: memory.MemorySampler | None = None
    try:
        reports = {"ready": program.next_phase()}
        before = memory.MemoryReader(program.pid).read()
        sampler = memory.MemorySampler(program.pid, plan.sample_ms)
        phases = []
        phase = "ready"
        while phase != "checked":
            if phase in _PHASE_NAMES:
                phases.append(results.Phase(_PHASE_NAMES[phase], sampler.now_ms()))
                progress(f"{allocator.name}: {_PHASE_NAMES[phase]}", 1)
            step_ms = sampler.now_ms()
            program.go_on()
            report = program.next_phase()
            phase = report["phase"]
            reports[phase] = report
            if phase == "settled":
                # A short idle phase is judged by itself, without what came before it; one of no
                # length by the read here, as the program is at rest until it is told to go on.
                window_ms = max(sampler.now_ms() - _SETTLED_WINDOW_MS, step_ms)
                at_rest = memory.MemoryReader(program.pid).read()
                settled = memory.median_point([*sampler.points_since(window_ms), at_rest])
        series = sampler.stop()
        errors = program.finish()
    finally:
        program.kill()
        if sampler is not None:
            sampler.stop()
    return _make_result(allocator, round_index, reports, before, settled, phases, series, errors)


def _make_result(
    allocator: allocators.Allocator,
    round_index: int,
    reports: dict[str, dict[str, Any]],
    before: memory.MemoryPoint,
    settled: memory.MemoryPoint,
    phases: list[results.Phase],
    series: memory.MemorySeries,
    errors: str,
) -> results.RunResult:
    fill_ms = reports["filled"]["ms"]
    return results.RunResult(
        allocator=allocator.name,
        label=allocator.name,
        round_index=round_index,
        series=series,
        phases=phases,
        settled=settled.minus(before),
        live_bytes=reports["settled"]["live_bytes"],
        fill_ms=[fill_ms],
        cpu_ms=fill_ms + reports["freed"]["ms"],
        checked=reports["checked"]["objects"],
        wrong=reports["checked"]["wrong"],
        reads=None,
        save=None,
        mesh=allocators.parse_mesh_report(errors),
    )
