"""Watches all programs of yours that run Mesh (root: of all users), or one of them.

Read from outside, without stopping anything. Ends with Ctrl-C.
"""

import argparse
import pathlib
import re
import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .. import command_line, processes, snapshot, views, window

_CLASSES_SHOWN = 12
_PICTURE_COLUMNS = 118


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("pid", metavar="PID", type=int, nargs="?", help="only this process")
    parser.add_argument(
        "--interval", type=float, default=2.0, metavar="S", help="time between two looks [s]"
    )
    parser.add_argument(
        "--iterations", type=int, default=None, metavar="N", help="end after N looks"
    )
    parser.add_argument("--svg", metavar="FILE", help="write the last screen as a picture")


def run(arguments: argparse.Namespace) -> int:
    """Watches until it is interrupted, the process ends, or N looks are done."""
    if arguments.interval <= 0 or (arguments.iterations or 1) < 1:
        raise command_line.UsageError("--interval and --iterations have to be above 0")
    watched = _Watched(arguments.pid)
    watched.look()  # A bad PID is an error before the screen is taken.
    console = command_line.make_console()
    looks = 1
    with Live(watched.screen(), console=console, auto_refresh=False) as live:
        while arguments.iterations is None or looks < arguments.iterations:
            time.sleep(arguments.interval)
            try:
                watched.look()
            except window.NoSuchProcess:
                break
            live.update(watched.screen(), refresh=True)
            looks += 1
    if arguments.svg is not None:
        _draw(watched.screen(), arguments.svg)
    return 0


class _Watched:
    """What is seen now, and what was at the look before, for rates."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._scanner = processes.Scanner()
        self._now: list[processes.Observed] = []
        self._meshes: dict[int, tuple[float, int]] = {}
        self._rates: dict[int, float] = {}

    def look(self) -> None:
        self._now = self._scanner.observe() if self._pid is None else [_observe(self._pid)]
        time_s = time.monotonic()
        for seen in self._now:
            before = self._meshes.get(seen.pid)
            if before is not None and time_s > before[0]:
                new = seen.snapshot.mesh_count - before[1]
                self._rates[seen.pid] = max(0, new) / (time_s - before[0])
            self._meshes[seen.pid] = (time_s, seen.snapshot.mesh_count)

    def screen(self) -> RenderableType:
        if not self._now:
            return Text("no process that you may look into runs Mesh")
        if self._pid is None:
            return self._table()
        classes = views.class_table(self._now[0].snapshot, _CLASSES_SHOWN)
        return Group(self._table(), Text(), classes)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("pid", justify="right")
        table.add_column("command")
        for name in ("live", "physical", "ratio", "saved", "PSS", "RSS", "meshes", "/s", "pause"):
            table.add_column(name, justify="right")
        table.add_column("barrier")
        table.add_column("mappings", justify="right")
        for seen in sorted(self._now, key=lambda seen: -seen.snapshot.physical_bytes):
            table.add_row(*self._row(seen))
        return table

    def _row(self, seen: processes.Observed) -> list[str]:
        s: snapshot.Snapshot = seen.snapshot
        ratio = f"{s.physical_bytes / s.live_bytes:.2f}" if s.live_bytes else "-"
        amounts = (s.live_bytes, s.physical_bytes, s.saved_bytes, s.pss_bytes, s.rss_bytes)
        live, physical, saved, pss, rss = (views.megabytes(amount) for amount in amounts)
        return [
            str(seen.pid),
            seen.command,
            *(live, physical, ratio, saved, pss, rss),
            str(s.mesh_count),
            f"{self._rates.get(seen.pid, 0.0):.0f}",
            f"{s.longest_pause_ns / 1e6:.1f} ms",
            s.barrier_tier,
            f"{s.mappings_used}/{s.mappings_budget}",
        ]


def _observe(pid: int) -> processes.Observed:
    with window.Window(pid) as opened:
        return processes.Observed(pid, processes.command_of(pid), snapshot.collect(opened))


def _draw(screen: RenderableType, path: str) -> None:
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=_PICTURE_COLUMNS, file=nowhere)
        console.print(screen)
        picture = console.export_svg(title="mesh top")
    # It asks for fonts of another server.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    pathlib.Path(path).write_text(picture, encoding="utf-8")
