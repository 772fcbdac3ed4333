"""What one run of an experiment found, and the JSON form of a whole comparison."""

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from . import allocators, memory

MB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of a run, beginning at `start_ms` on the clock of its memory series."""

    name: str
    start_ms: float


@dataclasses.dataclass(frozen=True)
class SaveResult:
    """One background save.

    fork_us: time the server stood still in fork() [us]. dump_bytes: size of the dump.
    reload_matches: a plain server loaded the dump and held the same pairs.
    """

    fork_us: int
    dump_bytes: int
    reload_matches: bool


@dataclasses.dataclass(frozen=True)
class ReadLatency:
    """How long single reads took, from the request to the answer [us]."""

    reads: int
    median_us: float
    p999_us: float
    longest_us: float


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One allocator, one round.

    Attributes:
        allocator: its name; `label` says more (version).
        settled: memory at the end of the idle phase.
        live_bytes: what the program counts as in use at that time.
        fill_ms: time to fill the heap, per filling phase [ms].
        cpu_ms: processor time of the program over all filling phases [ms].
        checked, wrong: values read back, and how many differed.
        reads: single reads while what was freed can be compacted, None for programs without any.
        save: the background save, None for programs that have none.
        mesh: Mesh's own report at exit, None for other allocators.
    """

    allocator: str
    label: str
    round_index: int
    series: memory.MemorySeries
    phases: Sequence[Phase]
    settled: memory.MemoryPoint
    live_bytes: int
    fill_ms: Sequence[float]
    cpu_ms: float
    checked: int
    wrong: int
    reads: ReadLatency | None
    save: SaveResult | None
    mesh: allocators.MeshReport | None

    @property
    def is_right(self) -> bool:
        """Every value was right, and so was the dump."""
        return self.wrong == 0 and (self.save is None or self.save.reload_matches)

    @property
    def physical_to_live(self) -> float:
        """Settled physical memory over what the program counts as in use; inf for an empty one."""
        return self.settled.physical_bytes / self.live_bytes if self.live_bytes else math.inf

    def to_json(self) -> dict[str, Any]:
        """Returns the run as plain data."""
        plain = {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "series"
        }
        for name in ("settled", "reads", "save", "mesh"):
            if plain[name] is not None:
                plain[name] = dataclasses.asdict(plain[name])
        plain["settled"]["physical_bytes"] = self.settled.physical_bytes
        plain["physical_to_live"] = round(self.physical_to_live, 3) if self.live_bytes else None
        plain["phases"] = [dataclasses.asdict(phase) for phase in self.phases]
        plain["fill_ms"] = [round(ms, 1) for ms in self.fill_ms]
        plain["series"] = self.series.to_json()
        return plain


class Run(Protocol):
    """What a comparison has to know of a run."""

    @property
    def allocator(self) -> str:
        """Name of the allocator it ran on."""

    @property
    def round_index(self) -> int:
        """Which round it was part of."""

    def to_json(self) -> dict[str, Any]:
        """Returns the run as plain data."""


RunT = TypeVar("RunT", bound=Run)


@dataclasses.dataclass(frozen=True)
class Comparison(Generic[RunT]):
    """All runs of one workload in one call.

    baseline: name of the allocator that ratios are taken against.
    provenance: commit, command, machine (see provenance.py). parameters: the experiment's own.
    """

    workload: str
    baseline: str
    provenance: dict[str, str]
    parameters: dict[str, Any]
    runs: Sequence[RunT]

    @property
    def allocator_names(self) -> list[str]:
        """Names in the order of their first run."""
        return list(dict.fromkeys(run.allocator for run in self.runs))

    @property
    def rounds(self) -> int:
        """How often each allocator ran."""
        return max((run.round_index for run in self.runs), default=-1) + 1

    def of(self, name: str) -> list[RunT]:
        """Returns the runs of one allocator."""
        return [run for run in self.runs if run.allocator == name]

    def median(self, name: str, value: Callable[[RunT], float]) -> float:
        """Returns the median over rounds of one figure of one allocator."""
        return statistics.median(value(run) for run in self.of(name))

    def ratio(self, name: str, value: Callable[[RunT], float]) -> float | None:
        """Returns the median's ratio to the baseline's, None where that has no runs or is 0."""
        if self.baseline not in self.allocator_names:
            return None
        base = self.median(self.baseline, value)
        return self.median(name, value) / base if base else None

    def to_json(self) -> dict[str, Any]:
        """Returns everything, samples included, as plain data."""
        return {
            "workload": self.workload,
            "baseline": self.baseline,
            "provenance": self.provenance,
            "parameters": self.parameters,
            "rounds": self.rounds,
            "runs": [run.to_json() for run in self.runs],
        }

    def write_json(self, path: pathlib.Path) -> None:
        """Writes to_json() to a file."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")


# A comparison of memory over time: Redis, or the fragmenting program.
Experiment = Comparison[RunResult]
