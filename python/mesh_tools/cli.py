"""The `mesh` command: chooses a command's module, parses its arguments, runs it.

Exit status: the command's; 2 for bad input of any kind, with one line that says what is wrong.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from . import __version__, command_line, window

_EXIT_INTERRUPTED = 130
_FORM = "mesh [--help] [--version] COMMAND ..."

# Name, and what it does, in the order in which they are listed.
COMMANDS = {
    "run": "run a program on Mesh",
    "options": "list the options of the library",
    "doctor": "say what this machine offers to Mesh, and what to change",
    "would-save": "estimate what meshing would give back, before adopting it",
    "compare": "run a command on Mesh and other allocators, memory and time side by side",
    "stat": "print the statistics of a running program",
    "top": "watch all programs that run Mesh",
    "map": "draw a program's heap: occupancy of spans, meshed groups",
    "ctl": "read or steer a running program",
    "export": "serve the statistics of all programs to Prometheus",
    "stress": "wear an allocator out: threads, fragmentation, Redis",
    "theory": "the mathematics of meshing: tables and plots",
}


class _Command(Protocol):
    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


class Parser(argparse.ArgumentParser):
    """Ends with one line and status 2 for bad arguments."""

    def error(self, message: str) -> NoReturn:
        """Says what is wrong."""
        command_line.say(self.prog, message)
        sys.exit(command_line.EXIT_USAGE)


def load(name: str) -> _Command:
    """Returns the module of a command.

    Raises: command_line.UsageError: a package that it needs is not installed.
    """
    try:
        module: _Command = importlib.import_module(
            f".commands.{name.replace('-', '_')}", __package__
        )
    except ModuleNotFoundError as error:
        raise command_line.UsageError(
            f"needs the Python package {error.name}: pip install {error.name}"
        ) from error
    return module


def make_parser(name: str, command: _Command) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    parser = Parser(
        prog=f"mesh {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def overview() -> str:
    """Returns the text of `mesh --help`."""
    rows = [f"  {name:12}{sentence}" for name, sentence in COMMANDS.items()]
    return "\n".join([f"usage: {_FORM}", "", *rows, "", "mesh COMMAND --help says more."])


def parse(parser: argparse.ArgumentParser, rest: Sequence[str]) -> argparse.Namespace:
    """Parses a command's arguments; what is behind the first `--` is PROGRAM and its arguments.

    Where the program comes before that, the `--` is one of its own. (argparse alone treats `--`
    in another way in each version of Python.)
    """
    mark = rest.index("--") if "--" in rest else len(rest)
    head, tail = list(rest[:mark]), list(rest[mark + 1 :])
    if not any(action.dest == "program" for action in parser._actions):
        return parser.parse_args(rest)
    parsed = parser.parse_args(head)
    if parsed.program is not None:
        parsed.arguments = [*parsed.arguments, *rest[mark:]]
    elif tail:
        parsed.program, parsed.arguments = tail[0], tail[1:]
    return parsed


def _run(name: str, rest: Sequence[str]) -> int:
    command = load(name)
    return command.run(parse(make_parser(name, command), rest))


def run(argv: Sequence[str]) -> int:
    """Runs `mesh` with these arguments; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if argv else command_line.EXIT_USAGE
    name = argv[0]
    if name == "--version":
        print(f"mesh {__version__}")
        return 0
    if name not in COMMANDS:
        command_line.say("mesh", f"there is no command '{name}'; mesh --help lists them")
        return command_line.EXIT_USAGE
    try:
        return _run(name, argv[1:])
    except (command_line.UsageError, window.WindowError) as error:
        command_line.say(f"mesh {name}", error)
        return command_line.EXIT_USAGE
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; so that the interpreter does not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return command_line.EXIT_WRONG


def main() -> NoReturn:
    """The entry point of the installed command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
