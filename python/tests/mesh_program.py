"""Runs window_program.py with Mesh preloaded, for tests that look at it from outside."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

LIBRARY = pathlib.Path(os.environ["MESH_LIB"]).absolute()

_PROGRAM = pathlib.Path(__file__).absolute().parent / "window_program.py"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns an environment in which Python's objects are Mesh's."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LD_PRELOAD": str(LIBRARY),
        "PYTHONMALLOC": "malloc",
        **(extra or {}),
    }


class MeshProgram:
    """The running program."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert self._line() == "ready"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tell(self, command: str) -> None:
        """Gives it a command without waiting for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def run(self, command: str) -> str:
        """Gives it a command and returns its answer."""
        self.tell(command)
        return self._line()

    def statistics(self) -> dict[str, int]:
        """Returns what mesh_mallctl says inside."""
        values: dict[str, int] = json.loads(self.run("stats"))
        return values

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")


@contextlib.contextmanager
def running(
    keys: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> Iterator[MeshProgram]:
    """Runs it for the length of the block.

    Args: keys: what statistics() returns. extra: environment on top.
    """
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM), json.dumps(list(keys))],
        env=environment(extra),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield MeshProgram(process)
        finally:
            process.kill()
