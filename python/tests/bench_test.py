"""Tests of the benchmark suite: statistics on ready-made runs, and the driver at a tiny size.

COMMAND names the driver. A peer given by NAME=LIBRARY stands beside Mesh in its runs.
"""

import io
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import rich.console
import rich.progress

from python.mesh_tools import (
    allocators,
    bench_catalog,
    bench_plot,
    bench_report,
    bench_results,
    bench_runner,
    suite,
)
from python.tests import fakes

_COMMAND = str(pathlib.Path(os.environ["COMMAND"]).absolute())
_CPU = bench_results.METRICS[0]


def _run(
    allocator: str, cpu_s: float, index: int = 1, kind: str = "timed"
) -> bench_results.BenchRun:
    histogram = bench_results.Histogram(900, 5000, [0, 5, 5, 0, 0, 0, 0, 0, 0, 1])
    return bench_results.BenchRun(
        allocator,
        index,
        kind,
        units=100,
        wall_s=cpu_s * 2,
        user_s=cpu_s / 2,
        system_s=cpu_s / 2,
        minor_faults=10,
        major_faults=0,
        memory=bench_results.MemoryUse(20 << 20, 10 << 20, 20 << 20, 10 << 20, 0, 5),
        figures={"resident_kb": 40.0},
        latency={"malloc": histogram, "free": histogram} if kind == "latency" else {},
    )


def _comparison(name: str, **cpu_s: list[float]) -> bench_results.BenchComparison:
    runs = [_run(a, s, i) for a, of in cpu_s.items() for i, s in enumerate(of)]
    runs += [_run(a, of[0], 9, kind) for a, of in cpu_s.items() for kind in ("observed", "latency")]
    return bench_results.BenchComparison(name, "mimalloc", fakes.PROVENANCE, {}, runs)


def _two() -> list[bench_results.BenchComparison]:
    return [
        _comparison("churn", mimalloc=[1.0, 1.1, 0.9], mesh=[2.0, 2.2, 1.8]),
        _comparison("churn-2", mimalloc=[4.0, 4.0, 4.0], mesh=[2.0, 2.0, 2.0]),
    ]


def test_geometric_means_and_their_interval() -> None:
    mean = bench_results.geometric_mean(_two(), "mesh", "mimalloc", _CPU)
    assert mean is not None
    assert mean.value == pytest.approx(1.0)
    assert mean.count == 2
    assert mean.low is not None and mean.high is not None
    assert 0.85 < mean.low < 1.0 < mean.high < 1.15


def test_a_single_round_has_no_interval() -> None:
    mean = bench_results.geometric_mean(
        [_comparison("a", mimalloc=[1.0], mesh=[3.0])], "mesh", "mimalloc", _CPU
    )
    assert mean is not None
    assert mean.value == pytest.approx(3.0)
    assert (mean.low, mean.high) == (None, None)


def test_the_baseline_is_one_without_an_interval() -> None:
    mean = bench_results.geometric_mean(_two(), "mimalloc", "mimalloc", _CPU)
    assert mean == bench_results.Mean(1.0, 2, None, None)


def test_weak_points_and_scaling() -> None:
    worst = bench_results.weaknesses(_two(), "mesh", _CPU)
    assert [w.benchmark for w in worst] == ["churn", "churn-2"]
    assert {w.best for w in worst} == {"mimalloc"}
    assert worst[0].ratio == pytest.approx(2.0)
    one, two = _two()
    assert bench_results.scaling(one, two, "mimalloc") == pytest.approx(0.25)
    assert bench_results.scaling(one, two, "nobody") is None


def test_quantiles_of_a_histogram() -> None:
    histogram = bench_results.Histogram(900, 5000, [0, 5, 5, 0, 0, 0, 0, 0, 0, 1])
    assert histogram.quantile_ns(0.5) == 8
    assert histogram.quantile_ns(0.9999) == 900
    assert bench_results.Histogram(0, 0, [0]).quantile_ns(0.5) == 0


def test_each_round_begins_with_another_allocator() -> None:
    three = [allocators.Allocator(name) for name in "abc"]
    assert ["".join(a.name for a in suite.rotated(three, i)) for i in range(4)] == [
        "abc",
        "bca",
        "cab",
        "abc",
    ]


