"""Draws what theory_study.py found. Measures nothing."""

import pathlib
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # No display is needed, nor looked for.

from matplotlib import pyplot

from . import theory_study

# Okabe and Ito's palette, as in plot.py.
_BLUE, _RED, _GREEN, _ORANGE, _GREY = "#0072b2", "#c1272d", "#009e73", "#e69f00", "#555555"


def draw(
    points: Sequence[theory_study.Point],
    orders: Sequence[theory_study.Ordered],
    packings: Sequence[theory_study.Packing],
    caption: str,
    path: pathlib.Path,
) -> None:
    """Writes the picture as PNG.

    Above: chance to mesh, spans freed, order of the slots. Below: pages and mappings of each way.
    """
    figure = pyplot.figure(figsize=(13, 7.6), layout="constrained")
    rows = figure.add_gridspec(2, 1)
    chance, freed, order = figure.add_subfigure(rows[0]).subplots(1, 3)
    _draw_chance(chance, points)
    _draw_freed(freed, points)
    _draw_order(order, orders)
    for axes in (chance, freed):
        axes.set_xlabel("slots in use [%]")
    for axes in (chance, freed, order):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7)
    _draw_packings(figure.add_subfigure(rows[1]), packings)
    figure.suptitle(caption, fontsize=9, color="#444444")
    figure.savefig(path, dpi=110, metadata={"Comment": caption})
    pyplot.close(figure)


def _occupancy(points: Sequence[theory_study.Point]) -> list[float]:
    return [100 * point.live / point.slots for point in points]


def _draw_chance(axes: Any, points: Sequence[theory_study.Point]) -> None:
    axes.plot(_occupancy(points), [p.chance for p in points], color=_BLUE, label="theory")
    axes.plot(_occupancy(points), [p.simulated for p in points], "k.", label="simulated")
    axes.set_ylabel("chance that two spans mesh")


def _draw_freed(axes: Any, points: Sequence[theory_study.Point]) -> None:
    lines = {
        "groups (the library)": ([p.groups for p in points], _RED, "-"),
        "best pairs, of 200 spans": ([p.best_pairs for p in points], _GREEN, "-"),
        "SplitMesher, 64 probes": ([p.split_mesher for p in points], _ORANGE, "-"),
        "its bound, k = 1": ([p.bound for p in points], _GREY, "--"),
    }
    for name, (values, colour, style) in lines.items():
        axes.plot(_occupancy(points), [100 * v for v in values], style, color=colour, label=name)
    axes.set_ylabel("physical spans freed [%]")


def _draw_order(axes: Any, orders: Sequence[theory_study.Ordered]) -> None:
    width = 0.27
    for at, (name, colour) in enumerate({"random": _BLUE, "start": _RED, "ordered": _GREY}.items()):
        heights = [getattr(row, name) for row in orders]
        label = {"start": "from a random start", "random": "shuffled", "ordered": "in order"}[name]
        axes.bar([x + (at - 1) * width for x in range(len(orders))], heights, width,
                 color=colour, label=label)  # fmt: skip
    axes.set_xticks(range(len(orders)), [str(row.keep_every) for row in orders])
    axes.set_xlabel("the program keeps every n-th object")
    axes.set_ylabel("physical spans left [%]")
    axes.set_ylim(top=135)


def _draw_packings(figure: Any, packings: Sequence[theory_study.Packing]) -> None:
    """Draws a panel for each number of slots; the curve is over the share of leaders."""
    panels = figure.subplots(1, len(theory_study.PACKED_SLOTS), sharey=True)
    for axes, slots in zip(panels, theory_study.PACKED_SLOTS, strict=True):
        here = [row for row in packings if row.slots == slots]
        curve = sorted((row for row in here if row.way == "runs"), key=lambda row: row.leaders)
        left = [100 * row.left for row in curve]
        axes.plot([row.mappings for row in curve], left, ".-", color=_RED, label="runs")
        axes.plot([row.estimate for row in curve], left, "--", color=_GREY, label="its estimate")
        for row in here:
            if row.is_priced:
                axes.plot(row.mappings, 100 * row.left, "o", color=_RED, fillstyle="none",
                          markersize=10, label=f"price {theory_study.PRICE:g}")  # fmt: skip
        for way, colour, mark in (
            ("pairs", _ORANGE, "s"), ("first fit", _GREEN, "^"), ("group by group", _BLUE, "D"),
        ):  # fmt: skip
            row = next(row for row in here if row.way == way)
            axes.plot(row.mappings, 100 * row.left, mark, color=colour, label=way)
        axes.set_title(f"{slots} slots, {theory_study.KEPT:.0%} of the objects kept", fontsize=9)
        axes.set_xlabel("mappings for each span")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 70)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("physical pages left [%]")
    panels[0].legend(fontsize=7)
