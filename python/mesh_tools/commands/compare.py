"""Runs a command on glibc, jemalloc, tcmalloc, mimalloc (those installed) and Mesh, in turn.

Prints a table and writes NAME.json and NAME.png: physical memory over time, time, processor time.
The command's output is dropped, and it gets no input. Each round runs it twice on each allocator:
once for the time, once to look at its memory. Compare runs of one call, not calls.
"""

import argparse
import pathlib
import shlex
import sys
import tempfile

from .. import (
    allocators,
    command_line,
    compare_experiment,
    compare_report,
    program_file,
    provenance,
    results,
)

_Run = compare_experiment.CompareRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument(
        "--sample-ms", type=float, default=20.0, metavar="MS", help="between looks at the memory"
    )
    parser.add_argument(
        "--output", default="compare", metavar="NAME", help="NAME.json, NAME.png; default compare"
    )
    parser.add_argument(
        "--peers", default=None, metavar="NAME=LIBRARY,...", help="default: those installed"
    )
    parser.add_argument("--library", metavar="FILE", help="libmesh.so; default: the installed one")
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="the command to run")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)


def run(arguments: argparse.Namespace) -> int:
    """Runs everything, prints and writes."""
    if arguments.program is None:
        raise command_line.UsageError("which command? mesh compare [options] -- COMMAND ...")
    if arguments.rounds < 1 or arguments.sample_ms < 1:
        raise command_line.UsageError("--rounds and --sample-ms have to be at least 1")
    target = provenance.user_path(arguments.output)
    if not target.parent.is_dir():
        raise command_line.UsageError(f"--output: there is no directory {target.parent}")
    library = command_line.find_library(arguments.library)
    path = program_file.find(arguments.program)
    problem = program_file.inspect(path, library).problem
    if problem is not None:
        raise command_line.UsageError(f"{path} {problem}")
    peers = (
        allocators.installed_peers()
        if arguments.peers is None
        else [allocators.glibc(), *command_line.peers(filter(None, arguments.peers.split(",")))]
    )
    command = [str(path), *arguments.arguments]
    try:
        with tempfile.TemporaryDirectory(prefix="mesh-compare-") as scratch:
            runs = compare_experiment.run_in_turn(
                command,
                [*peers, allocators.mesh(library)],
                arguments.rounds,
                arguments.sample_ms,
                pathlib.Path(scratch),
            )
    except compare_experiment.CommandFailed as error:
        command_line.say("mesh compare", error)
        return command_line.EXIT_WRONG
    _write(arguments, runs, target)
    return 0


def _write(arguments: argparse.Namespace, runs: list[_Run], target: pathlib.Path) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad argument.
    from .. import compare_plot

    comparison = results.Comparison(
        workload=shlex.join([arguments.program, *arguments.arguments]),
        baseline="glibc",
        provenance=provenance.describe(sys.argv, "//python:mesh"),
        parameters={"rounds": arguments.rounds, "sample_ms": arguments.sample_ms},
        runs=runs,
    )
    png, plain = (target.with_name(f"{target.name}{suffix}") for suffix in (".png", ".json"))
    comparison.write_json(plain)
    compare_plot.draw(comparison, png)
    command_line.make_console().print(compare_report.make_table(comparison))
    print(f"written: {plain}, {png}")
