"""Shows what Mesh is for: one fragmenting workload on several allocators, memory side by side.

Runs the paper's Redis experiment (PLDI 2019, section 6.2.2) on this machine's redis-server, or,
where there is none, the repository's own fragmenting program. Writes a table to the terminal, and
redis_compaction.json and redis_compaction.png to --output_dir.

Exit status: 0 all values right, 1 a value or a dump was wrong or a program failed, 2 bad flags.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import rich.console
import rich.progress
from absl import flags

from python.mesh_tools import (
    allocators,
    command_line,
    fragment_experiment,
    provenance,
    redis_experiment,
    redis_server,
    report,
    resp,
    results,
)

Run = results.RunResult
RunOne = Callable[[allocators.Allocator, int], Run]

_FAILURES = (
    redis_server.ServerFailed,
    resp.ServerError,
    redis_experiment.PreloadIneffective,
    fragment_experiment.ProgramFailed,
    OSError,
)

_WORKLOAD = flags.DEFINE_enum(
    "workload", "auto", ["auto", "redis", "fragment"], "What to run; auto: Redis if there is one."
)
_REDIS_SERVER = flags.DEFINE_string(
    "redis_server", "redis-server", "The redis-server to run: a name on PATH or a path."
)
_MESH_LIBRARY = flags.DEFINE_string(
    "mesh_library", None, "libmesh.so to measure; default: the one built with this program."
)
_PEERS = flags.DEFINE_list(
    "peers",
    [],
    "Further allocators: NAME=LIBRARY to preload, or activedefrag (Redis's own defragmentation).",
)
_ROUNDS = flags.DEFINE_integer("rounds", 1, "How often each allocator runs.", lower_bound=1)
_PAUSE = flags.DEFINE_float(
    "pause_seconds",
    1.5,
    "Idle time between the two fills of Redis [s]: its LRU clock ticks once a second.",
    lower_bound=0.0,
)
_READS = flags.DEFINE_integer(
    "reads", 10_000, "Redis: single reads that are timed right after the fills.", lower_bound=0
)
_SETTLE = flags.DEFINE_float(
    "settle_seconds", 5.0, "Idle time before memory is judged [s].", lower_bound=0.0
)
_SAMPLE = flags.DEFINE_float(
    "sample_ms", 100.0, "Time between two memory samples [ms].", lower_bound=5.0, upper_bound=500.0
)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of keys and sizes.", lower_bound=0)
_MAXMEMORY = flags.DEFINE_integer(
    "maxmemory_mb", 100, "Redis: size of the cache [MB].", lower_bound=1
)
_SMALL_KEYS = flags.DEFINE_integer(
    "small_keys", 700_000, "Redis: keys with 240-byte values, inserted first.", lower_bound=1
)
_LARGE_KEYS = flags.DEFINE_integer(
    "large_keys", 170_000, "Redis: keys with 492-byte values, inserted next.", lower_bound=1
)
_HEAP_MB = flags.DEFINE_integer(
    "heap_mb", 64, "Fragmenting program: heap before freeing [MB].", lower_bound=1
)
_COMPACT = flags.DEFINE_bool(
    "compact",
    None,
    "Fragmenting program: call mesh.compact, not only leave it to idle time; "
    "default: where it stands in for Redis.",
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "demo-output", "Where the files are written.")

_SMALL_VALUE_BYTES = 240
_LARGE_VALUE_BYTES = 492
_PROGRAM = "redis_compaction"
_TARGET = "//python:redis_compaction"
_HOW_TO_GET_REDIS = (
    "No redis-server here, so the built-in fragmenting program is measured instead (--compact).\n"
    "To get Redis: apt-get install redis-server (Debian, Ubuntu), then run this again."
)
_JEMALLOC_SONAME = "libjemalloc.so.2"


def _find_redis() -> str | None:
    """Returns the redis-server to use, None for the built-in program.

    Raises:
        command_line.UsageError: Redis was asked for by name and is not there.
    """
    if _WORKLOAD.value == "fragment":
        return None
    found = shutil.which(_REDIS_SERVER.value)
    if found is None and (_WORKLOAD.value == "redis" or flags.FLAGS["redis_server"].present):
        raise command_line.UsageError(f"--redis_server: there is no program {_REDIS_SERVER.value}")
    return found


def _compared(redis: str | None) -> list[allocators.Allocator]:
    """Returns the allocators to measure; the first is what the others are compared with."""
    if redis is not None:
        ours = [allocators.builtin(), allocators.glibc()]
    else:
        # The program is linked to nothing but libc, so glibc is what it has as it is.
        ours = [allocators.Allocator("glibc")]
        jemalloc = allocators.find_library(_JEMALLOC_SONAME)
        if jemalloc is not None:
            ours.append(allocators.Allocator("jemalloc", preload=str(jemalloc)))
    compared = [
        *ours,
        *command_line.peers(_PEERS.value),
        command_line.mesh_allocator(_MESH_LIBRARY.value, _TARGET),
    ]
    names = [allocator.name for allocator in compared]
    if len(set(names)) != len(names):
        raise command_line.UsageError(f"--peers: a name is used twice in {', '.join(names)}")
    if allocators.ACTIVE_DEFRAG in names:
        if redis is None:
            raise command_line.UsageError(
                "--peers: activedefrag is a part of Redis, there is none in this run"
            )
        if not redis_experiment.has_active_defrag(redis):
            raise command_line.UsageError(f"--peers: {redis} is built without activedefrag")
    return compared


def _redis_plan(executable: str) -> redis_experiment.Plan:
    return redis_experiment.Plan(
        executable=executable,
        fills=[
            redis_experiment.Fill(_SMALL_KEYS.value, _SMALL_VALUE_BYTES),
            redis_experiment.Fill(_LARGE_KEYS.value, _LARGE_VALUE_BYTES),
        ],
        maxmemory_bytes=_MAXMEMORY.value * results.MB,
        pause_s=_PAUSE.value,
        reads=_READS.value,
        settle_s=_SETTLE.value,
        sample_ms=_SAMPLE.value,
        seed=_SEED.value,
    )


def _fragment_plan() -> fragment_experiment.Plan:
    return fragment_experiment.Plan(
        executable=command_line.built_file("test/programs/fragment", _TARGET),
        heap_mb=_HEAP_MB.value,
        settle_s=_SETTLE.value,
        sample_ms=_SAMPLE.value,
        seed=_SEED.value,
        compact=_WORKLOAD.value == "auto" if _COMPACT.value is None else _COMPACT.value,
    )


def _run_rounds(compared: Sequence[allocators.Allocator], run_one: RunOne) -> list[Run]:
    """Runs every allocator once a round, every second round backwards.

    So a machine that slows down over time does not always slow down the same allocator.
    """
    runs = []
    for index in range(_ROUNDS.value):
        for allocator in compared if index % 2 == 0 else reversed(compared):
            runs.append(run_one(allocator, index))
    return runs


def _measure(
    redis: str | None,
    compared: Sequence[allocators.Allocator],
    bar: rich.progress.Progress,
) -> tuple[dict[str, Any], list[Run]]:
    """Runs the whole comparison; returns its parameters and its runs."""
    task = bar.add_task("")

    def progress(what: str, done: int) -> None:
        bar.update(task, description=what, advance=done)

    repeats = _ROUNDS.value * len(compared)
    if redis is not None:
        plan = _redis_plan(redis)
        bar.update(task, total=(1 + repeats) * (_SMALL_KEYS.value + _LARGE_KEYS.value))
        payloads = redis_experiment.encode(plan, progress)
        return plan.to_json(), _run_rounds(
            compared, lambda a, index: redis_experiment.run(plan, a, payloads, index, progress)
        )
    fragment_plan = _fragment_plan()
    bar.update(task, total=repeats * fragment_experiment.PHASES_PER_RUN)
    return fragment_plan.to_json(), _run_rounds(
        compared, lambda a, index: fragment_experiment.run(fragment_plan, a, index, progress)
    )


def _write(comparison: results.Experiment, console: rich.console.Console) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad flag.
    from python.mesh_tools import plot

    directory = provenance.user_path(_OUTPUT_DIR.value)
    directory.mkdir(parents=True, exist_ok=True)
    comparison.write_json(directory / "redis_compaction.json")
    plot.draw(comparison, directory / "redis_compaction.png")
    report.print_report(comparison, console)
    console.print(f"written: {directory}/redis_compaction.json, .png", soft_wrap=True)


def main(argv: Sequence[str]) -> int:
    """Runs the comparison; returns the exit status."""
    del argv  # Flags only; what is left over has been refused.
    console = command_line.make_console()
    try:
        redis = _find_redis()
        compared = _compared(redis)
        if redis is None and _WORKLOAD.value == "auto":
            console.print(_HOW_TO_GET_REDIS)
        print(f"seed {_SEED.value}")
        with command_line.progress_bar(console) as bar:
            parameters, runs = _measure(redis, compared, bar)
        comparison = results.Experiment(
            workload="Fragmenting program" if redis is None else "Redis as an LRU cache",
            baseline=compared[0].name,
            provenance=provenance.describe(sys.argv, _TARGET),
            parameters=parameters,
            runs=runs,
        )
        _write(comparison, console)
    except command_line.UsageError as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE
    except _FAILURES as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_WRONG
    return 0 if all(run.is_right for run in runs) else command_line.EXIT_WRONG


if __name__ == "__main__":
    command_line.run(_PROGRAM, main)
