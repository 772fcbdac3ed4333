"""The spans of a running program: which slots of each hold objects, and which share memory.

Read from outside like the statistics, without stopping the program: spans come and go meanwhile,
so a record that contradicts itself is left out and counted.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from . import snapshot, theory, window

# Fuller ones the library leaves alone (SizeClassHeap::Withdraw).
_FULLEST = 7 / 8
_BITMAP_WORDS = 4
# Bytes of a row behind the record and its links: address, id, size class of the page.
_ROW_TAIL = 17


@dataclasses.dataclass(frozen=True)
class SizeClass:
    """What is known of a size class: bytes of a slot, pages and slots of its shortest span."""

    object_size: int
    unit_pages: int
    slots: int
    meshable: bool


@dataclasses.dataclass(frozen=True)
class Group:
    """Spans of a class that share a physical span; most are alone.

    address: of the leader. bits: slots in use by any member, shape (4,). members: virtual spans.
    """

    address: int
    units: int
    members: int
    bits: theory.Bitmaps
    is_attached: bool


@dataclasses.dataclass(frozen=True)
class HeapMap:
    """All spans of small objects at about one moment.

    Attributes:
        classes: by number; class 0 is none.
        groups: of each class, by rising address.
        torn: records that were left out, since they changed while they were read.
    """

    page_bytes: int
    classes: list[SizeClass]
    groups: list[list[Group]]
    torn: int

    def physical_pages(self, size_class: int) -> int:
        """Returns the pages behind the spans of a class, each counted once."""
        unit_pages = self.classes[size_class].unit_pages
        return sum(group.units for group in self.groups[size_class]) * unit_pages


@dataclasses.dataclass(frozen=True)
class Prospect:
    """What meshing one class would do.

    spans: physical spans now; candidates: those that meshing would look at; freed: spans it would
    free; freed_bytes: their memory.
    """

    object_size: int
    spans: int
    candidates: int
    freed: int
    freed_bytes: int
    physical_bytes: int
    live_bytes: int


def read(opened: window.Window) -> HeapMap:
    """Reads all spans.

    Raises: window.WindowError: the process has ended, or may not be looked at.
    """
    classes = _size_classes(opened)
    tables = [_read_segment(opened, address) for address in _small_segments(opened)]
    records = np.concatenate([_empty(opened), *(table for table, _ in tables)])
    torn = sum(count for _, count in tables)
    found = _Records(opened, records)
    bits, lost = _bits(opened, found, classes)
    by_class, orphans = _group(found, bits, len(classes), _attached(opened))
    return HeapMap(opened.constant("page.bytes"), classes, by_class, torn + lost + orphans)


def prospects(heap: HeapMap) -> list[Prospect]:
    """Returns what the library's own strategy would free in each class that has spans."""
    found = []
    for number, groups in enumerate(heap.groups):
        info = heap.classes[number]
        if groups:
            found.append(_prospect(info, groups, heap.page_bytes))
    return found


def _prospect(info: SizeClass, groups: list[Group], page_bytes: int) -> Prospect:
    freed = units_freed = candidates = 0
    for units in sorted({group.units for group in groups}) if info.meshable else []:
        slots = info.slots * units
        bits = np.array([g.bits for g in groups if g.units == units and not g.is_attached])
        if len(bits) == 0:
            continue
        live = theory.count(bits)
        chosen = bits[(live > 0) & (live <= _FULLEST * slots)]
        candidates += len(chosen)
        gone = len(chosen) - len(theory.groups(chosen)) if len(chosen) else 0
        freed += gone
        units_freed += gone * units
    unit_bytes = info.unit_pages * page_bytes
    return Prospect(
        object_size=info.object_size,
        spans=len(groups),
        candidates=candidates,
        freed=freed,
        freed_bytes=units_freed * unit_bytes,
        physical_bytes=sum(group.units for group in groups) * unit_bytes,
        live_bytes=int(theory.count(np.array([g.bits for g in groups])).sum()) * info.object_size,
    )


def _size_classes(opened: window.Window) -> list[SizeClass]:
    size = opened.constant("info.size")
    return [
        SizeClass(
            object_size=opened.value(record, "info.object_size"),
            unit_pages=opened.value(record, "info.unit_pages"),
            slots=opened.value(record, "info.slots"),
            meshable=bool(opened.value(record, "info.meshable")),
        )
        for record in range(opened.infos, opened.infos + size * opened.constant("info.count"), size)
    ]


def _small_segments(opened: window.Window) -> list[int]:
    """Returns the addresses of the records of segments that hold spans of small objects."""
    raw = opened.memory.read(opened.segments, 8 * opened.constant("segment.count"))
    known = [int(address) for address in np.frombuffer(raw, dtype="<u8") if address]
    return [address for address in known if opened.value(address, "segment.small")]


def _empty(opened: window.Window) -> npt.NDArray[np.uint8]:
    size = opened.constant("span.size") + opened.constant("links.size") + _ROW_TAIL
    return np.zeros((0, size), dtype=np.uint8)


