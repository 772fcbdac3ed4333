"""What one run of a benchmark found, and statistics over all of them."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import allocators, results

# Draws of the bootstrap, and the part of them that the interval holds.
_DRAWS = 1000
_CONFIDENCE = 0.95
# Fewer rounds than this say nothing of how much they scatter.
_LEAST_ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class MemoryUse:
    """Memory over one run, its start included, in bytes.

    Physical is Pss_Anon and the backing's blocks (see memory.py).
    """

    peak_physical_bytes: int
    mean_physical_bytes: int
    peak_pss_bytes: int
    mean_pss_bytes: int
    peak_backing_bytes: int
    samples: int


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Calls by how long they took: counts[b] of [2^b, 2^(b+1)) ns.

    Time in which another thread had the processor is taken off, but for longest_by_clock_ns: see
    test/bench/latency.h.
    """

    longest_ns: int
    longest_by_clock_ns: int
    counts: Sequence[int]

    def quantile_ns(self, part: float) -> int:
        """Returns the end of the bucket below which `part` of the calls lie; 0 without calls."""
        left = part * sum(self.counts)
        for bucket, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return int(min(self.longest_ns, 2 ** (bucket + 1)))
        return 0


@dataclasses.dataclass(frozen=True)
class BenchRun:
    """One benchmark on one allocator, once.

    Attributes:
        kind: "timed", or for what cannot be had without disturbing the time: "observed" (memory),
            "latency" (single calls), "counted" (instructions).
        units: the work done. wall_s, user_s, system_s: of the program and what it started [s].
        minor_faults, major_faults: page faults.
        max_rss_bytes: the kernel's own high-water mark, -1 where it was not asked.
        figures: what the benchmark measured itself, by name with unit.
    """

    allocator: str
    round_index: int
    kind: str
    units: float
    wall_s: float
    user_s: float
    system_s: float
    minor_faults: int
    major_faults: int
    max_rss_bytes: int = -1
    memory: MemoryUse | None = None
    instructions: int | None = None
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    latency: dict[str, Histogram] = dataclasses.field(default_factory=dict)
    mesh: allocators.MeshReport | None = None

    @property
    def cpu_s(self) -> float:
        """Processor time [s]."""
        return self.user_s + self.system_s

    def to_json(self) -> dict[str, Any]:
        """Returns the run as plain data."""
        return dataclasses.asdict(self)


BenchComparison = results.Comparison[BenchRun]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure of a run; `kind` says which runs have it.

    floor: benchmarks where the baseline is below this are left out of the geometric mean.
    baseline: what ratios are to wherever it runs, instead of the suite's baseline.
    """

    key: str
    title: str
    kind: str
    value: Callable[[BenchRun], float]
    floor: float = 0.0
    baseline: str | None = None

    def baseline_among(self, names: Sequence[str], general: str) -> str:
        """Returns the allocator that this metric's ratios are to."""
        return self.baseline if self.baseline in names and self.baseline else general


def _memory(pick: Callable[[MemoryUse], int]) -> Callable[[BenchRun], float]:
    return lambda run: pick(run.memory) if run.memory else math.nan


# Below this a program is mostly not its heap.
_MEMORY_FLOOR_BYTES = 10 * results.MB

METRICS = [
    Metric("cpu", "CPU per unit", "timed", lambda run: run.cpu_s / run.units * 1e9),
    Metric("wall", "wall per unit", "timed", lambda run: run.wall_s / run.units * 1e9),
    Metric(
        "peak",
        "peak physical memory [MB]",
        "observed",
        _memory(lambda use: use.peak_physical_bytes),
        _MEMORY_FLOOR_BYTES,
        "glibc",
    ),
    Metric(
        "mean",
        "mean physical memory [MB]",
        "observed",
        _memory(lambda use: use.mean_physical_bytes),
        _MEMORY_FLOOR_BYTES,
        "glibc",
    ),
    Metric(
        "peak_pss",
        "peak PSS [MB]",
        "observed",
        _memory(lambda use: use.peak_pss_bytes),
        _MEMORY_FLOOR_BYTES,
        "glibc",
    ),
    Metric(
        "faults",
        "page faults",
        "timed",
        lambda run: float(run.minor_faults + run.major_faults),
    ),
    Metric(
        "instructions",
        "instructions per unit",
        "counted",
        lambda run: (run.instructions or math.nan) / run.units,
    ),
]


