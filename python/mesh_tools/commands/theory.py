"""The mathematics of meshing: what theory promises, what the strategies reach on generated spans.

Prints tables and writes a picture: the chance that two spans mesh, the spans that pairs and groups
free, what the order of the slots does, and the kernel's mappings that each way of packing takes.
Source: Powers et al., Mesh, PLDI 2019.
"""

import argparse
import dataclasses
import json

from rich.table import Table

from .. import command_line, provenance, theory_study

_KEEP_EVERY = (2, 4, 8, 16)
_MOST_SLOTS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--slots", type=int, default=64, help="of a span, 16 to 256; default 64")
    parser.add_argument("--spans", type=int, default=1000, help="default 1000")
    parser.add_argument(
        "--run-spans", type=int, default=10_000, help="whose mappings are counted; default 10000"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random placement; default 1")
    parser.add_argument("--output", default="theory.png", metavar="FILE", help="default theory.png")
    parser.add_argument("--json", action="store_true", help="one JSON object, and no picture")


def run(arguments: argparse.Namespace) -> int:
    """Computes, prints, draws."""
    slots, spans = arguments.slots, arguments.spans
    fewest = min(spans, arguments.run_spans)
    if not _KEEP_EVERY[-1] <= slots <= _MOST_SLOTS or fewest < 2 or arguments.seed < 0:
        raise command_line.UsageError(
            "it takes 16 to 256 slots, 2 spans and more, and a seed from 0 on"
        )
    target = provenance.user_path(arguments.output)
    if not target.parent.is_dir():
        raise command_line.UsageError(f"--output: there is no directory {target.parent}")
    found = _study(arguments)
    if arguments.json:
        plain = {
            name: [dataclasses.asdict(row) for row in rows] for name, rows in vars(found).items()
        }
        print(json.dumps(plain))
        return 0
    console = command_line.make_console()
    console.print(_table(found.points))
    console.print(_packing_table(found.packings))
    _draw(found, arguments)
    return 0


@dataclasses.dataclass(frozen=True)
class _Study:
    points: list[theory_study.Point]
    orders: list[theory_study.Ordered]
    packings: list[theory_study.Packing]


def _study(arguments: argparse.Namespace) -> _Study:
    slots, spans, seed = arguments.slots, arguments.spans, arguments.seed
    with command_line.progress_bar(command_line.make_console(stderr=True)) as bar:
        task = bar.add_task("strategies", total=2 + len(theory_study.PACKED_SLOTS))
        lives = range(1, slots + 1, max(1, slots // 32))
        points = theory_study.strategies(slots, lives, spans, seed)
        bar.update(task, advance=1, description="orders")
        orders = theory_study.orders(slots, _KEEP_EVERY, spans, seed)
        bar.update(task, advance=1)
        packings = []
        for packed in theory_study.PACKED_SLOTS:
            bar.update(task, description=f"mappings, {packed} slots")
            packings += theory_study.packings(packed, arguments.run_spans, seed)
            bar.update(task, advance=1)
    return _Study(points, orders, packings)


def _draw(found: _Study, arguments: argparse.Namespace) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad argument.
    from .. import theory_plot

    caption = (
        f"{arguments.spans} spans of {arguments.slots} slots; below, {arguments.run_spans} spans; "
        f"mesh theory --slots={arguments.slots} --spans={arguments.spans} "
        f"--run-spans={arguments.run_spans} --seed={arguments.seed}"
    )
    target = provenance.user_path(arguments.output)
    theory_plot.draw(found.points, found.orders, found.packings, caption, target)
    print(f"written: {target}")


def _table(points: list[theory_study.Point]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in (
        "slots in use",
        "two mesh",
        "simulated",
        "bound",
        "SplitMesher",
        "best pairs",
        "groups",
    ):
        table.add_column(name, justify="right")
    for point in points:
        values = (point.bound, point.split_mesher, point.best_pairs, point.groups)
        table.add_row(
            f"{point.live}/{point.slots}",
            f"{point.chance:.2g}",
            f"{point.simulated:.2g}",
            *(f"{value:.0%}" for value in values),
        )
    table.caption = "right half: part of the physical spans that is freed"
    return table


def _packing_table(packings: list[theory_study.Packing]) -> Table:
    """A row for each way and number of leaders, a column for each number of slots."""
    cells: dict[str, dict[int, str]] = {}
    for row in sorted(packings, key=lambda row: (row.is_priced, row.leaders * (not row.is_priced))):
        estimate = "" if row.estimate is None else f" ({row.estimate:.3f})"
        cell = f"{row.left:.3f} {row.mappings:.3f}{estimate}"
        name = row.way
        if row.is_priced:
            name = f"runs, price {theory_study.PRICE:g}"
        elif row.leaders > 0:
            name = f"runs, {row.leaders:.0%} lead"
        cells.setdefault(name, {})[row.slots] = cell
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for slots in theory_study.PACKED_SLOTS:
        table.add_column(f"{slots} slots", justify="right")
    for name, of_slots in cells.items():
        table.add_row(name, *(of_slots.get(slots, "") for slots in theory_study.PACKED_SLOTS))
    table.caption = (
        f"{theory_study.KEPT:.0%} of the objects kept: pages left of 1, "
        "mappings for each span (by estimate)"
    )
    return table
