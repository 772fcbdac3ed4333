"""How snapshots are shown on a terminal; measures nothing."""

from rich.table import Table

from . import snapshot

_MB = 1 << 20
_BAR_COLUMNS = 20


def megabytes(value: int) -> str:
    """Returns bytes as text in MB of 2^20."""
    return f"{value / _MB:.1f} MB"


def ratio_to_live(found: snapshot.Snapshot) -> str:
    """Returns physical over live bytes, in words."""
    if found.live_bytes == 0:
        return "nothing is live"
    return f"{found.physical_bytes / found.live_bytes:.2f} times the live bytes"


def bar(part: float) -> str:
    """Returns a bar for a part between 0 and 1."""
    filled = round(max(0.0, min(1.0, part)) * _BAR_COLUMNS)
    return "█" * filled + "░" * (_BAR_COLUMNS - filled)


def class_table(found: snapshot.Snapshot, most: int | None = None) -> Table:
    """Returns a row for each size class in use; with `most`, those that hold most free memory."""
    table = Table(box=None, pad_edge=False)
    for name in ("size", "spans", "meshed", "partial", "live", "free in spans"):
        table.add_column(name, justify="right")
    table.add_column("occupancy")
    rows = [row for row in found.classes if row.spans > 0]
    if most is not None:
        rows = sorted(rows, key=lambda row: -row.free_bytes)[:most]
    for row in sorted(rows, key=lambda row: row.object_size):
        table.add_row(
            str(row.object_size),
            str(row.spans),
            str(row.meshed),
            str(row.partial),
            megabytes(row.live_objects * row.object_size),
            megabytes(row.free_bytes),
            f"{bar(row.occupancy)} {row.occupancy:4.0%}",
        )
    return table
