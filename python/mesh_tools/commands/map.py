"""Draws the heap of a running program that has Mesh in it, as PNG and as self-contained HTML.

Rows are size classes, cells are spans coloured by how much of them is in use; spans that share
memory are joined. With --compact the program is asked to compact itself, and the pictures show it
before and after, side by side.
"""

import argparse
import pathlib

from .. import command_line, processes, provenance, spans, views, window

_WASTEFUL_SHOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("pid", metavar="PID", type=int, help="the process")
    parser.add_argument(
        "--output", default="heap", metavar="NAME", help="NAME.png and NAME.html; default heap"
    )
    parser.add_argument(
        "--compact", action="store_true", help="before and after the program has compacted itself"
    )
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="how long to wait for that [s]"
    )


def run(arguments: argparse.Namespace) -> int:
    """Looks and draws."""
    target = provenance.user_path(arguments.output)
    if target.suffix in (".png", ".html"):
        target = target.with_suffix("")
    if not target.parent.is_dir():
        raise command_line.UsageError(f"--output: there is no directory {target.parent}")
    command = processes.command_of(arguments.pid)
    with window.Window(arguments.pid, writable=arguments.compact) as opened:
        heaps = {"before" if arguments.compact else "now": spans.read(opened)}
        if arguments.compact:
            try:
                opened.request("compact", 0, arguments.timeout)
            except window.NotServed as error:
                command_line.say("mesh map", error)
                return command_line.EXIT_WRONG
            heaps["after"] = spans.read(opened)
    return _draw(heaps, f"{command}, process {arguments.pid}", target)


def _draw(heaps: dict[str, spans.HeapMap], title: str, target: pathlib.Path) -> int:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad argument.
    from .. import heap_picture

    maps = {name: heap_picture.describe(heap) for name, heap in heaps.items()}
    png, page = (target.with_name(f"{target.name}{suffix}") for suffix in (".png", ".html"))
    heap_picture.draw_png(maps, title, png)
    heap_picture.write_html(maps, title, page)
    for name, rows in maps.items():
        wasteful = sorted(rows, key=lambda row: -int(row["free_bytes"]))[:_WASTEFUL_SHOWN]
        text = ", ".join(f"{r['size']} ({views.megabytes(r['free_bytes'])})" for r in wasteful)
        print(f"{name}: most free memory in spans of size {text or 'none'}")
    print(f"written: {png}, {page}")
    return 0
