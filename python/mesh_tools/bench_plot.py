"""Draws the benchmark suite's results: a dot per allocator and benchmark. Measures nothing."""

import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # No display is needed, nor looked for.

from matplotlib import pyplot

from . import bench_results, plot, report

_PANELS = ("cpu", "wall", "peak")
_CAPTION_COLUMNS = 150
_INCHES_PER_BENCHMARK = 0.26


def draw(
    comparisons: Sequence[bench_results.BenchComparison], baseline: str, path: pathlib.Path
) -> None:
    """Writes the picture as PNG: ratios to the baseline, one panel each for CPU, wall, memory."""
    names = list(dict.fromkeys(n for c in comparisons for n in c.allocator_names))
    colours = plot.assign_colours(names)
    metrics = [metric for metric in bench_results.METRICS if metric.key in _PANELS]
    height = 1.8 + _INCHES_PER_BENCHMARK * len(comparisons)
    figure, panels = pyplot.subplots(
        1, len(metrics), figsize=(12, height), sharey=True, layout="constrained"
    )
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_panel(axes, comparisons, names, baseline, metric, colours)
    panels[0].set_yticks(range(len(comparisons)), [c.workload for c in comparisons], fontsize=8)
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=8)
    caption = textwrap.fill(report.caption(comparisons[0]), _CAPTION_COLUMNS)
    figure.supxlabel(caption, fontsize=7, color="#666666")
    figure.savefig(path, dpi=130, metadata={"Comment": report.caption(comparisons[0])})
    pyplot.close(figure)


def _draw_panel(
    axes: Any,
    comparisons: Sequence[bench_results.BenchComparison],
    names: Sequence[str],
    baseline: str,
    metric: bench_results.Metric,
    colours: dict[str, str],
) -> None:
    baseline = metric.baseline_among(names, baseline)
    axes.axvline(1, color="#999999", linewidth=0.8)
    for name in names:
        ratios = [bench_results.ratio(c, name, baseline, metric) for c in comparisons]
        drawn = [(ratio, y) for y, ratio in enumerate(ratios) if ratio]
        axes.plot(
            [ratio for ratio, _ in drawn],
            [y for _, y in drawn],
            "o",
            color=colours[name],
            markersize=5,
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
    axes.set_title(f"{metric.title}, to {baseline}", fontsize=9)
    axes.grid(alpha=0.25)
