"""Counts the instructions of malloc's fast paths: Mesh, and other allocators beside it.

Prints a table; --update writes Mesh's counts to test/bench/fast_paths.golden, which
//test/bench:fast_paths_test holds later builds to.

Exit status: 0, 1 counting failed, 2 bad flags.
"""

import sys
from collections.abc import Sequence

import rich.markup
import rich.table
from absl import flags

from python.mesh_tools import allocators, command_line, instructions, provenance

_PROGRAM = "count_instructions"
_TARGET = "//python:count_instructions"
_GOLDEN = "test/bench/fast_paths.golden"

_MESH_LIBRARY = flags.DEFINE_string(
    "mesh_library", None, "libmesh.so to count; default: the one built with this program."
)
_PEERS = flags.DEFINE_list("peers", [], "Further allocators, NAME=LIBRARY.")
_ONLY_MESH = flags.DEFINE_bool("only_mesh", False, "Leave out the allocators of this machine.")
_UPDATE = flags.DEFINE_bool("update", False, f"Write Mesh's counts to {_GOLDEN}.")


def _make_table(
    counts: dict[str, dict[str, float]], golden: dict[str, float], caption: str
) -> rich.table.Table:
    table = rich.table.Table(
        title="instructions per round, the loop around taken off", caption=caption
    )
    table.add_column("path")
    for name in counts:
        table.add_column(name, justify="right")
    table.add_column("golden", justify="right")
    for path in counts[allocators.MESH]:
        cells = [f"{of[path]:.1f}" for of in counts.values()]
        table.add_row(path, *cells, f"{golden[path]:.1f}" if path in golden else "-")
    return table


def main(argv: Sequence[str]) -> int:
    """Counts and prints; returns the exit status."""
    del argv  # Flags only; what is left over has been refused.
    golden = provenance.repository() / _GOLDEN
    try:
        mesh = command_line.mesh_allocator(_MESH_LIBRARY.value, _TARGET)
        program = command_line.built_file("test/bench/fast_paths", _TARGET)
        others = [] if _ONLY_MESH.value else allocators.installed_peers()
        compared = [mesh, *others, *command_line.peers(_PEERS.value)]
        counts = {a.name: instructions.count(program, a) for a in compared}
    except command_line.UsageError as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE
    except (instructions.CountError, OSError) as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_WRONG
    if _UPDATE.value:
        instructions.write_golden(golden, counts[allocators.MESH])
    origin = provenance.describe(sys.argv, _TARGET)
    command_line.make_console().print(
        _make_table(
            counts,
            instructions.read_golden(golden) if golden.exists() else {},
            rich.markup.escape(f"commit {origin['commit']} · {origin['command']}"),
        )
    )
    return 0


if __name__ == "__main__":
    command_line.run(_PROGRAM, main)
