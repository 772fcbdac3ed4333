"""What each statistic means: the rows of src/control/statistics.def, with unit and kind.

A test compares the sentences with that table. `mesh export` and docs/statistics.md are made from
this one.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One figure.

    unit: "bytes", "pages", "nanoseconds", "milliseconds" or "count". counts: it only ever rises.
    """

    name: str
    unit: str
    counts: bool
    sentence: str


PROCESS = (
    Statistic("mesh_count", "count", True, "Spans whose pages were meshed away since the start."),
    Statistic("meshed_pages_total", "pages", True, "Pages given back by meshing since the start."),
    Statistic("meshed_pages_now", "pages", False, "Pages saved by meshing now."),
    Statistic("meshed_pages_hwm", "pages", False, "Most pages saved by meshing at one time."),
    Statistic("mesh_passes", "count", True, "Meshing passes since the start."),
    Statistic(
        "mesh_failed_mappings",
        "count",
        True,
        "Meshes given up because the mapping budget was used up.",
    ),
    Statistic("mesh_failed_map", "count", True, "Meshes undone because the kernel refused to map."),
    Statistic(
        "mesh_failed_barrier",
        "count",
        True,
        "Meshes given up because no write barrier could be raised.",
    ),
    Statistic("miniheap_alloc_count", "count", True, "MiniHeaps made since the start."),
    Statistic("miniheap_free_count", "count", True, "MiniHeaps given up since the start."),
    Statistic("miniheap_hwm", "count", False, "Most MiniHeaps at one time."),
    Statistic(
        "live_bytes",
        "bytes",
        False,
        "Bytes in objects that the program holds, rounded up to slots.",
    ),
    Statistic("large_count", "count", False, "Large objects now."),
    Statistic("large_bytes", "bytes", False, "Bytes in large objects now."),
    Statistic("mapped_bytes", "bytes", False, "Virtual bytes of spans in use."),
    Statistic("arena_segments", "count", False, "Address segments of the arena."),
    Statistic("arena_reserved_bytes", "bytes", False, "Addresses reserved by the arena."),
    Statistic(
        "arena_committed_bytes",
        "bytes",
        False,
        "Arena bytes in spans and in free runs that keep their pages.",
    ),
    Statistic(
        "dirty_bytes",
        "bytes",
        False,
        "Bytes in free runs whose pages have not gone back to the kernel.",
    ),
    Statistic("backing_bytes", "bytes", False, "Memory held by the backing of meshed pages."),
    Statistic("pss_bytes", "bytes", False, "Proportional set size of the process."),
    Statistic("pss_anon_bytes", "bytes", False, "The anonymous part of pss_bytes."),
    Statistic(
        "rss_bytes",
        "bytes",
        False,
        "Resident set size; counts a meshed page once for each of its addresses.",
    ),
    Statistic("mappings_used", "count", False, "Mappings of the process."),
    Statistic("mappings_budget", "count", False, "Mappings up to which meshing may go."),
    Statistic(
        "longest_pause_ns",
        "nanoseconds",
        False,
        "Longest time that meshing held a size class for one batch.",
    ),
    Statistic(
        "longest_wait_ns",
        "nanoseconds",
        False,
        "Longest time that any thread waited for such a batch.",
    ),
    Statistic(
        "background_turns",
        "count",
        True,
        "Turns of the background thread since the start.",
    ),
    Statistic(
        "background_cpu_ns",
        "nanoseconds",
        True,
        "Processor time of the background thread.",
    ),
)

CLASS = (
    Statistic("object_size", "bytes", False, "Bytes of a slot."),
    Statistic("span_pages", "pages", False, "Pages of a span."),
    Statistic("spans", "count", False, "Spans in all."),
    Statistic("attached", "count", False, "Spans that a thread allocates from."),
    Statistic("partial", "count", False, "Detached spans with free slots."),
    Statistic("full", "count", False, "Spans without a free slot."),
    Statistic("meshed", "count", False, "Virtual spans that share the pages of another."),
    Statistic("live_objects", "count", False, "Objects that the program holds."),
    Statistic("capacity_objects", "count", False, "Slots of all physical spans."),
)

# What the tools add: of all of these, `mesh stat --json` has the first three too.
DERIVED = (
    Statistic(
        "physical_bytes",
        "bytes",
        False,
        "Physical memory of the process: pss_anon_bytes and backing_bytes.",
    ),
    Statistic("page_bytes", "bytes", False, "Bytes of a page."),
    Statistic(
        "period_ms", "milliseconds", False, "Least time between two automatic passes; 0: off."
    ),
    Statistic(
        "saved_bytes", "bytes", False, "Bytes saved by meshing now: meshed_pages_now in bytes."
    ),
)
