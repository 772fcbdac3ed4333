"""Which processes run Mesh, and what they are called."""

import dataclasses
import pathlib
from collections.abc import Iterator

from . import snapshot, window

_PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True)
class Observed:
    """One process at one moment."""

    pid: int
    command: str
    snapshot: snapshot.Snapshot


def command_of(pid: int) -> str:
    """Returns the name of a process's program; "?" when it has gone."""
    try:
        return (_PROC / str(pid) / "comm").read_text().strip() or "?"
    except OSError:
        return "?"


class Scanner:
    """Finds the processes that run Mesh and that we may look into; remembers those that do not."""

    # Looks after which those that do not run Mesh are asked again: one may have been caught in the
    # middle of an exec.
    _FORGET_AFTER = 10

    def __init__(self) -> None:
        self._others: set[tuple[int, str]] = set()
        self._looks = 0

    def observe(self) -> list[Observed]:
        """Returns all of them, by rising process id."""
        if self._looks % self._FORGET_AFTER == 0:
            self._others.clear()
        self._looks += 1
        found = [self._observe(pid) for pid in sorted(self._pids())]
        return [observed for observed in found if observed is not None]

    def _pids(self) -> Iterator[int]:
        for path in _PROC.iterdir():
            if path.name.isdigit():
                yield int(path.name)

    def _observe(self, pid: int) -> Observed | None:
        key = (pid, _program_of(pid))
        if key in self._others:
            return None
        try:
            with window.Window(pid) as opened:
                return Observed(pid, command_of(pid), snapshot.collect(opened))
        except (window.NotMesh, window.NotPermitted):
            self._others.add(key)
        except window.WindowError:
            pass
        return None


def _program_of(pid: int) -> str:
    """Returns what tells a process from one that had its number before, or ran before exec."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    # Start time, and where the stack begins: exec changes that. Source: proc_pid_stat(5).
    return f"{fields[19]} {fields[25]} {command_of(pid)}"
