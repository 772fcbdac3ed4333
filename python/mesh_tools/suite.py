"""Runs benchmarks on allocators, round by round, and collects what they found.

In each round every benchmark runs on all allocators in turn, and each round begins with another
one, so that a machine that slows down or speeds up does so for all of them.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence

import rich.progress

from . import allocators, bench_catalog, bench_results, bench_runner


@dataclasses.dataclass(frozen=True)
class Plan:
    """kinds: the kind of run of each round (bench_runner). baseline: what ratios are to."""

    kinds: Sequence[str]
    scale: float
    baseline: str


@dataclasses.dataclass
class Found:
    """What a whole call found.

    notes: benchmark (and allocator) to why it was skipped or how it failed.
    failed: whether a run failed; what was skipped did not.
    """

    comparisons: list[bench_results.BenchComparison]
    notes: dict[str, str]
    failed: bool


def rotated(
    compared: Sequence[allocators.Allocator], round_index: int
) -> list[allocators.Allocator]:
    """Returns the allocators in the order of a round."""
    first = round_index % len(compared)
    return [*compared[first:], *compared[:first]]


def run(
    chosen: Sequence[bench_catalog.Benchmark],
    compared: Sequence[allocators.Allocator],
    plan: Plan,
    setting: bench_runner.Setting,
    origin: dict[str, str],
    bar: rich.progress.Progress,
) -> Found:
    """Runs everything; a run that fails is noted, and that allocator has no more of its kind."""
    notes = {
        benchmark.name: f"skipped, not installed: {', '.join(missing)}"
        for benchmark in chosen
        if (missing := benchmark.missing())
    }
    able = [benchmark for benchmark in chosen if not benchmark.missing()]
    runs: dict[str, list[bench_results.BenchRun]] = {benchmark.name: [] for benchmark in able}
    failures: dict[str, str] = {}
    jobs = list(_jobs(able, compared, plan))
    task = bar.add_task("", total=len(jobs))
    for benchmark, allocator, round_index, kind in jobs:
        bar.update(task, description=f"{benchmark.name}: {allocator.name}")
        title = f"{benchmark.name} on {allocator.name}"
        if title not in failures:
            try:
                found = benchmark.run_once(allocator, round_index, kind, setting)
                runs[benchmark.name].append(found)
            except (bench_runner.RunFailed, OSError) as error:
                failures[title] = f"FAILED, {error}"
        bar.advance(task)
    parameters = {"scale": plan.scale, "kinds": list(plan.kinds)}
    comparisons = [
        bench_results.BenchComparison(name, plan.baseline, origin, parameters, of)
        for name, of in runs.items()
        if of
    ]
    return Found(comparisons, {**notes, **failures}, bool(failures))


Job = tuple[bench_catalog.Benchmark, allocators.Allocator, int, str]


def _jobs(
    able: Sequence[bench_catalog.Benchmark],
    compared: Sequence[allocators.Allocator],
    plan: Plan,
) -> Iterator[Job]:
    for round_index, kind in enumerate(plan.kinds):
        for benchmark in able:
            if benchmark.has(kind):
                for allocator in rotated(compared, round_index):
                    yield benchmark, allocator, round_index, kind


def write_json(found: Found, path: pathlib.Path) -> None:
    """Writes every run, and the geometric means."""
    names = list(dict.fromkeys(n for c in found.comparisons for n in c.allocator_names))
    baseline = found.comparisons[0].baseline if found.comparisons else ""
    means = {
        metric.key: {
            name: dataclasses.asdict(mean)
            for name in names
            if (
                mean := bench_results.geometric_mean(
                    found.comparisons, name, metric.baseline_among(names, baseline), metric
                )
            )
        }
        for metric in bench_results.METRICS
    }
    plain = {
        "baseline": baseline,
        "geometric_means": means,
        "notes": found.notes,
        "benchmarks": [comparison.to_json() for comparison in found.comparisons],
    }
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
