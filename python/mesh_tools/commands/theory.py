"""The mathematics of meshing: what theory promises, what the strategies reach on generated spans.

Prints a table and writes a picture: the chance that two spans mesh, the spans that pairs and
groups free, and what the order of the slots does. Source: Powers et al., Mesh, PLDI 2019.
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
    parser.add_argument("--seed", type=int, default=1, help="of the random placement; default 1")
    parser.add_argument("--output", default="theory.png", metavar="FILE", help="default theory.png")
    parser.add_argument("--json", action="store_true", help="one JSON object, and no picture")


def run(arguments: argparse.Namespace) -> int:
    """Computes, prints, draws."""
    slots, spans = arguments.slots, arguments.spans
    if not _KEEP_EVERY[-1] <= slots <= _MOST_SLOTS or spans < 2 or arguments.seed < 0:
        raise command_line.UsageError(
            "it takes 16 to 256 slots, 2 spans and more, and a seed from 0 on"
        )
    target = provenance.user_path(arguments.output)
    if not target.parent.is_dir():
        raise command_line.UsageError(f"--output: there is no directory {target.parent}")
    lives = range(1, slots + 1, max(1, slots // 32))
    points = theory_study.strategies(slots, lives, spans, arguments.seed)
    orders = theory_study.orders(slots, _KEEP_EVERY, spans, arguments.seed)
    if arguments.json:
        plain = {
            "points": [dataclasses.asdict(point) for point in points],
            "orders": [dataclasses.asdict(row) for row in orders],
        }
        print(json.dumps(plain))
        return 0
    command_line.make_console().print(_table(points))
    _draw(points, orders, arguments)
    return 0


def _draw(
    points: list[theory_study.Point],
    orders: list[theory_study.Ordered],
    arguments: argparse.Namespace,
) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad argument.
    from .. import theory_plot

    caption = (
        f"{arguments.spans} spans of {arguments.slots} slots; "
        f"mesh theory --slots={arguments.slots} --spans={arguments.spans} --seed={arguments.seed}"
    )
    target = provenance.user_path(arguments.output)
    theory_plot.draw(points, orders, caption, target)
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
