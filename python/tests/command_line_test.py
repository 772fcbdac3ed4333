"""Tests of redis_compaction.py as a program: bad flags, and a whole small comparison.

COMMAND names the program. LIBRARY stands in for Mesh where any library will do.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from python.mesh_tools import allocators, provenance

_COMMAND = str(pathlib.Path(os.environ["COMMAND"]).absolute())
_LIBRARY = allocators.find_library("libm.so.6")


def _run(*arguments: str, cwd: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds=0"],
        ["--rounds=many"],
        ["--nosuchflag"],
        ["stray"],
        ["--workload=postgres"],
        ["--settle_seconds=-1"],
        ["--mesh_library=/nonexistent/libmesh.so"],
        ["--redis_server=/nonexistent/redis-server"],
        [f"--mesh_library={_LIBRARY}", "--peers=x"],
        [f"--mesh_library={_LIBRARY}", f"--peers=glibc={_LIBRARY}"],
        [f"--mesh_library={_LIBRARY}", "--workload=fragment", "--peers=activedefrag"],
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("redis_compaction: ")
    assert done.stderr.count("\n") == 1


def test_help_lists_the_flags() -> None:
    done = _run("--help")
    assert done.returncode == 0
    assert "--rounds" in done.stdout


def test_without_redis_the_built_in_program_is_measured(tmp_path: pathlib.Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("env", "git", "python3"):
        found = shutil.which(tool)
        if found is not None:
            (empty / tool).symlink_to(found)
    done = subprocess.run(
        [
            _COMMAND,
            f"--mesh_library={_LIBRARY}",
            "--heap_mb=4",
            "--settle_seconds=0.2",
            "--sample_ms=10",
            "--rounds=2",
            "--output_dir=out",
        ],
        env={**os.environ, "PATH": str(empty)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "apt-get install redis-server" in done.stdout
    assert "settled physical memory [MB]" in done.stdout
    plain = json.loads((tmp_path / "out" / "redis_compaction.json").read_text())
    assert plain["workload"] == "Fragmenting program"
    assert plain["rounds"] == 2
    assert plain["parameters"]["compact"] is True
    assert {run["allocator"] for run in plain["runs"]} >= {"glibc", "mesh"}
    assert (tmp_path / "out" / "redis_compaction.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server here")
def test_with_redis_the_experiment_is_run(tmp_path: pathlib.Path) -> None:
    done = _run(
        f"--mesh_library={_LIBRARY}",
        "--small_keys=7000",
        "--large_keys=1700",
        "--maxmemory_mb=3",
        "--settle_seconds=0.2",
        "--seed=42",
        cwd=tmp_path,
    )
    # What stands in for Mesh here has no malloc, and the program must notice.
    assert done.returncode == 1, done.stdout
    assert "seed 42" in done.stdout
    assert "keeps to its own" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_is_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", "/somewhere")
    assert (
        provenance.command(["x", "--rounds=2"], "//python:redis_compaction")
        == "bazel run -c opt //python:redis_compaction -- --rounds=2"
    )
    monkeypatch.delenv("BUILD_WORKSPACE_DIRECTORY")
    assert provenance.command(["x.py", "--peers=a b"], "//x") == "python3 x.py '--peers=a b'"


def test_the_commit_of_no_repository_is_unknown(tmp_path: pathlib.Path) -> None:
    assert provenance.commit(tmp_path) == "unknown"
