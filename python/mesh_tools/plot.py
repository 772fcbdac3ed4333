"""Draws a comparison: memory over time per allocator, and where it settled. Measures nothing."""

import pathlib
import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # No display is needed, nor looked for.

from matplotlib import pyplot

from . import allocators, report, results

_MESH_COLOUR = "#c1272d"
# Okabe and Ito's palette: told apart by colour-blind readers too.
_COLOURS = ["#555555", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"]
_CAPTION_COLUMNS = 130


def draw(comparison: results.Experiment, path: pathlib.Path) -> None:
    """Writes the picture as PNG.

    Left: physical memory of each allocator's middle round, in MB over seconds, with the phases.
    Right: median settled memory of each allocator, a dot per round.
    """
    figure, (timeline, bars) = pyplot.subplots(
        1, 2, figsize=(11, 4.8), width_ratios=[2.4, 1], layout="constrained"
    )
    colours = assign_colours(comparison.allocator_names)
    _draw_timeline(timeline, comparison, colours)
    _draw_settled(bars, comparison, colours)
    figure.suptitle(f"{comparison.workload}: physical memory (Pss_Anon + backing)")
    caption = textwrap.fill(report.caption(comparison), _CAPTION_COLUMNS)
    figure.supxlabel(caption, fontsize=7, color="#666666")
    figure.savefig(path, dpi=130, metadata={"Comment": report.caption(comparison)})
    pyplot.close(figure)


def assign_colours(names: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each allocator; Mesh has the same in every picture."""
    others = [name for name in names if name != allocators.MESH]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)}
    return {**colours, allocators.MESH: _MESH_COLOUR}


def _middle_round(comparison: results.Experiment, name: str) -> results.RunResult:
    runs = sorted(comparison.of(name), key=lambda run: run.settled.physical_bytes)
    return runs[len(runs) // 2]


def _draw_timeline(axes: Any, comparison: results.Experiment, colours: dict[str, str]) -> None:
    shown = [_middle_round(comparison, name) for name in comparison.allocator_names]
    for run in shown:
        axes.plot(
            run.series.t_ms / 1000,
            run.series.physical_bytes / results.MB,
            color=colours[run.allocator],
            linewidth=2.2 if run.allocator == allocators.MESH else 1.5,
            label=run.label,
        )
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01)
    _mark_phases(axes, shown)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("physical memory [MB]")
    axes.legend(loc="lower right", fontsize=8)
    axes.grid(alpha=0.25)


def _mark_phases(axes: Any, shown: list[results.RunResult]) -> None:
    """Draws a line where a phase begins: the median over the runs, which differ a little."""
    top = axes.get_ylim()[1]
    axes.set_ylim(top=top * 1.3)
    for index, phase in enumerate(shown[0].phases):
        start_s = statistics.median(run.phases[index].start_ms for run in shown) / 1000
        axes.axvline(start_s, color="#999999", linewidth=0.8, linestyle="--")
        axes.text(
            start_s,
            top * 1.28,
            f" {phase.name}",
            rotation=90,
            fontsize=7,
            va="top",
            color="#444444",
        )


def _draw_settled(axes: Any, comparison: results.Experiment, colours: dict[str, str]) -> None:
    names = comparison.allocator_names
    for x, name in enumerate(names):
        physical = [run.settled.physical_bytes / results.MB for run in comparison.of(name)]
        height = statistics.median(physical)
        axes.bar(x, height, color=colours[name], width=0.65)
        if len(physical) > 1:
            axes.plot([x] * len(physical), physical, "k.", markersize=4)
        ratio = comparison.ratio(name, lambda run: run.settled.physical_bytes)
        note = f"{height:.0f} MB" + ("" if ratio is None else f"\nratio {ratio:.2f}")
        axes.text(x, height, note, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.15)
    axes.set_ylabel("settled physical memory [MB]")
