"""Writes docs/statistics.md to stdout, from the table of the statistics.

    python3 -m docs.statistics_page > docs/statistics.md

A test compares the page with what this writes, and the table with src/control/statistics.def.
"""

from python.mesh_tools import statistics_table
from python.mesh_tools.commands import export

_HEAD = """\
# Statistics

Written by `docs/statistics_page.py` from the table that the library's own reports are made of.

| where | form |
|---|---|
| `MALLOCSTATS=1`, `MALLOCSTATS=2`, `mesh run --stats` | text on standard error, at exit |
| `MESH_STATS_FILE=FILE`, `mesh run --report FILE` | JSON, at exit; `%p` becomes the process id |
| `mesh stat PID`, `mesh stat PID --json` | of a running program, from outside |
| `mesh top`, `mesh export` | of all that run; Prometheus |
| `mesh_mallctl("stats.NAME", ...)` | inside the program: `man libmesh` |

**Judge memory by `physical_bytes`.** The resident set size counts a meshed page once for each of
its addresses, so it does not fall when spans are meshed; the proportional set size misses a
meshed page that nobody has touched since.

**From outside** the figures are read where they lie, without a lock and without the program doing
anything for it: each is whole, two of them may be of different moments, and a program that is
stopped can be read too. Only the program's user and root may (the rule of ptrace(2)); where
Yama's `kernel.yama.ptrace_scope` is 1, as on Ubuntu, only root, and the command says so. A
request of `mesh ctl` is served by a thread of the program that comes to allocate or free on a
slow path, or begins to wait in a call (poll, epoll_wait, select, nanosleep and their like), or by
the library's background thread at its next turn, which does not come while the program rests: at
once in most servers, and in a program that does none of this not before it does.

A look is not free for the kernel: it holds back the program's mmap calls while it counts mappings
and PSS, milliseconds for a heap of gigabytes. The library itself spends nothing on it: a request
is one load on a slow path when there is none: 0.00 to 0.16 % of the instructions of nine shapes of
`make bench`, counted by callgrind against a library without it (most in `turnover` and `handover`,
which take the slow path most often; 0.02 % in `churn`).

Of the units, bytes, pages and nanoseconds end the names; what has none is a count.
"""

_CLASS_HEAD = """
## Of each size class

`classes` in the JSON forms, by rising number; `stats.class.<i>.NAME`; `mesh_class_NAME` with the
labels `index` and `object_size`. `live_objects` counts the slots that wait in threads' vectors
too.
"""

_TAIL = """
## The rest

| name | meaning |
|---|---|
| barrier_tier | name of the write barrier in force; `none` before the first pass |
| pauses | how often meshing held a size class for 2^(i-1) to 2^i microseconds; 0: less than 1 |
| waits | how often a thread that met it waited that long; 0, too: went another way |
"""


def _rows(rows: tuple[statistics_table.Statistic, ...], of_class: bool = False) -> str:
    lines = ["", "| name | unit | meaning | Prometheus |", "|---|---|---|---|"]
    for row in rows:
        metric = f"mesh_class_{row.name}" if of_class else export.metric_name(row.name)
        if row.counts and not metric.endswith("_total"):
            metric += "_total"
        shown = "(label)" if of_class and row.name == "object_size" else metric
        lines.append(f"| {row.name} | {row.unit} | {row.sentence} | {shown} |")
    return "\n".join(lines) + "\n"


def text() -> str:
    """Returns the page."""
    return "".join(
        [
            _HEAD,
            "\n## Of the process\n",
            _rows(statistics_table.PROCESS),
            "\n## Made of these\n\n",
            "`saved_bytes` is in `mesh top` and Prometheus only, `period_ms` not in the file.\n",
            _rows(statistics_table.DERIVED),
            _CLASS_HEAD,
            _rows(statistics_table.CLASS, of_class=True),
            _TAIL,
        ]
    )


if __name__ == "__main__":
    print(text(), end="")
