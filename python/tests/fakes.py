"""Ready-made results for tests of what only renders."""

import numpy as np

from python.mesh_tools import allocators, memory, results

PROVENANCE = {
    "commit": "0123456789",
    "command": "bazel run //python:redis_compaction -- --rounds=2 [x]",
    "date": "2026-01-01 00:00 UTC",
    "kernel": "Linux 6.1",
    "processors": "2",
}


def make_point(physical_mb: float, backing_mb: float = 0, exact: bool = True) -> memory.MemoryPoint:
    """Returns a point with the given physical memory [MB], some of it in the backing."""
    backing = int(backing_mb * results.MB)
    anon = int(physical_mb * results.MB) - backing
    return memory.MemoryPoint(anon, anon + backing // 2, anon + 3 * backing, backing, exact)


def make_run(
    allocator: str,
    physical_mb: float,
    round_index: int = 0,
    wrong: int = 0,
    reload_matches: bool = True,
    meshes: int | None = None,
    exact: bool = True,
) -> results.RunResult:
    """Returns a run of three samples that settled at `physical_mb`."""
    column = np.array([10, 200, physical_mb], dtype=np.int64) * results.MB
    zeros = np.zeros(3, dtype=np.int64)
    return results.RunResult(
        allocator=allocator,
        label=f"{allocator} (label)",
        round_index=round_index,
        series=memory.MemorySeries(
            np.array([0.0, 1000.0, 2000.0], dtype=np.float64), column, column, column, zeros, zeros
        ),
        phases=[results.Phase("insert", 0.0), results.Phase("idle", 1000.0)],
        settled=make_point(physical_mb, exact=exact),
        live_bytes=100 * results.MB,
        fill_ms=[1000.0, 500.0],
        cpu_ms=1400.0,
        checked=12345,
        wrong=wrong,
        reads=results.ReadLatency(10_000, 60.0, 400.0, 900.0),
        save=results.SaveResult(4000, 5 * results.MB, reload_matches),
        mesh=None if meshes is None else allocators.MeshReport(meshes, 1.5),
    )


def make_comparison(runs: list[results.RunResult]) -> results.Experiment:
    """Returns a comparison against the first run's allocator."""
    return results.Experiment("Workload", runs[0].allocator, PROVENANCE, {"seed": 1}, runs)
