"""Runs a program with Mesh as its allocator.

The program takes this command's place: its exit status, signals, terminal and stdin are its own.
Everything behind the first `--`, or behind the program's name, is the program's.
"""

import argparse
import os
import pathlib

from .. import command_line, program_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--stats", action="store_true", help="print a report on stderr at exit")
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write the statistics as JSON at exit; %%p becomes the process id",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="an option of man libmesh, with or without MESH_; may be repeated",
    )
    parser.add_argument("--library", metavar="FILE", help="libmesh.so; default: the installed one")
    parser.add_argument(
        "--force", action="store_true", help="also where the program has an allocator of its own"
    )
    parser.add_argument("program", metavar="PROGRAM", nargs="?", help="a name on PATH, or a path")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)


def run(arguments: argparse.Namespace) -> int:
    """Becomes the program; does not return."""
    if arguments.program is None:
        raise command_line.UsageError("which program? mesh run [options] -- PROGRAM ...")
    library = command_line.find_library(arguments.library)
    path = program_file.find(arguments.program)
    program = program_file.inspect(path, library)
    if program.problem is not None and not (program.bundled and arguments.force):
        hint = "; --force runs it all the same" if program.bundled else ""
        raise command_line.UsageError(f"{program.path} {program.problem}{hint}")
    environment = command_line.preloading(library)
    environment.update(_settings(arguments.set))
    if arguments.stats:
        environment["MALLOCSTATS"] = "2"
    if arguments.report is not None:
        environment["MESH_STATS_FILE"] = _report_path(arguments.report)
    rest = arguments.arguments
    try:
        os.execve(path, [arguments.program, *rest], environment)
    except OSError as error:
        raise command_line.UsageError(f"{path}: {error.strerror}") from error


def _settings(texts: list[str]) -> dict[str, str]:
    settings = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise command_line.UsageError(f"--set {text}: it takes NAME=VALUE")
        name = name.upper()
        settings[name if name.startswith(("MESH_", "MALLOCSTATS")) else f"MESH_{name}"] = value
    return settings


def _report_path(text: str) -> str:
    # The program may go elsewhere before it writes.
    path = pathlib.Path(text).absolute()
    if not path.parent.is_dir():
        raise command_line.UsageError(f"--report: there is no directory {path.parent}")
    return str(path)