def _read_segment(opened: window.Window, segment: int) -> tuple[npt.NDArray[np.uint8], int]:
    """Returns the records of a segment's spans, and how many contradict themselves.

    A row is a record as it lies in memory, and behind it the span's links, its address (8 bytes),
    its id (8 bytes) and the size class that its page says (1 byte).
    """
    pages = opened.value(segment, "segment.committed")
    base = opened.value(segment, "segment.base")
    entries = np.frombuffer(
        opened.memory.read(opened.value(segment, "segment.entries"), 2 * pages), dtype="<u2"
    )
    shift = opened.constant("entry.class_shift")
    kinds, places = entries >> shift, entries & ((1 << shift) - 1)
    first = np.flatnonzero((kinds > 0) & (kinds < opened.constant("info.count")) & (places == 0))

    def read_table(name: str, size: int) -> npt.NDArray[np.uint8]:
        raw = opened.memory.read(opened.value(segment, name), size * pages)
        return np.frombuffer(raw, dtype=np.uint8).reshape(pages, size)[first]

    addresses = (base + first.astype(np.uint64) * opened.constant("page.bytes")).astype("<u8")
    index = opened.value(segment, "segment.index")
    ids = ((index << opened.constant("segment.id_shift")) + first).astype("<u8")
    table = np.concatenate(
        [
            read_table("segment.records", opened.constant("span.size")),
            read_table("segment.links", opened.constant("links.size")),
            addresses.view(np.uint8).reshape(-1, 8),
            ids.view(np.uint8).reshape(-1, 8),
            kinds[first].astype(np.uint8).reshape(-1, 1),
        ],
        axis=1,
    )
    columns = _Records(opened, table)
    sound = columns.classes == columns.page_classes
    return table[sound], int((~sound).sum())


class _Records:
    """Columns of a table of records; see _read_segment."""

    def __init__(self, opened: window.Window, table: npt.NDArray[np.uint8]) -> None:
        self._window, self._table = opened, table
        shapes = self._column("span.shape")
        self.units = 1 << (shapes & opened.constant("span.length_mask"))
        self.classes = self._column("span.size_class")
        self.page_classes = table[:, -1].astype(np.int64)
        self.addresses = np.ascontiguousarray(table[:, -17:-9]).view("<u8")[:, 0]
        self.ids = np.ascontiguousarray(table[:, -9:-1]).view("<u8")[:, 0].astype(np.int64)
        is_member = (shapes & opened.constant("span.member_mask")) != 0
        self.leaders = np.where(
            is_member, self._column("links.leader", opened.constant("span.size")), self.ids
        )
        word = opened.field("span.word")
        cut = np.ascontiguousarray(table[:, word.offset : word.offset + word.size])
        self.words = cut.view("<u8")[:, 0]

    def _column(self, name: str, behind: int = 0) -> npt.NDArray[np.int64]:
        place = self._window.field(name)
        begin = behind + place.offset
        cut = np.ascontiguousarray(self._table[:, begin : begin + place.size])
        return cut.view(f"<u{place.size}")[:, 0].astype(np.int64)


def _bits(
    opened: window.Window, records: _Records, classes: list[SizeClass]
) -> tuple[theory.Bitmaps, int]:
    """Returns the bitmaps of all records, and how many could not be read.

    A record's word is its bitmap, or says where the words of a longer one lie.
    """
    bits = np.zeros((len(records.words), _BITMAP_WORDS), dtype=np.uint64)
    bits[:, 0] = records.words
    slots = np.array([info.slots for info in classes])[records.classes] * records.units
    wide = np.flatnonzero(slots > 64)
    here = np.arange(_BITMAP_WORDS) < np.where(slots[wide] <= 128, 2, 4)[:, None]
    places = records.words[wide, None] + 8 * np.arange(_BITMAP_WORDS, dtype=np.uint64)
    page_bytes = opened.constant("page.bytes")
    pages, page_of = np.unique(places[here] // np.uint64(page_bytes), return_inverse=True)
    contents = np.zeros((len(pages), page_bytes // 8), dtype=np.uint64)
    is_read = np.ones(len(pages), dtype=bool)
    for index, page in enumerate(pages):
        try:
            raw = opened.memory.read(int(page) * page_bytes, page_bytes)
        except window.NoSuchProcess:
            is_read[index] = False
        else:
            contents[index] = np.frombuffer(raw, dtype="<u8")
    words = np.zeros(here.shape, dtype=np.uint64)
    words[here] = contents[page_of, places[here] % np.uint64(page_bytes) // np.uint64(8)]
    bits[wide] = words
    whole = np.ones(here.shape, dtype=bool)
    whole[here] = is_read[page_of]
    return bits, int((~whole.all(axis=1)).sum())


def _attached(opened: window.Window) -> set[int]:
    """Returns the ids of spans that a thread allocates from."""
    return {
        int(span)
        for heap in snapshot.thread_heaps(opened)
        for span in snapshot.words(opened, heap, "thread.attached", 4)
        if span
    }


def _group(
    records: _Records, all_bits: theory.Bitmaps, class_count: int, attached: set[int]
) -> tuple[list[list[Group]], int]:
    """Joins members to their leaders; returns the groups of each class and members without one."""
    leads = records.ids == records.leaders
    row_of = {int(span): row for row, span in enumerate(records.ids) if leads[row]}
    bits = all_bits.copy()
    members = np.ones(len(bits), dtype=np.int64)
    orphans = 0
    for row in np.flatnonzero(~leads):
        leader = row_of.get(int(records.leaders[row]))
        if leader is None:
            orphans += 1
            continue
        bits[leader] |= all_bits[row]
        members[leader] += 1
    groups: list[list[Group]] = [[] for _ in range(class_count)]
    for place in sorted(row_of.values(), key=lambda place: int(records.addresses[place])):
        groups[records.classes[place]].append(
            Group(
                address=int(records.addresses[place]),
                units=int(records.units[place]),
                members=int(members[place]),
                bits=bits[place],
                is_attached=int(records.ids[place]) in attached,
            )
        )
    return groups, orphans
