"""The benchmarks of the suite, by name: the one list that the driver, its help and the docs use."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence

from . import (
    allocators,
    bench_programs,
    bench_redis,
    bench_results,
    bench_runner,
)

RunOnce = Callable[[allocators.Allocator, int, str, bench_runner.Setting], bench_results.BenchRun]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        unit: what costs are per. needs: programs without which it is skipped.
        is_shape: a program of test/bench, which has a build that times every call.
        can_count: its instructions can be counted; those of a server cannot.
    """

    name: str
    about: str
    unit: str
    run_once: RunOnce
    needs: Sequence[str] = ()
    is_shape: bool = False
    can_count: bool = True

    def missing(self) -> list[str]:
        """Returns the programs that it needs and this machine lacks."""
        return [program for program in self.needs if shutil.which(program) is None]

    def has(self, kind: str) -> bool:
        """Says whether there are runs of this kind."""
        if kind == bench_runner.LATENCY:
            return self.is_shape
        return kind != bench_runner.COUNTED or self.can_count


def _shape(
    name: str,
    about: str,
    unit: str,
    program: str | None = None,
    options: Sequence[str] = (),
    file: str | None = None,
) -> Benchmark:
    """A program of test/bench, called with a file of that directory where it needs one."""

    def run_once(
        allocator: allocators.Allocator, index: int, kind: str, setting: bench_runner.Setting
    ) -> bench_results.BenchRun:
        suffix = "_timed" if kind == bench_runner.LATENCY else ""
        path = setting.find_shape((program or name) + suffix)
        files = [str(setting.find_shape(file))] if file else []
        percent = max(1, round(100 * setting.scale))
        command = bench_programs.Command(
            [str(path), *files, f"--scale_percent={percent}", *options], units=None
        )
        return bench_runner.run_command(command, allocator, index, kind, setting.scratch)

    return Benchmark(name, about, unit, run_once, is_shape=True)


def _program(
    name: str, unit: str, needs: Sequence[str], make: bench_programs.MakeCommand
) -> Benchmark:
    def run_once(
        allocator: allocators.Allocator, index: int, kind: str, setting: bench_runner.Setting
    ) -> bench_results.BenchRun:
        command = make(setting.scratch, setting.scale)
        return bench_runner.run_command(command, allocator, index, kind, setting.scratch)

    about = (make.__doc__ or "").splitlines()[0]
    return Benchmark(name, about, unit, run_once, needs)


_TWO = "--threads=2"

BENCHMARKS: Sequence[Benchmark] = (
    _shape("churn", "small objects replaced at random, one thread", "pair"),
    _shape("churn-2", "the same in two threads, each with its own", "pair", "churn", [_TWO]),
    _shape("turnover-1", "objects that outlive the threads that made them", "pair", "turnover"),
    _shape("turnover-2", "the same in two lines of threads", "pair", "turnover", [_TWO]),
    _shape("handover", "one thread allocates, another frees", "object"),
    _shape("burst-order", "many of one size, freed in order", "pair", "bursts"),
    _shape("burst-reverse", "... in reverse", "pair", "bursts", ["--order=1"]),
    _shape("burst-random", "... at random", "pair", "bursts", ["--order=2"]),
    _shape("sharing", "false sharing, active", "write", "sharing", [_TWO]),
    _shape("sharing-passive", "false sharing, passive", "write", "sharing", [_TWO, "--passive"]),
    _shape("large", "objects of 5 to 25 MB", "object"),
    _shape("growth", "buffers that grow by realloc", "realloc"),
    _shape("aligned", "posix_memalign, 16 to 4096", "pair"),
    _shape("clear", "calloc, small and large", "pair"),
    _shape("threads", "threads that start, allocate and end", "thread"),
    _shape("idle-threads", "threads that have allocated and sleep", "thread", "idle_threads"),
    _shape("replay", "calls recorded from jq, replayed", "call", file="jq.trace"),
    _shape("maps-strings", "a C++ word index of maps and strings", "word", "maps_strings"),
    Benchmark(
        "redis",
        "redis-benchmark, seven commands; the server is measured",
        "request",
        bench_redis.run,
        ("redis-server", "redis-benchmark"),
        can_count=False,
    ),
    _program("python-json", "round", ("python3",), bench_programs.python_json),
    _program("python-dict", "round", ("python3",), bench_programs.python_dict),
    _program("lua", "round", ("lua5.4",), bench_programs.lua),
    _program("perl", "line", ("perl",), bench_programs.perl),
    _program("sqlite", "row", ("sqlite3",), bench_programs.sqlite),
    _program("compile", "run", ("g++",), bench_programs.compile_cxx),
    _program("z3", "problem", ("z3",), bench_programs.z3),
    _program("jq", "record", ("jq",), bench_programs.jq),
)

# (one thread, two threads, what is shown).
SCALING = (("churn", "churn-2"), ("turnover-1", "turnover-2"))


class UnknownBenchmark(ValueError):
    """There is no benchmark of that name."""


def select(names: Sequence[str]) -> list[Benchmark]:
    """Returns the benchmarks with these names, all where none is named.

    Raises:
        UnknownBenchmark: a name is of no benchmark.
    """
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownBenchmark(f"no such benchmark: {', '.join(unknown)}; known: {' '.join(known)}")
    return [known[name] for name in names] or list(BENCHMARKS)
