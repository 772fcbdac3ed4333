"""Tests of measured runs: status, what the kernel says, memory where it was asked for."""

import os
import pathlib
import signal
import sys

from python.mesh_tools import measured


def _run(
    program: str, directory: pathlib.Path, sample_ms: float | None = None
) -> measured.Measured:
    with (
        pathlib.Path(os.devnull).open("rb") as stdin,
        (directory / "out").open("wb") as out,
        (directory / "err").open("wb") as errors,
    ):
        command = [sys.executable, "-c", program]
        return measured.run(command, os.environ, stdin, out, errors, sample_ms, directory)


def test_runs_to_the_end_where_it_was_told(tmp_path: pathlib.Path) -> None:
    ran = _run("import os; print(os.getcwd())", tmp_path)
    assert ran.status == 0
    assert (tmp_path / "out").read_text().strip() == str(tmp_path.resolve())
    assert ran.wall_s > 0
    assert ran.usage.ru_utime + ran.usage.ru_stime > 0
    assert ran.series is None


def test_says_how_it_ended(tmp_path: pathlib.Path) -> None:
    assert _run("raise SystemExit(7)", tmp_path).status == 7
    killed = _run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert killed.status == -signal.SIGKILL


def test_counts_what_children_used(tmp_path: pathlib.Path) -> None:
    work = "sum(range(3_000_000))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{work}'])"
    assert _run(child, tmp_path).usage.ru_utime > _run("", tmp_path).usage.ru_utime


def test_samples_memory_when_asked(tmp_path: pathlib.Path) -> None:
    ran = _run("import time; x = bytearray(1 << 24); time.sleep(1)", tmp_path, 10)
    assert ran.series is not None
    assert ran.series.physical_bytes.max() > 1 << 24
