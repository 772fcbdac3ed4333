"""The statistics of a running program with Mesh, read from outside.

The same figures, under the same names, as mesh_mallctl's "stats." keys: rows and sentences are
those of src/control/statistics.def, which a test compares with the classes here. What
Runtime::Collect (src/runtime/collect.cc) adds up inside, `collect` adds up outside.
"""

import contextlib
import dataclasses
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

from . import memory, window

# The names of BarrierTier (src/meshing/barrier.h), in its order.
BARRIER_TIERS = (
    "auto",
    "single thread",
    "userfaultfd",
    "userfaultfd user mode",
    "segv",
    "none",
)

# Threads of one process that are looked at; a list that is longer is broken.
_MOST_THREADS = 100_000
_MOST_CLASSES = 1 << 20


@dataclasses.dataclass(frozen=True)
class ClassSnapshot:
    """One size class."""

    object_size: int
    span_pages: int
    spans: int
    attached: int
    partial: int
    full: int
    meshed: int
    live_objects: int
    capacity_objects: int

    @property
    def occupancy(self) -> float:
        """Part of the slots that hold objects, 0 to 1; 1 for a class without spans."""
        return self.live_objects / self.capacity_objects if self.capacity_objects else 1.0

    @property
    def free_bytes(self) -> int:
        """Memory of slots that hold no object [bytes]."""
        return max(0, self.capacity_objects - self.live_objects) * self.object_size


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All of a process; the meaning of each field is in statistics.def and docs/statistics.md."""

    mesh_count: int
    meshed_pages_total: int
    meshed_pages_now: int
    meshed_pages_hwm: int
    mesh_passes: int
    mesh_failed_mappings: int
    mesh_failed_map: int
    mesh_failed_barrier: int
    miniheap_alloc_count: int
    miniheap_free_count: int
    miniheap_hwm: int
    live_bytes: int
    large_count: int
    large_bytes: int
    mapped_bytes: int
    arena_segments: int
    arena_reserved_bytes: int
    arena_committed_bytes: int
    dirty_bytes: int
    backing_bytes: int
    pss_bytes: int
    pss_anon_bytes: int
    rss_bytes: int
    mappings_used: int
    mappings_budget: int
    longest_pause_ns: int
    longest_wait_ns: int
    background_turns: int
    background_cpu_ns: int
    # Not rows of statistics.def, but of the snapshot all the same.
    barrier_tier: str
    period_ms: int
    page_bytes: int
    pauses: tuple[int, ...]
    waits: tuple[int, ...]
    classes: tuple[ClassSnapshot, ...]

    @property
    def physical_bytes(self) -> int:
        """Anonymous part of PSS and the backing of meshed pages [bytes]."""
        return self.pss_anon_bytes + self.backing_bytes

    @property
    def saved_bytes(self) -> int:
        """What meshing saves now [bytes]."""
        return self.meshed_pages_now * self.page_bytes

    def to_json(self) -> dict[str, Any]:
        """Returns the snapshot as plain data, the form that MESH_STATS_FILE has too."""
        plain = dataclasses.asdict(self)
        plain["pauses"], plain["waits"] = list(self.pauses), list(self.waits)
        plain["physical_bytes"] = self.physical_bytes
        return plain


def collect(opened: window.Window) -> Snapshot:
    """Reads everything.

    Raises: window.WindowError: the process has ended, or may not be looked at.
    """
    heaps = _Heaps(opened)
    classes = heaps.classes()
    live_bytes = sum(c.live_objects * c.object_size for c in classes)
    live_bytes = max(0, live_bytes - _cached_bytes(opened, heaps.object_sizes))
    figures: dict[str, int] = {
        **_meshing(opened),
        "meshed_pages_now": heaps.total("member_pages"),
        "miniheap_alloc_count": heaps.total("spans_started"),
        "miniheap_free_count": heaps.total("spans_started") - heaps.total("spans"),
        "miniheap_hwm": heaps.total("spans_peak"),
        **_memory(opened),
        # The arena counts as objects what lies ready for the next ones.
        "large_count": opened.runtime_value("large_count") - _cached_runs(opened, "runs"),
    }
    page_bytes = opened.constant("page.bytes")
    cached_bytes = _cached_runs(opened, "pages") * page_bytes
    large_bytes = opened.runtime_value("large_bytes") - cached_bytes
    return Snapshot(
        **figures,
        live_bytes=live_bytes + large_bytes,
        large_bytes=large_bytes,
        mapped_bytes=heaps.total("pages") * page_bytes + large_bytes,
        barrier_tier=_tier_name(opened.runtime_value("barrier_tier")),
        period_ms=opened.runtime_value("period_ns") // 1_000_000,
        page_bytes=page_bytes,
        pauses=_histogram(opened, "pauses"),
        waits=_histogram(opened, "waits"),
        classes=tuple(classes),
    )


def _histogram(opened: window.Window, name: str) -> tuple[int, ...]:
    return tuple(int(n) for n in words(opened, opened.runtime, f"runtime.{name}", 8))


def _program_classes(opened: window.Window) -> list[int]:
    """Returns the addresses of the size classes of heaps that the program has made."""
    heaps: list[int] = []
    heap = opened.runtime_value("program_classes")
    while heap != 0 and len(heaps) < _MOST_CLASSES:
        heaps.append(heap)
        heap = opened.value(heap, "heap.next_program_class")
    return heaps


class _Heaps:
    """The counters of all size classes, read in one go."""

    def __init__(self, opened: window.Window) -> None:
        self._window = opened
        self._size = opened.constant("heap.size")
        place = opened.field("runtime.heaps")
        raw = opened.memory.read(opened.runtime + place.offset, place.size)
        self._count = place.size // self._size
        # Of each class: where its counters lie, in the main heap and in heaps of the program.
        self._raws = [[raw[i * self._size : (i + 1) * self._size]] for i in range(self._count)]
        for heap in _program_classes(opened):
            index = opened.value(heap, "heap.size_class") - 1
            self._raws[index].append(opened.memory.read(heap, self._size))
        infos = opened.constant("info.size")
        self._infos = opened.memory.read(opened.infos, infos * (self._count + 1))
        self._info_size = infos
        self.object_sizes = [0, *(self._info(i, "object_size") for i in range(self._count))]

    def classes(self) -> list[ClassSnapshot]:
        return [self._class(index) for index in range(self._count)]

    def total(self, name: str) -> int:
        return sum(self._value(index, name) for index in range(self._count))

    def _class(self, index: int) -> ClassSnapshot:
        spans, meshed = self._value(index, "spans"), self._value(index, "members")
        attached, partial = self._listed(index, "attached"), self._listed(index, "partial")
        unit_pages = self._info(index, "unit_pages")
        own_pages = self._value(index, "pages") - self._value(index, "member_pages")
        return ClassSnapshot(
            object_size=self._info(index, "object_size"),
            span_pages=unit_pages,
            spans=spans,
            attached=attached,
            partial=partial,
            # Counters of different moments may disagree by what happened in between.
            full=max(0, spans - meshed - attached - partial),
            meshed=meshed,
            live_objects=self._value(index, "in_use"),
            capacity_objects=max(0, own_pages) // unit_pages * self._info(index, "slots"),
        )

    def _value(self, index: int, name: str) -> int:
        place = self._window.field(f"heap.{name}")
        end = place.offset + place.size
        return sum(int.from_bytes(raw[place.offset : end], "little") for raw in self._raws[index])

    def _listed(self, index: int, name: str) -> int:
        """Returns the length of a list of spans, or of several that lie side by side."""
        place, length = self._window.field(f"heap.{name}"), self._window.field("list.spans")
        step, first = self._window.constant("list.size"), place.offset + length.offset
        # The last one is of full spans, which heaps of the program keep.
        several = place.size > step
        lists = range(first, first + place.size - (step if several else 0), step)
        return sum(
            int.from_bytes(raw[at : at + length.size], "little")
            for raw in self._raws[index]
            for at in lists
        )

    def _info(self, index: int, name: str) -> int:
        place = self._window.field(f"info.{name}")
        at = (index + 1) * self._info_size + place.offset
        return int.from_bytes(self._infos[at : at + place.size], "little")


def thread_heaps(opened: window.Window) -> list[int]:
    """Returns the addresses of the heaps of all threads that run."""
    heaps: list[int] = []
    heap = opened.runtime_value("first_thread")
    while heap != 0 and len(heaps) < _MOST_THREADS:
        heaps.append(heap)
        heap = opened.value(heap, "thread.next")
    return heaps


def words(opened: window.Window, record: int, name: str, bytes_each: int) -> npt.NDArray[Any]:
    """Returns an array inside a record: unsigned numbers of `bytes_each` bytes."""
    place = opened.field(name)
    raw = opened.memory.read(record + place.offset, place.size)
    return np.frombuffer(raw, dtype=f"<u{bytes_each}")


def _cached_runs(opened: window.Window, name: str) -> int:
    """Returns a sum over the runs of pages that large objects had a moment ago."""
    place = opened.field(f"shard.{name}")
    values = words(opened, opened.runtime, "runtime.cached_runs", place.size)
    step = opened.constant("shard.size") // place.size
    return int(values[place.offset // place.size :: step].sum())


def _cached_bytes(opened: window.Window, object_sizes: list[int]) -> int:
    """Returns the bytes of free slots that threads hold."""
    size = opened.constant("vector.size")
    top, begin = opened.field("vector.top").offset, opened.field("vector.begin").offset
    returned, gone = opened.field("vector.returned").offset, opened.field("vector.gone").offset
    sizes = np.array(object_sizes, dtype=np.int64)
    total = 0
    for heap in thread_heaps(opened):
        vectors = words(opened, heap, "thread.vectors", 8).reshape(-1, size // 8)
        held = (vectors[:, top // 8] - vectors[:, begin // 8]).astype(np.int64) // 8
        for byte, sign in ((returned, 1), (gone, -1)):
            held += sign * (vectors[:, byte // 8] >> (8 * (byte % 8)) & 0xFF).astype(np.int64)
        # A vector that is being written may show anything.
        total += int((np.clip(held, 0, 1 << 16)[: len(sizes)] * sizes).sum())
    return total


def _meshing(opened: window.Window) -> dict[str, int]:
    names = {
        "mesh_count": "spans_meshed",
        "meshed_pages_total": "pages_meshed",
        "meshed_pages_hwm": "pages_saved_peak",
        "mesh_passes": "passes",
        "mesh_failed_mappings": "mappings_refused",
        "mesh_failed_map": "moves_failed",
        "mesh_failed_barrier": "barrier_failed",
        "longest_pause_ns": "longest_pause_ns",
        "longest_wait_ns": "longest_wait_ns",
        "background_turns": "background_turns",
        "background_cpu_ns": "background_cpu_ns",
    }
    return {name: opened.runtime_value(field) for name, field in names.items()}


def _memory(opened: window.Window) -> dict[str, int]:
    page = opened.constant("page.bytes")
    dirty = opened.runtime_value("small_dirty_pages") + opened.runtime_value("large_dirty_pages")
    dirty += _cached_runs(opened, "pages")
    process = pathlib.Path("/proc", str(opened.pid))
    rollup: dict[str, int] = {}
    mappings = 0
    # Without them, as in the library itself: 0.
    with contextlib.suppress(OSError):
        rollup = memory.parse_rollup((process / "smaps_rollup").read_text())
        mappings = (process / "maps").read_bytes().count(b"\n")
    return {
        "arena_segments": opened.runtime_value("segments"),
        "arena_reserved_bytes": opened.runtime_value("reserved_bytes"),
        "arena_committed_bytes": opened.runtime_value("committed_bytes"),
        "dirty_bytes": dirty * page,
        "backing_bytes": (opened.runtime_value("backing_pages") + _retired_pages(opened)) * page,
        "pss_bytes": rollup.get("Pss", 0),
        "pss_anon_bytes": rollup.get("Pss_Anon", 0),
        "rss_bytes": rollup.get("Rss", 0),
        "mappings_used": mappings,
        "mappings_budget": opened.runtime_value("mappings_budget"),
    }


def _retired_pages(opened: window.Window) -> int:
    """Returns the pages of files that forks have left behind and spans still show."""
    size = opened.constant("file.size")
    files = words(opened, opened.runtime, "runtime.files", 4).reshape(-1, size // 4)
    in_use = files[:, opened.field("file.in_use").offset // 4]
    held = files[:, opened.field("file.held").offset // 4]
    return int(held[in_use > 0].sum())


def _tier_name(tier: int) -> str:
    return BARRIER_TIERS[tier] if tier < len(BARRIER_TIERS) else f"tier {tier}"
