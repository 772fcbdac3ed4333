"""Draws heap maps, as PNG and as one HTML file that needs nothing else. Measures nothing.

A cell is a physical span, coloured by the part of its slots that hold objects; size classes are
rows. Cells of a meshed group are as many as the group has virtual spans, side by side without a
gap, under one line: they are one physical span. So what a line is long, less one cell, is saved.
"""

import html
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # No display is needed, nor looked for.

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, pyplot

from . import spans, theory

# Cells of a class that are drawn at most; of more, every n-th group.
_MOST_CELLS = 3000
_COLUMNS = 150
# Classes with fewer spans are left out of the picture.
_FEWEST_SPANS = 4
_CELL = 4  # points of a cell's side, its gap included
_LINE = (193, 39, 45)
_MB = 1 << 20


def describe(heap: spans.HeapMap) -> list[dict[str, Any]]:
    """Returns what is drawn: a row for each class with spans, as plain data.

    groups: occupancy of the physical span in percent, and virtual spans, of each that is drawn.
    """
    rows = []
    for number, groups in enumerate(heap.groups):
        if not groups:
            continue
        info = heap.classes[number]
        live = theory.count(np.array([group.bits for group in groups]))
        slots = np.array([group.units for group in groups]) * info.slots
        every = -(-sum(group.members for group in groups) // _MOST_CELLS)
        drawn = range(0, len(groups), every)
        physical = heap.physical_pages(number) * heap.page_bytes
        live_bytes = int(live.sum()) * info.object_size
        saved = sum((g.members - 1) * g.units for g in groups) * info.unit_pages * heap.page_bytes
        rows.append(
            {
                "size": info.object_size,
                "spans": sum(group.members for group in groups),
                "physical_spans": len(groups),
                "physical_bytes": physical,
                "live_bytes": live_bytes,
                "free_bytes": physical - live_bytes,
                "saved_bytes": saved,
                "every": every,
                "groups": [
                    [round(100 * int(live[i]) / int(slots[i])), groups[i].members] for i in drawn
                ],
            }
        )
    return sorted(rows, key=lambda row: int(row["size"]))


def draw_png(maps: Mapping[str, list[dict[str, Any]]], title: str, path: pathlib.Path) -> None:
    """Writes the maps side by side; `maps` is from a caption to what describe() returned."""
    sizes = sorted(
        {row["size"] for rows in maps.values() for row in rows if row["spans"] >= _FEWEST_SPANS}
    )
    if not sizes:
        sizes = sorted({row["size"] for rows in maps.values() for row in rows})
    images = {name: _image(rows, sizes) for name, rows in maps.items()}
    heights = [max(part) for part in zip(*(image[1] for image in images.values()), strict=True)]
    figure, axes = pyplot.subplots(
        1,
        len(maps),
        squeeze=False,
        figsize=(7.2 * len(maps), max(2.5, sum(heights) * _CELL / 75)),
        layout="constrained",
    )
    for axis, (name, (parts, _)) in zip(axes[0], images.items(), strict=True):
        rows = maps[name]
        padded = [
            np.pad(p, ((0, h * _CELL - len(p)), (0, 0), (0, 0)), constant_values=255)
            for p, h in zip(parts, heights, strict=True)
        ]
        axis.imshow(np.concatenate(padded), interpolation="nearest", aspect="auto")
        starts = np.concatenate([[0], np.cumsum(heights)[:-1]]) * _CELL
        axis.set_yticks(starts + _CELL / 2, [str(size) for size in sizes], fontsize=6)
        axis.set_xticks([])
        physical = sum(row["physical_bytes"] for row in rows) / _MB
        live = sum(row["live_bytes"] for row in rows) / _MB
        axis.set_title(f"{name}: {physical:.1f} MB for {live:.1f} MB of objects", fontsize=10)
        axis.set_ylabel("size class [bytes]", fontsize=8)
        for side in axis.spines.values():
            side.set_visible(False)
    scale = pyplot.cm.ScalarMappable(cmap="viridis_r")
    scale.set_clim(0, 100)
    bar = figure.colorbar(scale, ax=axes[0].tolist(), shrink=0.6, aspect=30)
    bar.set_label("slots in use [%]; red line: spans that share one", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110, metadata={"Comment": title})
    pyplot.close(figure)


def _image(
    rows: Sequence[Mapping[str, Any]], sizes: Sequence[int]
) -> tuple[list[npt.NDArray[np.uint8]], list[int]]:
    """Returns the picture of each size, and its height in cells."""
    of_size: dict[int, list[list[int]]] = {size: [] for size in sizes}
    for row in rows:
        if row["size"] in of_size:
            of_size[row["size"]] += row["groups"]
    parts = [_cells(of_size[size]) for size in sizes]
    return parts, [len(part) // _CELL for part in parts]


def _cells(groups: Sequence[Sequence[int]]) -> npt.NDArray[np.uint8]:
    colours = (np.array(colormaps["viridis_r"].colors) * 255).astype(np.uint8)  # type: ignore[attr-defined]
    total = sum(members for _, members in groups)
    height = max(1, -(-total // _COLUMNS)) + 1
    image = np.full((height * _CELL, _COLUMNS * _CELL, 3), 255, dtype=np.uint8)
    at = 0
    for percent, members in groups:
        for member in range(members):
            y, x = divmod(at, _COLUMNS)
            y, x = y * _CELL, x * _CELL
            joined = member + 1 < members
            image[y : y + _CELL - 1, x : x + _CELL - (0 if joined else 1)] = colours[
                min(255, percent * 255 // 100)
            ]
            if members > 1:
                image[y + _CELL - 2 : y + _CELL - 1, x : x + _CELL - (0 if joined else 1)] = _LINE
            at += 1
    return image


def write_html(maps: Mapping[str, list[dict[str, Any]]], title: str, path: pathlib.Path) -> None:
    """Writes one file with data, style and script inside."""
    page = _PAGE.replace("@TITLE@", html.escape(title))
    # "</" would end the script.
    path.write_text(
        page.replace("@MAPS@", json.dumps(maps).replace("</", "<\\/")), encoding="utf-8"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>@TITLE@</title><style>
body { font: 14px sans-serif; margin: 1.5em; color: #222 }
.maps { display: flex; gap: 2em; align-items: flex-start; flex-wrap: wrap }
table { border-collapse: collapse } td, th { padding: 1px 8px; text-align: right; font-weight: 400 }
th { color: #666; border-bottom: 1px solid #ccc } td:last-child, th:last-child { text-align: left }
canvas { display: block } .scale { width: 200px; height: 12px; display: inline-block }
#tip { position: fixed; background: #222; color: #fff; padding: 3px 7px; border-radius: 3px;
  pointer-events: none; display: none; font-size: 12px }
</style></head><body><h1 style="font-size:18px">@TITLE@</h1>
<p>A cell is a virtual span, coloured by the part of its physical span that holds objects:
0 % <span class="scale" id="scale"></span> 100 %. Cells under one red line share one physical span.
Rows are size classes [bytes].</p>
<div class="maps" id="maps"></div><div id="tip"></div><script>
"use strict";
const maps = @MAPS@, side = 6, columns = 64, MB = 1 << 20;
const stops = [[253,231,37],[94,201,98],[33,145,140],[59,82,139],[68,1,84]];
function colour(percent) {
  const x = Math.min(percent, 99.9) / 25, i = Math.floor(x), f = x - i;
  return "rgb(" + stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * f)).join() + ")";
}
document.getElementById("scale").style.background =
  "linear-gradient(90deg," + [0, 25, 50, 75, 100].map(colour).join() + ")";
const tip = document.getElementById("tip");
function add(parent, tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}
function draw(canvas, row) {
  const cells = [];
  for (const [percent, members] of row.groups)
    for (let m = 0; m < members; m++) cells.push([percent, members, m + 1 < members]);
  canvas.width = columns * side;
  canvas.height = Math.max(1, Math.ceil(cells.length / columns)) * side;
  const context = canvas.getContext("2d");
  cells.forEach(([percent, members, joined], i) => {
    const x = i % columns * side, y = Math.floor(i / columns) * side;
    const width = side - (joined ? 0 : 1);
    context.fillStyle = colour(percent);
    context.fillRect(x, y, width, side - 1);
    if (members > 1) { context.fillStyle = "#c1272d"; context.fillRect(x, y + side - 2, width, 1); }
  });
  canvas.onmousemove = event => {
    const i = Math.floor(event.offsetY / side) * columns + Math.floor(event.offsetX / side);
    tip.style.display = cells[i] ? "block" : "none";
    if (!cells[i]) return;
    tip.style.left = event.clientX + 12 + "px"; tip.style.top = event.clientY + 12 + "px";
    tip.textContent = row.size + " bytes: " + cells[i][0] + " % in use" +
      (cells[i][1] > 1 ? ", " + cells[i][1] + " spans share it" : "");
  };
  canvas.onmouseleave = () => { tip.style.display = "none"; };
}
for (const [name, rows] of Object.entries(maps)) {
  const sum = key => rows.reduce((total, row) => total + row[key], 0) / MB;
  const section = add(document.getElementById("maps"), "section");
  add(section, "h2", name + ": " + sum("physical_bytes").toFixed(1) + " MB for " +
    sum("live_bytes").toFixed(1) + " MB of objects, " + sum("saved_bytes").toFixed(1) +
    " MB saved by meshing").style.fontSize = "15px";
  const table = add(section, "table"), head = add(table, "tr");
  for (const text of ["size", "spans", "free MB", "saved MB", ""]) add(head, "th", text);
  for (const row of rows) {
    const line = add(table, "tr");
    add(line, "td", row.size); add(line, "td", row.spans);
    add(line, "td", (row.free_bytes / MB).toFixed(1));
    add(line, "td", (row.saved_bytes / MB).toFixed(1));
    const cell = add(line, "td");
    draw(add(cell, "canvas"), row);
    if (row.every > 1) add(cell, "small", "one group in " + row.every + " is drawn");
  }
}
</script></body></html>
"""
