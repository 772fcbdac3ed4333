"""Memory of a running program, read from outside through /proc.

Meshed pages are shared memory: RSS counts such a page once per alias, and PSS misses it while no
alias has been touched since the mesh. So the figure to judge by is

    physical = Pss_Anon + blocks allocated to the shared-memory files that the program maps

Both are read here. A program's children are counted with it, so that a snapshot taken by fork()
does not look like memory given back. Neighbours: experiments start a MemorySampler, reports and
plots only see the MemorySeries it returns.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import numpy.typing as npt

_KIB = 1024
# st_blocks is in units of 512 bytes whatever the file system's block size. Source: inode(7).
_STAT_BLOCK_BYTES = 512
_MAPS_LINE = re.compile(
    r"^(?P<range>[0-9a-f]+-[0-9a-f]+) \S+ [0-9a-f]+ (?P<dev>[0-9a-f]+:[0-9a-f]+) (?P<inode>\d+)"
    r"\s+(?P<path>\S.*)$"
)

InodeKey = tuple[str, int]


class ProcessGone(Exception):
    """The process ended, so it has no memory to read."""


@dataclasses.dataclass(frozen=True)
class MemoryPoint:
    """Memory of a process and its children at one moment, in bytes.

    `backing_exact` is False where the kernel did not let us ask for a file's blocks; the backing is
    then the touched part of it only (Pss_Shmem), a lower bound.
    """

    pss_anon_bytes: int
    pss_bytes: int
    rss_bytes: int
    backing_bytes: int
    backing_exact: bool

    @property
    def physical_bytes(self) -> int:
        """Physical memory [bytes]: what the machine would get back if the program ended."""
        return self.pss_anon_bytes + self.backing_bytes

    def minus(self, before: "MemoryPoint") -> "MemoryPoint":
        """Returns what has come on top of `before`."""
        return MemoryPoint(
            pss_anon_bytes=self.pss_anon_bytes - before.pss_anon_bytes,
            pss_bytes=self.pss_bytes - before.pss_bytes,
            rss_bytes=self.rss_bytes - before.rss_bytes,
            backing_bytes=self.backing_bytes - before.backing_bytes,
            backing_exact=self.backing_exact and before.backing_exact,
        )


@dataclasses.dataclass(frozen=True)
class MemorySeries:
    """Samples over time; every array has shape (n_samples,).

    t_ms: time since the sampler started [ms], float64. The rest in bytes, int64;
    used_memory_bytes is what the program itself reports, -1 where it was not asked.
    """

    t_ms: npt.NDArray[np.float64]
    pss_anon_bytes: npt.NDArray[np.int64]
    pss_bytes: npt.NDArray[np.int64]
    rss_bytes: npt.NDArray[np.int64]
    backing_bytes: npt.NDArray[np.int64]
    used_memory_bytes: npt.NDArray[np.int64]

    @property
    def physical_bytes(self) -> npt.NDArray[np.int64]:
        """Physical memory [bytes], shape (n_samples,)."""
        return self.pss_anon_bytes + self.backing_bytes

    def to_json(self) -> dict[str, list[float]]:
        """Returns the columns as plain lists, by field name."""
        columns = {f.name: getattr(self, f.name).tolist() for f in dataclasses.fields(self)}
        columns["t_ms"] = [round(t, 1) for t in columns["t_ms"]]
        return columns


def parse_rollup(text: str) -> dict[str, int]:
    """Reads the counters of one smaps_rollup file.

    Args:
        text: content of /proc/PID/smaps_rollup, sizes in kB.

    Returns:
        Counter name ("Pss_Anon") to bytes.
    Source: proc_pid_smaps(5).
    """
    counters = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        fields = rest.split()
        if len(fields) == 2 and fields[1] == "kB":
            counters[name] = int(fields[0]) * _KIB
    return counters


def parse_shared_memory_files(maps: str) -> dict[InodeKey, str]:
    """Finds the shared-memory files among a process's mappings.

    Args:
        maps: content of /proc/PID/maps.

    Returns:
        (device, inode) of each memfd or anonymous shared mapping to one address range of it, in the
        spelling that names its entry under /proc/PID/map_files.
    """
    found: dict[InodeKey, str] = {}
    for line in maps.splitlines():
        if "/memfd:" not in line and "/dev/zero (deleted)" not in line:
            continue
        match = _MAPS_LINE.match(line)
        if match and match["path"].startswith(("/memfd:", "/dev/zero (deleted)")):
            start, end = match["range"].split("-")
            # maps pads addresses to 8 digits, map_files does not.
            found.setdefault(
                (match["dev"], int(match["inode"])), f"{int(start, 16):x}-{int(end, 16):x}"
            )
    return found


def _children(pid: int, proc: pathlib.Path) -> list[int]:
    try:
        text = (proc / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        return []  # The process ended, or the kernel has no CONFIG_PROC_CHILDREN.
    return [int(child) for child in text.split()]


class MemoryReader:
    """Reads one process again and again; remembers where its shared-memory files are mapped.

    Parsing /proc/PID/maps costs milliseconds in a process with many mappings, so it is done
    every `rescan_every` reads, and at once when a remembered range has gone.
    """

    def __init__(
        self, pid: int, rescan_every: int = 10, proc: pathlib.Path = pathlib.Path("/proc")
    ) -> None:
        self._pid = pid
        self._rescan_every = rescan_every
        self._proc = proc
        self._reads = 0
        self._files: dict[InodeKey, list[pathlib.Path]] = {}

    def read(self) -> MemoryPoint:
        """Returns the memory of the process and its children now.

        Raises:
            ProcessGone: the process has ended.
        """
        pids = [self._pid, *_children(self._pid, self._proc)]
        totals = {"Pss_Anon": 0, "Pss": 0, "Rss": 0, "Pss_Shmem": 0}
        for pid in pids:
            try:
                text = (self._proc / str(pid) / "smaps_rollup").read_text()
            except OSError as error:
                if pid == self._pid:
                    raise ProcessGone(f"process {pid} has ended") from error
                continue
            counters = parse_rollup(text)
            if pid == self._pid and not counters:
                raise ProcessGone(f"process {pid} has ended")
            for name in totals:
                totals[name] += counters.get(name, 0)
        backing = self._backing_bytes(pids)
        return MemoryPoint(
            pss_anon_bytes=totals["Pss_Anon"],
            pss_bytes=totals["Pss"],
            rss_bytes=totals["Rss"],
            backing_bytes=totals["Pss_Shmem"] if backing is None else backing,
            backing_exact=backing is not None,
        )

    def _backing_bytes(self, pids: list[int]) -> int | None:
        """Returns the blocks of all shared-memory files [bytes], None if they cannot be asked."""
        if self._reads % self._rescan_every == 0:
            self._rescan(pids)
        self._reads += 1
        total = self._stat_files()
        if total is None:
            self._rescan(pids)
            total = self._stat_files()
        return total

    def _rescan(self, pids: Iterable[int]) -> None:
        self._files = {}
        for pid in pids:
            process = self._proc / str(pid)
            try:
                maps = (process / "maps").read_text()
            except OSError:
                continue
            for key, address_range in parse_shared_memory_files(maps).items():
                self._files.setdefault(key, [process / "map_files" / address_range])
            for key, path in _open_memfds(process):
                if key in self._files:
                    self._files[key].append(path)

    def _stat_files(self) -> int | None:
        total = 0
        for key, paths in self._files.items():
            blocks = next(
                (b for b in (_blocks(path, key) for path in paths) if b is not None), None
            )
            if blocks is None:
                return None
            total += blocks * _STAT_BLOCK_BYTES
        return total


def _key_of(status: os.stat_result) -> InodeKey:
    """Returns a file's key in the spelling of /proc/PID/maps."""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", status.st_ino


