"""Renders the benchmark suite's results as tables for the terminal. Measures nothing."""

import math
from collections.abc import Callable, Mapping, Sequence

import rich.console
import rich.markup
import rich.table

from . import bench_catalog, bench_results, report, results

_MISSING = "-"
# The tables with a line per benchmark; the summary has every metric.
_DETAILED = ("cpu", "wall", "peak")
# A benchmark further than this behind the best other allocator is listed.
_FAR_BEHIND = 1.25
_SLOWEST_PART = 0.9999


def _number(metric: bench_results.Metric, value: float) -> str:
    if metric.title.endswith("[MB]"):
        return f"{value / results.MB:.1f}"
    power = max(0, min(3, int(math.log10(max(value, 1)) / 3)))
    return f"{value / 1000**power:.3g} {('ns', 'us', 'ms', 's')[power]}"


def _table(title: str, names: Sequence[str], first: str = "") -> rich.table.Table:
    table = rich.table.Table(title=rich.markup.escape(title), title_justify="left")
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _detail(
    comparisons: Sequence[bench_results.BenchComparison],
    names: Sequence[str],
    baseline: str,
    metric: bench_results.Metric,
) -> rich.table.Table:
    """Returns the metric's figure and its ratio to the baseline's, a line per benchmark."""
    baseline = metric.baseline_among(names, baseline)
    table = _table(f"{metric.title}, and ratio to {baseline}", names, "benchmark")
    for comparison in comparisons:
        cells = []
        for name in names:
            value = bench_results.median(comparison, name, metric)
            ratio = bench_results.ratio(comparison, name, baseline, metric)
            shown = _MISSING if value is None else _number(metric, value)
            cells.append(shown if ratio is None or name == baseline else f"{shown} ({ratio:.2f})")
        table.add_row(comparison.workload, *cells)
    return table


def _summary(
    comparisons: Sequence[bench_results.BenchComparison], names: Sequence[str], baseline: str
) -> rich.table.Table:
    table = _table("geometric means of the ratios, 95 % interval", names, "metric (benchmarks), to")
    for metric in bench_results.METRICS:
        base = metric.baseline_among(names, baseline)
        means = {
            name: bench_results.geometric_mean(comparisons, name, base, metric) for name in names
        }
        counted = [mean.count for mean in means.values() if mean]
        if not counted:
            continue
        cells = [_mean(mean) for mean in means.values()]
        table.add_row(rich.markup.escape(f"{metric.title} ({max(counted)}), {base}"), *cells)
    return table


def _mean(mean: bench_results.Mean | None) -> str:
    if mean is None:
        return _MISSING
    interval = "" if mean.low is None else f"\n{mean.low:.2f} to {mean.high:.2f}"
    return f"{mean.value:.2f}{interval}"


def _figure(key: str) -> Callable[[bench_results.BenchRun], float]:
    return lambda run: run.figures[key]


def _figures(
    comparisons: Sequence[bench_results.BenchComparison], names: Sequence[str]
) -> rich.table.Table | None:
    """Returns what benchmarks measured themselves, and how they scale; None where there is none."""
    table = _table("other figures", names, "figure")
    by_name = {comparison.workload: comparison for comparison in comparisons}
    for one, two in bench_catalog.SCALING:
        if one in by_name and two in by_name:
            found = [bench_results.scaling(by_name[one], by_name[two], name) for name in names]
            cells = [_MISSING if value is None else f"{value:.2f}" for value in found]
            table.add_row(f"work per second, {two} to {one}", *cells)
    for comparison in comparisons:
        keys = dict.fromkeys(key for run in comparison.runs for key in run.figures)
        for key in keys:
            metric = bench_results.Metric(key, key, "timed", _figure(key))
            medians = [bench_results.median(comparison, name, metric) for name in names]
            cells = [_MISSING if value is None else f"{value:.1f}" for value in medians]
            table.add_row(f"{comparison.workload}: {key}", *cells)
    return table if table.row_count else None


def _latency(
    comparisons: Sequence[bench_results.BenchComparison], names: Sequence[str]
) -> rich.table.Table | None:
    """Returns the slowest calls; None where none were timed."""
    table = _table("slowest call [us]: 99.99 % are below / longest", names, "benchmark")
    for comparison in comparisons:
        for call in ("malloc", "free"):
            found = {run.allocator: run.latency[call] for run in comparison.runs if run.latency}
            if found:
                cells = [_calls(found.get(name)) for name in names]
                table.add_row(f"{comparison.workload}: {call}", *cells)
    return table if table.row_count else None


def _calls(histogram: bench_results.Histogram | None) -> str:
    if histogram is None:
        return _MISSING
    most = histogram.quantile_ns(_SLOWEST_PART) / 1000
    return f"{most:.1f} / {histogram.longest_ns / 1000:,.0f}"


def _behind(
    comparisons: Sequence[bench_results.BenchComparison], allocator: str
) -> rich.table.Table | None:
    table = rich.table.Table(
        title=f"where {allocator} is above {_FAR_BEHIND} times the best other", title_justify="left"
    )
    for column in ("benchmark", "metric", "times", "best"):
        table.add_column(column)
    for metric in bench_results.METRICS:
        if metric.key not in _DETAILED:
            continue
        for weak in bench_results.weaknesses(comparisons, allocator, metric):
            if weak.ratio > _FAR_BEHIND:
                title = rich.markup.escape(metric.title)
                table.add_row(weak.benchmark, title, f"{weak.ratio:.2f}", weak.best)
    return table if table.row_count else None


def print_report(
    comparisons: Sequence[bench_results.BenchComparison],
    baseline: str,
    subject: str,
    notes: Mapping[str, str],
    console: rich.console.Console,
) -> None:
    """Prints all tables.

    Args:
        comparisons: one per benchmark, with at least one run. subject: the allocator whose weak
            points are listed. notes: what was skipped or failed, and why.
    """
    if comparisons:
        names = list(dict.fromkeys(n for c in comparisons for n in c.allocator_names))
        for metric in bench_results.METRICS:
            if metric.key in _DETAILED:
                console.print(_detail(comparisons, names, baseline, metric))
        for table in (
            _figures(comparisons, names),
            _latency(comparisons, names),
            _behind(comparisons, subject),
            _summary(comparisons, names, baseline),
        ):
            if table is not None:
                console.print(table)
        console.print(report.caption(comparisons[0]), markup=False)
    for name, reason in notes.items():
        console.print(f"{name}: {reason}", markup=False)
