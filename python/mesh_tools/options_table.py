"""The options of the library: the rows of src/config/options.def, for `mesh options`.

A test compares them with that table.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Option:
    """One environment variable; `takes` says which values, `default` what it is without."""

    variable: str
    takes: str
    default: str
    sentence: str


OPTIONS = (
    Option(
        "MALLOCSTATS",
        "0 to 2",
        "0",
        "What is printed to standard error at exit: 0 nothing, 1 the summary, 2 also a "
        "line for each size class.",
    ),
    Option(
        "MESH_STATS_FILE",
        "a text",
        "none",
        "File that the statistics are written to as JSON at exit; %p in it becomes the "
        "process id, so that each process has its own.",
    ),
    Option(
        "MESH_PERIOD_MS",
        "a whole number",
        "100",
        "Least time between two automatic meshing passes in milliseconds; 0 turns them off.",
    ),
    Option(
        "MESH_BACKGROUND_THREAD",
        "auto, 0, 1",
        "auto",
        "Whether a thread of the library's own meshes and returns pages: auto starts it "
        "with the first thread that the program makes and ends it with the last, 0 has "
        "threads of the program do the work, 1 starts it when the program is loaded.",
    ),
    Option(
        "MESH_FREEPHYS_THREAD",
        "0, 1",
        "1",
        "Whether the background thread, where there is one, returns the pages that are "
        "too many to keep; 0 leaves that to the threads that free them.",
    ),
    Option(
        "MESH_CPU_PERCENT",
        "1 to 100",
        "1",
        "How much of one processor meshing may use on average beside a busy program, in "
        "percent; while the program is idle, it uses what it needs.",
    ),
    Option(
        "MESH_MESHING",
        "0, 1",
        "1",
        "Whether spans are meshed at all; 0 leaves the allocator and its random placement.",
    ),
    Option(
        "MESH_BARRIER",
        "auto, single, userfault, userfault_user, segv, none",
        "auto",
        "How stores to objects are held back while these are copied: auto takes the "
        "best one the kernel grants, none never copies beside another thread.",
    ),
    Option(
        "MESH_EXPECT_FORK",
        "auto, 0, 1",
        "auto",
        "Whether the program is expected to fork while it runs: then fork(2) stays "
        "about as fast as without meshing, and stores to meshed pages cost more; auto "
        "looks whether the program calls fork at all.",
    ),
    Option(
        "MESH_RANDOM",
        "start, full, none",
        "start",
        "Order in which slots of a span are handed out: start is ascending from a "
        "random one, full is random, none ascending.",
    ),
    Option(
        "MESH_SEED",
        "a whole number",
        "0",
        "Start value of the random generators, for runs that can be repeated; 0 draws "
        "one from the kernel.",
    ),
    Option(
        "MESH_CHECK_FREES",
        "0, 1",
        "0",
        "Whether each object that is freed is looked up at once: then every double "
        "free, and every pointer that is no object, ends the program where it happens; "
        "malloc and free are slower.",
    ),
    Option(
        "MESH_SECURE",
        "0 to 4",
        "0",
        "How hardened the heap is, 0 to 4 (4 by default in libmesh-secure.so): from 1 on "
        "every double and invalid free ends the program at once, from 2 on overflows that "
        "reach what is behind an object and each touch of freed large objects, from 3 on "
        "stores to freed small ones, which are cleared; 4 puts guards between spans.",
    ),
)