def _blocks(path: pathlib.Path, key: InodeKey) -> int | None:
    """Returns the blocks of the file `key` through `path`, None if that is not the way to it.

    Asked by path each time: an open descriptor would keep alive what we measure.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_blocks if _key_of(status) == key else None


def _open_memfds(process: pathlib.Path) -> Iterator[tuple[InodeKey, pathlib.Path]]:
    """Finds the memfds that a process has open.

    Whoever owns the process may follow these; map_files takes CAP_CHECKPOINT_RESTORE.
    """
    try:
        for path in (process / "fd").iterdir():
            if str(path.readlink()).startswith("/memfd:"):
                yield _key_of(path.stat()), path
    except OSError:
        return  # Not ours to look at, or a descriptor has just been closed: map_files is left.


class MemorySampler:
    """Samples the memory of one process from a thread until stop().

    Args:
        pid: process to watch.
        interval_ms: time between two samples [ms], > 0.
        used_memory: asks the program for its own count [bytes]; called every `ask_every` samples.

    Raises:
        ValueError: interval_ms <= 0.
    """

    def __init__(
        self,
        pid: int,
        interval_ms: float,
        used_memory: Callable[[], int] | None = None,
        ask_every: int = 5,
    ) -> None:
        if interval_ms <= 0:
            raise ValueError(f"interval_ms is {interval_ms}, must be above 0")
        self._reader = MemoryReader(pid)
        self._interval_s = interval_ms / 1000
        self._used_memory = used_memory
        self._ask_every = ask_every
        self._rows: list[tuple[float, MemoryPoint, int]] = []
        self._turn = threading.Lock()  # who takes the samples now: the thread, or by_hand()
        self._stopping = threading.Event()
        self._start_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)
        self._thread.start()

    def now_ms(self) -> float:
        """Returns the time on the clock of the series [ms]."""
        return (time.monotonic() - self._start_s) * 1000

    def stop(self) -> MemorySeries:
        """Ends the sampling and returns what was read."""
        self._stopping.set()
        self._thread.join()
        points = [point for _, point, _ in self._rows]
        return MemorySeries(
            t_ms=np.array([t for t, _, _ in self._rows], dtype=np.float64),
            pss_anon_bytes=np.array([p.pss_anon_bytes for p in points], dtype=np.int64),
            pss_bytes=np.array([p.pss_bytes for p in points], dtype=np.int64),
            rss_bytes=np.array([p.rss_bytes for p in points], dtype=np.int64),
            backing_bytes=np.array([p.backing_bytes for p in points], dtype=np.int64),
            used_memory_bytes=np.array([used for _, _, used in self._rows], dtype=np.int64),
        )

    def points_since(self, start_ms: float) -> list[MemoryPoint]:
        """Returns the samples taken at or after `start_ms` on the clock of the series."""
        return [point for t, point, _ in list(self._rows) if t >= start_ms]

    @contextlib.contextmanager
    def by_hand(self) -> Iterator[Callable[[], None]]:
        """Takes no sample meanwhile but in calls of what this gives, which do so when one is due.

        For who times the program: a sample takes a processor for milliseconds, and the program's
        own calls of mmap wait for it.
        """
        with self._turn:
            yield self._sample_if_due

    def _sample_if_due(self) -> None:
        if self._rows and self.now_ms() - self._rows[-1][0] < self._interval_s * 1000:
            return
        with contextlib.suppress(ProcessGone):
            self._sample()

    def _sample(self) -> None:
        t_ms = self.now_ms()
        point = self._reader.read()
        self._rows.append((t_ms, point, self._ask()))

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_ms = self.now_ms()
            try:
                with self._turn:
                    self._sample()
            except ProcessGone:
                return
            self._stopping.wait(max(0.0, self._interval_s - (self.now_ms() - began_ms) / 1000))

    def _ask(self) -> int:
        if self._used_memory is None or len(self._rows) % self._ask_every != 0:
            return -1
        try:
            return self._used_memory()
        except OSError:
            return -1  # The program is on its way out; the next read will say so.


def median_point(points: list[MemoryPoint]) -> MemoryPoint:
    """Returns the sample in the middle by physical memory, so that one outlier does not count.

    Raises:
        ValueError: there is no sample.
    """
    if not points:
        raise ValueError("no memory sample was taken: the process ended too early")
    return sorted(points, key=lambda point: point.physical_bytes)[len(points) // 2]
