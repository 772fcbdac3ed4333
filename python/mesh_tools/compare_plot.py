"""Draws the memory of a command over time, on several allocators. Measures nothing."""

import pathlib

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")  # No display is needed, nor looked for.

from matplotlib import pyplot

from . import allocators, compare_experiment, plot, results


def draw(
    comparison: results.Comparison[compare_experiment.CompareRun],
    path: pathlib.Path,
    floor: npt.NDArray[np.float64] | None = None,
) -> None:
    """Writes the picture as PNG: the first observed run of each allocator.

    Args:
        floor: the least that Mesh's could have used at each of its samples [bytes].
    """
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    colours = plot.assign_colours(comparison.allocator_names)
    for name in comparison.allocator_names:
        series = next((run.series for run in comparison.of(name) if run.series is not None), None)
        if series is None:
            continue
        axes.plot(
            series.t_ms / 1000,
            series.physical_bytes / results.MB,
            color=colours[name],
            linewidth=2.2 if name == allocators.MESH else 1.4,
            label=name,
        )
        if name == allocators.MESH and floor is not None:
            axes.plot(
                series.t_ms / 1000,
                floor / results.MB,
                color=colours[name],
                linewidth=1.0,
                linestyle=":",
                label="least possible",
            )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time [s]")
    axes.set_ylabel("physical memory [MB]")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    axes.set_title(comparison.workload, fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Comment": str(comparison.provenance)})
    pyplot.close(figure)
