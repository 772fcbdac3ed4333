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

    def __init__(self) -> None:
        self._others: set[tuple[int, str]] = set()

    def observe(self) -> list[Observed]:
        """Returns all of them, by rising process id."""
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
            # A process that has just begun may come to have it: ask again until it has a heap.
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