def values(comparison: BenchComparison, allocator: str, metric: Metric) -> list[float]:
    """Returns a metric's value in each run that has it."""
    runs = [run for run in comparison.of(allocator) if run.kind == metric.kind]
    return [value for run in runs if not math.isnan(value := metric.value(run))]


def median(comparison: BenchComparison, allocator: str, metric: Metric) -> float | None:
    """Returns the median over the runs, None where there are none."""
    found = values(comparison, allocator, metric)
    return statistics.median(found) if found else None


def ratio(
    comparison: BenchComparison, allocator: str, baseline: str, metric: Metric
) -> float | None:
    """Returns the median's ratio to another allocator's, None where either is missing or 0."""
    own, base = median(comparison, allocator, metric), median(comparison, baseline, metric)
    return own / base if own and base else None


@dataclasses.dataclass(frozen=True)
class Mean:
    """A geometric mean of ratios over `count` benchmarks; low and high bound 95 % of what redrawing
    the rounds gives, None where there are too few rounds to tell.
    """

    value: float
    count: int
    low: float | None
    high: float | None


def _geometric(ratios: Sequence[float]) -> float:
    return math.exp(statistics.fmean(math.log(r) for r in ratios))


def geometric_mean(
    comparisons: Sequence[BenchComparison], allocator: str, baseline: str, metric: Metric
) -> Mean | None:
    """Returns the geometric mean of the ratios to the baseline, with its bootstrap interval.

    The rounds of each benchmark and allocator are redrawn with replacement. Source: Efron and
    Tibshirani, "An Introduction to the Bootstrap", percentile interval.

    Returns:
        None where no benchmark has both figures.
    """
    pairs = []
    for comparison in comparisons:
        ours = values(comparison, allocator, metric)
        theirs = values(comparison, baseline, metric)
        if not ours or not theirs or statistics.median(theirs) <= metric.floor:
            continue
        if statistics.median(ours) > 0:
            pairs.append((np.array(ours), np.array(theirs)))
    if not pairs:
        return None
    value = _geometric([float(np.median(own) / np.median(base)) for own, base in pairs])
    if allocator == baseline or min(len(own) for own, _ in pairs) < _LEAST_ROUNDS:
        return Mean(value, len(pairs), None, None)
    generator = np.random.default_rng(1)
    logs = np.zeros(_DRAWS)
    for own, base in pairs:
        for sign, found in ((1, own), (-1, base)):
            drawn = generator.choice(found, size=(_DRAWS, len(found)))
            logs += sign * np.log(np.median(drawn, axis=1))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.exp(np.quantile(logs / len(pairs), [tail, 1 - tail]))
    return Mean(value, len(pairs), float(low), float(high))


@dataclasses.dataclass(frozen=True)
class Weakness:
    """A benchmark where `allocator` is behind the best of the others: `ratio` times its figure."""

    benchmark: str
    metric: Metric
    best: str
    ratio: float


def weaknesses(
    comparisons: Sequence[BenchComparison], allocator: str, metric: Metric
) -> list[Weakness]:
    """Returns how far an allocator is behind (or before) the best other one, the worst first."""
    found = []
    for comparison in comparisons:
        others = {
            name: value
            for name in comparison.allocator_names
            if name != allocator and (value := median(comparison, name, metric))
        }
        own = median(comparison, allocator, metric)
        if own and others and own > metric.floor:
            best = min(others, key=lambda name: others[name])
            found.append(Weakness(comparison.workload, metric, best, own / others[best]))
    return sorted(found, key=lambda weakness: -weakness.ratio)


def scaling(one: BenchComparison, two: BenchComparison, allocator: str) -> float | None:
    """Returns how many times as much work is done per second by two threads as by one."""
    wall = next(metric for metric in METRICS if metric.key == "wall")
    slow, fast = median(one, allocator, wall), median(two, allocator, wall)
    return slow / fast if slow and fast else None
