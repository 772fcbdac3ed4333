"""The benchmark suite: shapes of test/bench and real programs, on several allocators in turn.

Writes tables to the terminal, and bench.json and bench.png to --output_dir. `make bench` runs it.
docs/performance.md says what each benchmark is.

Exit status: 0, 1 a run failed, 2 bad flags.
"""

import pathlib
import sys
import tempfile
from collections.abc import Sequence

import rich.console
from absl import flags

from python.mesh_tools import (
    allocators,
    bench_catalog,
    bench_report,
    bench_runner,
    command_line,
    provenance,
    suite,
)

_PROGRAM = "bench"
_ALL_LEVELS = range(1, 5)
_TARGET = "//python:bench"

_ONLY = flags.DEFINE_list("only", [], "Benchmarks to run, by name; default: all.")
_LIST = flags.DEFINE_bool("list", False, "List the benchmarks and end.")
_QUICK = flags.DEFINE_bool("quick", False, "A look in about a minute: less work, one round.")
_ROUNDS = flags.DEFINE_integer(
    "rounds", None, "Timed runs of each benchmark on each allocator; default 4, quick 1.",
    lower_bound=1,
)  # fmt: skip
_SCALE = flags.DEFINE_float(
    "scale", None, "Work of a run, 1 being about half a second; default 1, quick 0.2.",
    lower_bound=0.001,
)  # fmt: skip
_LATENCY = flags.DEFINE_bool(
    "latency", None, "Also time every call of the shapes, in runs of their own; default: not quick."
)
_MESH_LIBRARY = flags.DEFINE_string(
    "mesh_library", None, "libmesh.so to measure; default: the one built with this program."
)
_PEERS = flags.DEFINE_list("peers", [], "Further allocators, NAME=LIBRARY.")
_LEVELS = flags.DEFINE_list(
    "levels", None, "Levels of MESH_SECURE that Mesh is run with as well; default all, quick none."
)
_INSTALLED = flags.DEFINE_bool("installed_peers", True, "Compare with glibc and this machine's.")
_BASELINE = flags.DEFINE_string(
    "baseline", None, "What ratios are to; default: mimalloc, or else the first allocator."
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "bench-output", "Where the files are written.")


def _levels() -> list[int]:
    """Returns the levels of hardening to run.

    Raises:
        UsageError: there is no such level.
    """
    if _LEVELS.value is None:
        return [] if _QUICK.value else list(_ALL_LEVELS)
    unknown = [level for level in _LEVELS.value if level not in map(str, _ALL_LEVELS)]
    if unknown:
        raise command_line.UsageError(f"--levels: no level {', '.join(unknown)}; there are 1 to 4")
    return [int(level) for level in _LEVELS.value]


def _compared() -> list[allocators.Allocator]:
    """Returns the allocators to run.

    Raises:
        UsageError: one is named twice, or is not in the programs started with it.
    """
    installed = allocators.installed_peers() if _INSTALLED.value else []
    mesh = command_line.mesh_allocator(_MESH_LIBRARY.value, _TARGET)
    levels = [allocators.hardened(mesh, level) for level in _levels()]
    compared = [*installed, *command_line.peers(_PEERS.value), mesh, *levels]
    names = [allocator.name for allocator in compared]
    if len(set(names)) != len(names):
        raise command_line.UsageError(f"--peers: a name is used twice in {', '.join(names)}")
    for allocator in compared:
        if not bench_runner.is_effective(allocator):
            raise command_line.UsageError(f"{allocator.name}: cannot preload {allocator.preload}")
    return compared


def _choose_baseline(names: Sequence[str]) -> str:
    if _BASELINE.value is None:
        return "mimalloc" if "mimalloc" in names else names[0]
    if _BASELINE.value not in names:
        raise command_line.UsageError(f"--baseline: no {_BASELINE.value} among {', '.join(names)}")
    return _BASELINE.value


def _plan(baseline: str) -> suite.Plan:
    quick = _QUICK.value
    latency = not quick if _LATENCY.value is None else _LATENCY.value
    kinds = [bench_runner.OBSERVED]
    kinds += [bench_runner.TIMED] * (_ROUNDS.value or (1 if quick else 4))
    kinds += [bench_runner.LATENCY] if latency else []
    kinds += [bench_runner.COUNTED] if bench_runner.can_count_instructions() else []
    return suite.Plan(kinds=kinds, scale=_SCALE.value or (0.2 if quick else 1.0), baseline=baseline)


def _list(console: rich.console.Console) -> None:
    for benchmark in bench_catalog.BENCHMARKS:
        console.print(f"{benchmark.name:16} {benchmark.about}, per {benchmark.unit}", markup=False)


def _write(found: suite.Found, plan: suite.Plan, console: rich.console.Console) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad flag.
    from python.mesh_tools import bench_plot

    directory = provenance.user_path(_OUTPUT_DIR.value)
    directory.mkdir(parents=True, exist_ok=True)
    suite.write_json(found, directory / "bench.json")
    if found.comparisons:
        bench_plot.draw(found.comparisons, plan.baseline, directory / "bench.png")
    bench_report.print_report(
        found.comparisons, plan.baseline, allocators.MESH, found.notes, console
    )
    if bench_runner.COUNTED not in plan.kinds:
        console.print("instructions: not counted, perf cannot do it on this machine")
    console.print(f"written: {directory}/bench.json, .png", soft_wrap=True)


def main(argv: Sequence[str]) -> int:
    """Runs the suite; returns the exit status."""
    del argv  # Flags only; what is left over has been refused.
    console = command_line.make_console()
    if _LIST.value:
        _list(console)
        return 0
    try:
        chosen = bench_catalog.select(_ONLY.value)
        compared = _compared()
        plan = _plan(_choose_baseline([allocator.name for allocator in compared]))
        with (
            tempfile.TemporaryDirectory(prefix="mesh-bench-") as scratch,
            command_line.progress_bar(console) as bar,
        ):
            setting = bench_runner.Setting(
                pathlib.Path(scratch),
                plan.scale,
                lambda name: command_line.built_file(f"test/bench/{name}", _TARGET),
            )
            origin = provenance.describe(sys.argv, _TARGET)
            found = suite.run(chosen, compared, plan, setting, origin, bar)
    except (command_line.UsageError, bench_catalog.UnknownBenchmark) as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE
    _write(found, plan, console)
    return command_line.EXIT_WRONG if found.failed else 0


if __name__ == "__main__":
    command_line.run(_PROGRAM, main)
