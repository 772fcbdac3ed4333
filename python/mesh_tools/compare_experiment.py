"""Runs any command on one allocator, once: time and processor time, or memory over time.

Memory is sampled in runs of their own ("observed"), since reading it stops the program for moments.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import allocators, command_line, measured, memory

# Kinds of runs.
TIMED = "timed"
OBSERVED = "observed"

_ERROR_CHARACTERS = 300


class CommandFailed(Exception):
    """The command ended with a status other than 0."""


@dataclasses.dataclass(frozen=True)
class CompareRun:
    """One run.

    wall_s: time [s]. cpu_s: processor time of the command and what it started [s]. series: memory,
    of observed runs only. start_s: when it began, on time.monotonic's clock [s]. output: what it
    wrote to stdout, where that was kept.
    """

    allocator: str
    round_index: int
    kind: str
    wall_s: float
    cpu_s: float
    series: memory.MemorySeries | None
    start_s: float
    output: str

    @property
    def peak_bytes(self) -> float:
        """Most physical memory [bytes]; 0 where none was seen."""
        return float(self._physical().max(initial=0))

    @property
    def mean_bytes(self) -> float:
        """Mean of physical memory over the samples [bytes]; 0 where none was seen."""
        physical = self._physical()
        return float(physical.mean()) if len(physical) else 0.0

    @property
    def late_bytes(self) -> float:
        """Median of physical memory over the last quarter of the run [bytes]."""
        physical = self._physical()
        return float(np.median(physical[len(physical) * 3 // 4 :])) if len(physical) else 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the run as plain data."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del plain["output"]
        plain["series"] = None if self.series is None else self.series.to_json()
        figures = {"peak": self.peak_bytes, "mean": self.mean_bytes, "late": self.late_bytes}
        return {**plain, **{f"{name}_bytes": value for name, value in figures.items()}}

    def _physical(self) -> npt.NDArray[np.int64]:
        return np.empty(0, np.int64) if self.series is None else self.series.physical_bytes


def run(
    command: Sequence[str],
    allocator: allocators.Allocator,
    round_index: int,
    kind: str,
    sample_ms: float,
    scratch: pathlib.Path,
    keeps_output: bool = False,
) -> CompareRun:
    """Runs the command to its end; its output is dropped unless it is to be kept.

    Raises:
        CommandFailed: it ended with a status other than 0.
    """
    environment = allocator.make_environment()
    environment.pop("MALLOCSTATS", None)
    nothing = pathlib.Path(os.devnull)
    output = scratch / "stdout" if keeps_output else nothing
    errors = scratch / "stderr"
    with nothing.open("rb") as stdin, output.open("wb") as out, errors.open("wb") as stderr:
        ran = measured.run(
            command, environment, stdin, out, stderr, sample_ms if kind == OBSERVED else None
        )
    if ran.status != 0:
        said = errors.read_text(errors="replace").strip()[-_ERROR_CHARACTERS:]
        line = " ".join(said.split())
        raise CommandFailed(f"on {allocator.name} the command ended with {ran.status} {line}")
    return CompareRun(
        allocator=allocator.name,
        round_index=round_index,
        kind=kind,
        wall_s=ran.wall_s,
        cpu_s=ran.usage.ru_utime + ran.usage.ru_stime,
        series=ran.series,
        start_s=ran.start_s,
        output=output.read_text(errors="replace"),
    )


def run_in_turn(
    command: Sequence[str],
    compared: Sequence[allocators.Allocator],
    rounds: int,
    sample_ms: float,
    scratch: pathlib.Path,
    keeps_output: bool = False,
) -> list[CompareRun]:
    """Runs the command on each allocator once a round and kind, every second round backwards.

    Shows a bar on stderr. Raises: as run().
    """
    order = [
        (index, allocator, kind)
        for index in range(rounds)
        for allocator in (compared if index % 2 == 0 else reversed(compared))
        for kind in (TIMED, OBSERVED)
    ]
    runs = []
    with command_line.progress_bar(command_line.make_console(stderr=True)) as bar:
        task = bar.add_task("", total=len(order))
        for index, allocator, kind in order:
            bar.update(task, description=f"{allocator.name}, {kind}")
            runs.append(run(command, allocator, index, kind, sample_ms, scratch, keeps_output))
            bar.advance(task)
    return runs