def test_tables_and_picture(tmp_path: pathlib.Path) -> None:
    console = rich.console.Console(file=io.StringIO(), width=140)
    bench_report.print_report(_two(), "mimalloc", "mesh", {"jq": "skipped"}, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "CPU per unit, and ratio to mimalloc" in text
    assert "(2.00)" in text
    assert "work per second, churn-2 to churn" in text
    assert "churn: malloc" in text
    assert "jq: skipped" in text
    bench_plot.draw(_two(), "mimalloc", tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_fails_is_noted_and_not_repeated(tmp_path: pathlib.Path) -> None:
    tries = []

    def fail(*arguments: object) -> bench_results.BenchRun:
        tries.append(arguments)
        raise bench_runner.RunFailed("status -11")

    bad = bench_catalog.Benchmark("bad", "", "", fail)
    absent = bench_catalog.Benchmark("absent", "", "", fail, needs=["no-such-program"])
    plan = suite.Plan(["timed", "timed"], 1.0, "a")
    setting = bench_runner.Setting(tmp_path, 1.0, pathlib.Path)
    with rich.progress.Progress() as bar:
        found = suite.run([bad, absent], [allocators.Allocator("a")], plan, setting, {}, bar)
    assert found.failed
    assert len(tries) == 1
    assert found.comparisons == []
    assert found.notes == {
        "bad on a": "FAILED, status -11",
        "absent": "skipped, not installed: no-such-program",
    }


def test_instructions_are_counted_where_perf_can(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perf = tmp_path / "perf"
    perf.write_text('#!/bin/sh\nshift 5\necho "12345,,instructions:u,1,100.00,," >"$1"\n')
    perf.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert bench_runner.can_count_instructions()
    perf.write_text('#!/bin/sh\nshift 5\necho "<not supported>,,instructions:u,,," >"$1"\n')
    assert not bench_runner.can_count_instructions()


def test_an_allocator_that_is_not_loaded_is_noticed() -> None:
    assert bench_runner.is_effective(allocators.glibc())
    assert not bench_runner.is_effective(allocators.Allocator("x", preload="/nonexistent/lib.so"))


def _bench(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds=0"],
        ["--only=nosuch"],
        ["--peers=x"],
        ["--baseline=nosuch"],
        ["--levels=5"],
        ["stray"],
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(arguments: list[str], tmp_path: pathlib.Path) -> None:
    done = _bench(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("bench: ")
    assert done.stderr.count("\n") == 1


def test_every_shape_runs_at_a_tiny_size(tmp_path: pathlib.Path) -> None:
    shapes = [b.name for b in bench_catalog.BENCHMARKS if b.is_shape]
    peer = allocators.glibc()
    library = allocators.find_library(str(peer.preload))
    done = _bench(
        f"--only={','.join(shapes)}",
        "--scale=0.01",
        "--rounds=1",
        "--latency",
        "--noinstalled_peers",
        "--levels=",
        f"--peers=libc={library}",
        "--output_dir=out",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plain = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [b["workload"] for b in plain["benchmarks"]] == shapes
    for benchmark in plain["benchmarks"]:
        assert [(run["allocator"], run["kind"]) for run in benchmark["runs"]] == [
            ("libc", "observed"),
            ("mesh", "observed"),
            ("mesh", "timed"),
            ("libc", "timed"),
            ("libc", "latency"),
            ("mesh", "latency"),
        ]
        for run in benchmark["runs"]:
            assert run["units"] > 0
            assert (run["kind"] == "latency") == bool(run["latency"])
            if run["kind"] == "latency":
                assert sum(run["latency"]["malloc"]["counts"]) > 0
                longest = run["latency"]["free"]
                assert 0 < longest["longest_ns"] <= longest["longest_by_clock_ns"]
        assert all(r["mesh"] for r in benchmark["runs"][1:2])
    assert plain["geometric_means"]["cpu"]["mesh"]["value"] > 0
    assert (tmp_path / "out" / "bench.png").exists()


def test_every_program_that_is_here_runs_at_a_tiny_size(tmp_path: pathlib.Path) -> None:
    programs = [b.name for b in bench_catalog.BENCHMARKS if not b.is_shape and not b.missing()]
    if shutil.which("jq") is None:
        pytest.skip("not even jq is installed")
    done = _bench(
        f"--only={','.join(programs)}",
        "--scale=0.01",
        "--rounds=1",
        "--noinstalled_peers",
        "--levels=",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "jq" in done.stdout


def test_each_level_of_hardening_is_an_allocator(tmp_path: pathlib.Path) -> None:
    flags = ("--only=churn", "--scale=0.01", "--rounds=1", "--nolatency", "--noinstalled_peers")
    done = _bench(*flags, "--levels=1,4", "--output_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    plain = json.loads((tmp_path / "out" / "bench.json").read_text())
    names = {run["allocator"] for run in plain["benchmarks"][0]["runs"]}
    assert names == {"mesh", "mesh-1", "mesh-4"}
