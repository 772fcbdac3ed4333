"""Runs a program to its end, and reads what the kernel says of it.

Processor time and faults come from wait4, so that they hold what the program's children used too.
"""

import dataclasses
import os
import pathlib
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import IO

from . import memory


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a run came to.

    status: exit status, or the negative number of the signal that ended it. wall_s: time [s].
    series: memory; None where it was not sampled. start_s: when it began, on time.monotonic's clock
    [s].
    """

    status: int
    wall_s: float
    usage: resource.struct_rusage
    series: memory.MemorySeries | None
    start_s: float


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdin: IO[bytes],
    stdout: IO[bytes],
    stderr: IO[bytes],
    sample_ms: float | None,
    directory: pathlib.Path | None = None,
) -> Measured:
    """Runs the command.

    Args:
        sample_ms: time between two looks at its memory, stopping it for moments [ms]; None: never.
        directory: where it runs; None: here.
    """
    start_s = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, cwd=directory
    )
    sampler = memory.MemorySampler(process.pid, sample_ms) if sample_ms is not None else None
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - start_s
    process.returncode = os.waitstatus_to_exitcode(status)
    series = sampler.stop() if sampler else None
    return Measured(process.returncode, wall_s, usage, series, start_s)
