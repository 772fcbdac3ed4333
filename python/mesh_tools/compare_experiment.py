"""Runs any command on one allocator, once: time and processor time, or memory over time.

Memory is sampled in runs of their own ("observed"), since reading it stops the program for moments.
"""

import dataclasses
import os
import pathlib
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import allocators, memory

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
    of observed runs only.
    """

    allocator: str
    round_index: int
    kind: str
    wall_s: float
    cpu_s: float
    series: memory.MemorySeries | None

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
) -> CompareRun:
    """Runs the command to its end; its output is dropped.

    Raises:
        CommandFailed: it ended with a status other than 0.
    """
    environment = allocator.make_environment()
    environment.pop("MALLOCSTATS", None)
    errors = scratch / "stderr"
    with errors.open("wb") as stderr:
        start_s = time.monotonic()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        sampler = memory.MemorySampler(process.pid, sample_ms) if kind == OBSERVED else None
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - start_s
        process.returncode = os.waitstatus_to_exitcode(status)
    series = sampler.stop() if sampler else None
    if process.returncode != 0:
        said = errors.read_text(errors="replace").strip()[-_ERROR_CHARACTERS:]
        line = " ".join(said.split())
        raise CommandFailed(
            f"on {allocator.name} the command ended with {process.returncode} {line}"
        )
    return CompareRun(
        allocator=allocator.name,
        round_index=round_index,
        kind=kind,
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        series=series,
    )
