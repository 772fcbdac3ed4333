"""Draws what theory_study.py found. Measures nothing."""

import pathlib
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")  # No display is needed, nor looked for.

from matplotlib import pyplot

from . import theory_study


def draw(
    points: Sequence[theory_study.Point],
    orders: Sequence[theory_study.Ordered],
    caption: str,
    path: pathlib.Path,
) -> None:
    """Writes the picture as PNG: chance to mesh, spans freed, order of the slots."""
    figure, (chance, freed, order) = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
    occupancy = [100 * point.live / point.slots for point in points]
    chance.plot(occupancy, [p.chance for p in points], color="#0072b2", label="theory")
    chance.plot(occupancy, [p.simulated for p in points], "k.", label="simulated")
    chance.set_ylabel("chance that two spans mesh")
    lines = {
        "groups (the library)": ([p.groups for p in points], "#c1272d", "-"),
        "best pairs, of 200 spans": ([p.best_pairs for p in points], "#009e73", "-"),
        "SplitMesher, 64 probes": ([p.split_mesher for p in points], "#e69f00", "-"),
        "its bound, k = 1": ([p.bound for p in points], "#555555", "--"),
    }
    for name, (values, colour, style) in lines.items():
        freed.plot(occupancy, [100 * v for v in values], style, color=colour, label=name)
    freed.set_ylabel("physical spans freed [%]")
    for axes in (chance, freed):
        axes.set_xlabel("slots in use [%]")
    width = 0.27
    for at, (name, colour) in enumerate(
        {"random": "#0072b2", "start": "#c1272d", "ordered": "#555555"}.items()
    ):
        heights = [getattr(row, name) for row in orders]
        label = {"start": "from a random start", "random": "shuffled", "ordered": "in order"}[name]
        order.bar([x + (at - 1) * width for x in range(len(orders))], heights, width,
                  color=colour, label=label)  # fmt: skip
    order.set_xticks(range(len(orders)), [str(row.keep_every) for row in orders])
    order.set_xlabel("the program keeps every n-th object")
    order.set_ylabel("physical spans left [%]")
    order.set_ylim(top=135)
    for axes in (chance, freed, order):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    figure.suptitle(caption, fontsize=9, color="#444444")
    figure.savefig(path, dpi=110, metadata={"Comment": caption})
    pyplot.close(figure)
