"""Renders a comparison of a command on several allocators as a table. Measures nothing."""

from collections.abc import Callable

from rich.table import Table

from . import compare_experiment, results, views

_Run = compare_experiment.CompareRun

_COLUMNS: list[tuple[str, str, Callable[[_Run], float]]] = [
    ("peak", compare_experiment.OBSERVED, lambda run: run.peak_bytes),
    ("mean", compare_experiment.OBSERVED, lambda run: run.mean_bytes),
    ("last quarter", compare_experiment.OBSERVED, lambda run: run.late_bytes),
    ("time", compare_experiment.TIMED, lambda run: run.wall_s),
    ("CPU time", compare_experiment.TIMED, lambda run: run.cpu_s),
]


def make_table(comparison: results.Comparison[_Run]) -> Table:
    """Returns a row per allocator: medians over the rounds, and ratios to the baseline."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name, _, _ in _COLUMNS:
        table.add_column(name, justify="right")
        table.add_column(f"to {comparison.baseline}", justify="right")
    for name in comparison.allocator_names:
        cells = []
        for _, kind, value in _COLUMNS:
            part = of_kind(comparison, kind)
            middle, ratio = part.median(name, value), part.ratio(name, value)
            is_memory = kind == compare_experiment.OBSERVED
            cells.append(views.megabytes(int(middle)) if is_memory else f"{middle:.2f} s")
            cells.append("-" if ratio is None else f"{ratio:.2f}")
        table.add_row(name, *cells)
    return table


def of_kind(comparison: results.Comparison[_Run], kind: str) -> results.Comparison[_Run]:
    """Returns the comparison of the runs of one kind alone."""
    return results.Comparison(
        comparison.workload,
        comparison.baseline,
        comparison.provenance,
        comparison.parameters,
        [run for run in comparison.runs if run.kind == kind],
    )
