"""Estimates what meshing would give back: a dry run of the library's strategy on real occupancies.

    mesh would-save --pid PID          a program that runs Mesh, now
    mesh would-save -- PROGRAM ...     runs it on Mesh with meshing off, and looks again and again

Of a program that does not run Mesh nothing can be told from outside: start it by the second form.
It is looked at without being stopped; what it starts is not looked at. Exit status: of the second
form, the program's.
"""

import argparse
import contextlib
import dataclasses
import json
import signal
import subprocess
import sys
import time

from rich.table import Table

from .. import command_line, program_file, snapshot, spans, views, window

_SIGNAL_STATUS = 128
# Part of the time that looking may take.
_LOOKING_SHARE = 0.25
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look found. t_s: time since the start [s]."""

    t_s: float
    snapshot: snapshot.Snapshot
    prospects: list[spans.Prospect]

    @property
    def freed_bytes(self) -> int:
        """Memory that meshing would give back [bytes]."""
        return sum(prospect.freed_bytes for prospect in self.prospects)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--pid", type=int, metavar="PID", help="a process that runs Mesh")
    parser.add_argument("--json", metavar="FILE", help="write every look as JSON")
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="S", help="time between looks [s]"
    )
    parser.add_argument("--library", metavar="FILE", help="libmesh.so; default: the installed one")
    parser.add_argument("program", metavar="PROGRAM", nargs="?")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)


def run(arguments: argparse.Namespace) -> int:
    """Looks once, or while the program runs."""
    if (arguments.pid is None) == (arguments.program is None):
        raise command_line.UsageError("it takes either --pid PID or a program")
    if arguments.interval <= 0:
        raise command_line.UsageError("--interval has to be above 0")
    status = 0
    if arguments.pid is not None:
        looks = [_look(arguments.pid, time.monotonic())]
    else:
        status, looks = _watch(arguments)
    if not looks:
        command_line.say("mesh would-save", "the program ended before it could be looked at")
        return status or command_line.EXIT_WRONG
    if arguments.json is not None:
        _write(looks, arguments.json)
    _report(looks)
    return status


def _look(pid: int, start_s: float) -> Look:
    with window.Window(pid) as opened:
        prospects = spans.prospects(spans.read(opened))
        return Look(time.monotonic() - start_s, snapshot.collect(opened), prospects)


def _watch(arguments: argparse.Namespace) -> tuple[int, list[Look]]:
    """Runs the program to its end; returns its status and what was seen."""
    library = command_line.find_library(arguments.library)
    path = program_file.find(arguments.program)
    problem = program_file.inspect(path, library).problem
    if problem is not None:
        raise command_line.UsageError(f"{path} {problem}")
    environment = {**command_line.preloading(library), "MESH_MESHING": "0"}
    process = subprocess.Popen(
        [arguments.program, *arguments.arguments], executable=path, env=environment
    )
    for number in _FORWARDED:
        signal.signal(number, lambda got, _frame: process.send_signal(got))
    start_s = time.monotonic()
    looks: list[Look] = []
    while process.poll() is None:
        began_s = time.monotonic()
        # It may not have allocated yet, or have just ended.
        with contextlib.suppress(window.WindowError):
            looks.append(_look(process.pid, start_s))
        cost_s = time.monotonic() - began_s
        try:
            process.wait(max(arguments.interval if looks else 0.01, cost_s / _LOOKING_SHARE))
        except subprocess.TimeoutExpired:
            continue
    status = process.returncode
    return (status if status >= 0 else _SIGNAL_STATUS - status), looks


def _report(looks: list[Look]) -> None:
    """Prints on stderr: stdout is the program's."""
    console = command_line.make_console(stderr=True)
    most = max(looks, key=lambda look: look.freed_bytes)
    peak = max(looks, key=lambda look: look.snapshot.physical_bytes)
    shown = {"now": looks[0]} if len(looks) == 1 else {
        "at the peak": peak, "at the best moment": most, "at the end": looks[-1]
    }  # fmt: skip
    table = Table(box=None, pad_edge=False)
    for name in ("", "time", "live", "physical", "meshing would give back"):
        table.add_column(name, justify="right" if name else "left")
    for name, look in shown.items():
        physical = look.snapshot.physical_bytes
        part = look.freed_bytes / physical if physical else 0.0
        table.add_row(
            name,
            f"{look.t_s:.1f} s",
            views.megabytes(look.snapshot.live_bytes),
            views.megabytes(physical),
            f"{views.megabytes(look.freed_bytes)}  ({part:.0%})",
        )
    console.print(table)
    console.print()
    console.print(_class_table(most))


def _class_table(look: Look) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("size", "spans", "looked at", "freed", "gives back", "live / physical"):
        table.add_column(name, justify="right")
    for prospect in look.prospects:
        if prospect.freed:
            occupancy = prospect.live_bytes / prospect.physical_bytes
            table.add_row(
                str(prospect.object_size),
                str(prospect.spans),
                str(prospect.candidates),
                str(prospect.freed),
                views.megabytes(prospect.freed_bytes),
                f"{views.bar(occupancy)} {occupancy:4.0%}",
            )
    return table


def _write(looks: list[Look], path: str) -> None:
    plain = [
        {
            "t_s": round(look.t_s, 3),
            "freed_bytes": look.freed_bytes,
            "snapshot": look.snapshot.to_json(),
            "classes": [dataclasses.asdict(prospect) for prospect in look.prospects],
        }
        for look in looks
    ]
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(plain, file, indent=1)
    except OSError as error:
        print(f"mesh would-save: {path}: {error.strerror}", file=sys.stderr)
