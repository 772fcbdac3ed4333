"""Renders a comparison as a table for the terminal. Measures nothing."""

from collections.abc import Callable
from typing import Any

import rich.console
import rich.markup
import rich.table

from . import results

_MISSING = "-"

Cell = Callable[[results.Experiment, str], str]


def _physical(run: results.RunResult) -> float:
    return run.settled.physical_bytes


def _fill_ms(run: results.RunResult) -> float:
    return sum(run.fill_ms)


def _fork_us(run: results.RunResult) -> float:
    return run.save.fork_us if run.save is not None else 0


def _megabytes(value: Callable[[results.RunResult], float]) -> Cell:
    return lambda comparison, name: f"{comparison.median(name, value) / results.MB:.1f}"


def _seconds(value: Callable[[results.RunResult], float]) -> Cell:
    return lambda comparison, name: f"{comparison.median(name, value) / 1000:.2f}"


def _ratio(value: Callable[[results.RunResult], float]) -> Cell:
    def cell(comparison: results.Experiment, name: str) -> str:
        ratio = comparison.ratio(name, value)
        return _MISSING if ratio is None else f"{ratio:.2f}"

    return cell


def _checked(comparison: results.Experiment, name: str) -> str:
    runs = comparison.of(name)
    wrong = sum(run.wrong for run in runs)
    checked = sum(run.checked for run in runs)
    return f"[red]{wrong:,} of {checked:,} WRONG[/red]" if wrong else f"{checked:,} right"


def _saves(comparison: results.Experiment, name: str) -> str:
    saves = [run.save for run in comparison.of(name) if run.save is not None]
    if not saves:
        return _MISSING
    return "same" if all(save.reload_matches for save in saves) else "[red]DIFFERS[/red]"


def _fork(comparison: results.Experiment, name: str) -> str:
    if all(run.save is None for run in comparison.of(name)):
        return _MISSING
    return f"{comparison.median(name, _fork_us) / 1000:.1f}"


def _reads(value: Callable[[results.ReadLatency], float]) -> Cell:
    def cell(comparison: results.Experiment, name: str) -> str:
        if all(run.reads is None for run in comparison.of(name)):
            return _MISSING
        us = comparison.median(name, lambda run: value(run.reads) if run.reads is not None else 0)
        return f"{us / 1000:.2f}"

    return cell


def _physical_to_live(comparison: results.Experiment, name: str) -> str:
    return f"{comparison.median(name, lambda run: run.physical_to_live):.2f}"


def _meshes(comparison: results.Experiment, name: str) -> str:
    reports = [run.mesh for run in comparison.of(name) if run.mesh is not None]
    return ", ".join(f"{report.meshes:,}" for report in reports) or _MISSING


_ROWS: list[tuple[str, Cell]] = [
    ("settled physical memory [MB]", _megabytes(_physical)),
    ("    ratio", _ratio(_physical)),
    ("    Pss_Anon [MB]", _megabytes(lambda run: run.settled.pss_anon_bytes)),
    ("    backing blocks [MB]", _megabytes(lambda run: run.settled.backing_bytes)),
    ("PSS [MB]", _megabytes(lambda run: run.settled.pss_bytes)),
    ("RSS [MB]", _megabytes(lambda run: run.settled.rss_bytes)),
    ("in use, its own count [MB]", _megabytes(lambda run: run.live_bytes)),
    ("physical / in use", _physical_to_live),
    ("time to fill [s]", _seconds(_fill_ms)),
    ("    ratio", _ratio(_fill_ms)),
    ("processor time [s]", _seconds(lambda run: run.cpu_ms)),
    ("a read while compacting [ms]", _reads(lambda reads: reads.median_us)),
    ("    99.9 % below", _reads(lambda reads: reads.p999_us)),
    ("fork of the save [ms]", _fork),
    ("values read back", _checked),
    ("dump, loaded elsewhere", _saves),
    ("mesh count, at exit", _meshes),
]


def make_table(comparison: results.Experiment) -> rich.table.Table:
    """Returns a column per allocator: medians over the rounds, ratios against the baseline."""
    rounds = comparison.rounds
    table = rich.table.Table(
        title=f"{comparison.workload} ("
        + (f"medians of {rounds} rounds" if rounds > 1 else "one round")
        + f", ratios to {comparison.baseline})",
        caption=rich.markup.escape(caption(comparison)),
    )
    table.add_column("", no_wrap=True)
    for name in comparison.allocator_names:
        table.add_column(comparison.of(name)[0].label.replace(" (", "\n("), justify="right")
    for title, cell in _ROWS:
        table.add_row(
            rich.markup.escape(title),
            *(cell(comparison, name) for name in comparison.allocator_names),
        )
    return table


def caption(comparison: results.Comparison[Any]) -> str:
    """Returns the line that says where the figures come from."""
    provenance = comparison.provenance
    return (
        f"commit {provenance['commit']} · {provenance['command']} · "
        f"runs per allocator: {comparison.rounds} · {provenance['kernel']}, "
        f"{provenance['processors']} processors"
    )


def print_report(comparison: results.Experiment, console: rich.console.Console) -> None:
    """Prints the table, and a note where a figure means less than its column says."""
    console.print(make_table(comparison))
    if not all(run.settled.backing_exact for run in comparison.runs):
        console.print(
            "Note: the kernel let us read the backing only where it has been touched "
            "(its blocks are shown by /proc/PID/map_files, which takes root's rights)."
        )
