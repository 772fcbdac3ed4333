"""What the programs of this directory share: bad flags end in one line, files are found."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

import rich.console
import rich.progress
from absl import app, flags

from . import allocators, provenance

EXIT_WRONG = 1
EXIT_USAGE = 2

_FILE_COLUMNS = 120


class UsageError(Exception):
    """The command line asks for something that cannot be done."""


def built_file(path: str, target: str) -> pathlib.Path:
    """Finds a file that Bazel built: in this program's runfiles, or in the tree's bazel-bin.

    Args:
        path: from the root of the repository.
        target: the Bazel target that brings the file, for the message.

    Raises:
        UsageError: it is in neither place.
    """
    root = pathlib.Path(__file__).absolute().parent.parent.parent
    for candidate in (root / path, root / "bazel-bin" / path):
        if candidate.is_file():
            return candidate
    raise UsageError(f"{path} is not built: run this by bazel run {target}")


def find_library(text: str | None) -> pathlib.Path:
    """Finds libmesh.so: the one named, that of $MESH_LIBRARY, built here, or installed.

    Raises:
        UsageError: there is none.
    """
    named = text or os.environ.get("MESH_LIBRARY")
    if named:
        path = provenance.user_path(named)
        if not path.is_file():
            raise UsageError(f"there is no library {named}")
        return path
    with contextlib.suppress(UsageError):
        return built_file("src/libmesh/libmesh.so", "//python:mesh")
    # `make install` puts the package into lib/mesh, beside the library.
    beside = pathlib.Path(__file__).resolve().parents[2] / "libmesh.so.1"
    if beside.is_file():
        return beside
    installed = allocators.find_library("libmesh.so.1")
    if installed is None:
        raise UsageError(
            "there is no libmesh.so: sudo make install, or name it by --library or $MESH_LIBRARY"
        )
    return installed


def preloading(library: pathlib.Path) -> dict[str, str]:
    """Returns this process's environment with the library in front of what is preloaded.

    Raises:
        UsageError: its path is none that the loader takes.
    """
    if any(mark in str(library) for mark in " :"):
        raise UsageError(f"the loader cannot preload a path with a blank or a colon: {library}")
    before = os.environ.get("LD_PRELOAD", "")
    preload = f"{library}:{before}" if before else str(library)
    return {**os.environ, "LD_PRELOAD": preload}


def mesh_allocator(library: str | None, target: str) -> allocators.Allocator:
    """Returns the Mesh to measure: --mesh_library, or by default the one built with the program.

    Raises:
        UsageError: there is no such file.
    """
    if library is None:
        return allocators.mesh(built_file("src/libmesh/libmesh.so", target))
    path = provenance.user_path(library)
    if not path.is_file():
        raise UsageError(f"--mesh_library: there is no file {library}")
    return allocators.mesh(path)


def peers(texts: Iterable[str]) -> list[allocators.Allocator]:
    """Reads --peers.

    Raises:
        UsageError: an entry is not usable.
    """
    try:
        return [allocators.parse_peer(text) for text in texts]
    except allocators.PeerError as error:
        raise UsageError(f"--peers: {error}") from error


def make_console(stderr: bool = False) -> rich.console.Console:
    """Returns a console for stdout, or for stderr."""
    # A file has no width of its own; 80 columns, the default, would break lines.
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return rich.console.Console(width=None if is_terminal else _FILE_COLUMNS, stderr=stderr)


def progress_bar(console: rich.console.Console) -> rich.progress.Progress:
    """Returns a bar that says what runs, how far it is and since when."""
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description:<24}"),
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TimeElapsedColumn(),
        console=console,
    )


def say(program: str, message: object) -> None:
    """Prints one line on stderr in the program's name."""
    print(f"{program}: {message}", file=sys.stderr)


def run(program: str, main: Callable[[Sequence[str]], int], takes_arguments: bool = False) -> None:
    """Parses the flags, runs `main` and exits with what it returns; a bad flag is status 2."""

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            rest: list[str] = flags.FLAGS(argv)
        except flags.Error as error:
            say(program, " ".join(str(error).split()))
            sys.exit(EXIT_USAGE)
        except SystemExit:
            sys.exit(0)  # --help has been printed; absl calls that a failure.
        if rest[1:] and not takes_arguments:
            say(program, f"unexpected argument '{rest[1]}'")
            sys.exit(EXIT_USAGE)
        return rest

    app.run(main, flags_parser=parse)
