"""Runs one benchmark on one allocator, once, and reads what the kernel and the program say of it.

Memory is sampled in runs of their own ("observed"): reading it stops the program for moments.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

from . import (
    allocators,
    bench_programs,
    bench_results,
    measured,
    memory,
)

TIMED = "timed"
OBSERVED = "observed"
LATENCY = "latency"
COUNTED = "counted"

_SAMPLE_MS = 10.0
_KIB = 1024
_ERROR_CHARACTERS = 300


class RunFailed(Exception):
    """A program ended with a bad status, or did not say what it had done."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a benchmark needs to know: where it may write, how much it has to do, how it is run.

    find_shape: returns a program of test/bench by its name.
    """

    scratch: pathlib.Path
    scale: float
    find_shape: Callable[[str], pathlib.Path]


def summarise(series: memory.MemorySeries) -> bench_results.MemoryUse | None:
    """Reduces samples to what is compared; None for a program that ended before the first."""
    if len(series.t_ms) == 0:
        return None
    physical = series.physical_bytes
    return bench_results.MemoryUse(
        peak_physical_bytes=int(physical.max()),
        mean_physical_bytes=int(np.mean(physical)),
        peak_pss_bytes=int(series.pss_bytes.max()),
        mean_pss_bytes=int(np.mean(series.pss_bytes)),
        peak_backing_bytes=int(series.backing_bytes.max()),
        samples=len(series.t_ms),
    )


def is_effective(allocator: allocators.Allocator) -> bool:
    """Says whether a program started with the allocator has it in its memory."""
    if allocator.preload is None:
        return True
    done = subprocess.run(
        ["cat", "/proc/self/maps"],
        env=allocator.make_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and pathlib.Path(allocator.preload).resolve().name in done.stdout


def can_count_instructions() -> bool:
    """Says whether perf is here and the machine lets it count."""
    perf = shutil.which("perf")
    if perf is None:
        return False
    with tempfile.TemporaryDirectory(prefix="mesh-bench-") as scratch:
        try:
            count_instructions(["true"], pathlib.Path(scratch), allocators.Allocator("none"), None)
        except RunFailed:
            return False
    return True


def count_instructions(
    arguments: Sequence[str],
    scratch: pathlib.Path,
    allocator: allocators.Allocator,
    stdin: IO[bytes] | None,
) -> int:
    """Runs a program under `perf stat`; returns its instructions in user mode.

    Raises:
        RunFailed: perf failed, or cannot count on this machine.
    """
    out = scratch / "perf"
    # env, so that perf itself does not get LD_PRELOAD.
    settings = [f"LD_PRELOAD={allocator.preload}"] if allocator.preload else []
    command = ["perf", "stat", "-x,", "-e", "instructions:u", "-o", str(out), "--"]
    done = subprocess.run(
        [*command, "env", *settings, *arguments],
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    text = out.read_text() if out.exists() else ""
    counts = [line.split(",")[0] for line in text.splitlines() if "instructions" in line]
    if done.returncode != 0 or not counts or not counts[0].isdigit():
        raise RunFailed("perf cannot count instructions here")
    return int(counts[0])


def run_command(
    command: bench_programs.Command,
    allocator: allocators.Allocator,
    round_index: int,
    kind: str,
    scratch: pathlib.Path,
) -> bench_results.BenchRun:
    """Runs a program to its end.

    Raises:
        RunFailed: it ended with a status other than 0, or printed no line of JSON where it has to.
    """
    environment = {**allocator.make_environment(), **command.environment}
    if kind != OBSERVED:
        # Its report costs a moment at exit.
        environment.pop("MALLOCSTATS", None)
    out_path, error_path = scratch / "stdout", scratch / "stderr"
    with (
        out_path.open("wb") as out,
        error_path.open("wb") as errors,
        (command.stdin or pathlib.Path(os.devnull)).open("rb") as stdin,
    ):
        ran = measured.run(
            command.arguments,
            environment,
            stdin,
            out,
            errors,
            _SAMPLE_MS if kind == OBSERVED else None,
            scratch,
        )
    stderr = error_path.read_text(errors="replace")
    if ran.status != 0:
        raise RunFailed(f"status {ran.status}: {stderr.strip()[-_ERROR_CHARACTERS:]}")
    said: dict[str, Any] = {"units": command.units}
    if command.units is None:
        said = _read_line(out_path)
    return bench_results.BenchRun(
        allocator=allocator.name,
        round_index=round_index,
        kind=kind,
        units=said["units"],
        wall_s=ran.wall_s,
        user_s=ran.usage.ru_utime,
        system_s=ran.usage.ru_stime,
        minor_faults=ran.usage.ru_minflt,
        major_faults=ran.usage.ru_majflt,
        max_rss_bytes=ran.usage.ru_maxrss * _KIB,
        memory=summarise(ran.series) if ran.series else None,
        instructions=_count(command, allocator, scratch) if kind == COUNTED else None,
        figures=said.get("figures", {}),
        latency={
            name: bench_results.Histogram(**plain)
            for name, plain in said.get("latency", {}).items()
        },
        mesh=allocators.parse_mesh_report(stderr),
    )


def _count(
    command: bench_programs.Command, allocator: allocators.Allocator, scratch: pathlib.Path
) -> int:
    settings = [f"{name}={value}" for name, value in command.environment.items()]
    with (command.stdin or pathlib.Path(os.devnull)).open("rb") as stdin:
        return count_instructions([*settings, *command.arguments], scratch, allocator, stdin)


def _read_line(path: pathlib.Path) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise RunFailed(f"no line of JSON: {error}") from error
    return plain
