"""Prints the statistics of a running program that has Mesh in it.

They are read from outside: the program is not stopped and does nothing for it. Only its own user
and root may look. docs/statistics.md says what each figure is.
"""

import argparse
import json

from rich.table import Table

from .. import command_line, processes, snapshot, views, window


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("pid", metavar="PID", type=int, help="the process")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Prints them."""
    with window.Window(arguments.pid) as opened:
        found = snapshot.collect(opened)
    if arguments.json:
        plain = {"pid": arguments.pid, "command": processes.command_of(arguments.pid)}
        print(json.dumps({**plain, **found.to_json()}))
        return 0
    console = command_line.make_console()
    console.print(f"{processes.command_of(arguments.pid)}, process {arguments.pid}", style="bold")
    console.print(_summary(found))
    console.print(views.class_table(found))
    return 0


def _summary(found: snapshot.Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    rows = [
        ("live", views.megabytes(found.live_bytes), "in objects that the program holds"),
        ("physical", views.megabytes(found.physical_bytes), views.ratio_to_live(found)),
        ("saved", views.megabytes(found.saved_bytes), "by meshing, now"),
        ("PSS", views.megabytes(found.pss_bytes), "of the whole process"),
        ("RSS", views.megabytes(found.rss_bytes), "counts a meshed page for each address"),
        ("meshes", str(found.mesh_count), f"in {found.mesh_passes} passes"),
        ("longest pause", f"{found.longest_pause_ns / 1e6:.1f} ms", "of a class for one batch"),
        ("longest wait", f"{found.longest_wait_ns / 1e6:.1f} ms", "of a thread for such a batch"),
        ("barrier", found.barrier_tier, f"period {found.period_ms} ms"),
        ("mappings", str(found.mappings_used), f"of {found.mappings_budget} allowed to meshing"),
    ]
    for name, value, note in rows:
        table.add_row(name, value, f"[dim]{note}[/dim]")
    return table
