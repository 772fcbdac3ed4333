"""Tests of window.py and snapshot.py on a running program, against what it says of itself."""

import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from python.mesh_tools import snapshot, statistics_table, window
from python.tests import mesh_program

_TABLE = pathlib.Path(os.environ["STATISTICS_DEF"])
_ENTRIES = re.findall(
    r'^MESH_(CLASS_)?STATISTIC\((?:\w+, )??(\w+),\s*"(.*)"\)$', _TABLE.read_text(), re.MULTILINE
)
_ROWS = [name for kind, name, _ in _ENTRIES if not kind]
_CLASS_ROWS = [name for kind, name, _ in _ENTRIES if kind]

# What reading the figures, one after the other and with Python, may change meanwhile: objects,
# spans and pages of a few dozen kilobytes. A refill counts up to 128 slots as objects.
# The share of a library's pages that PSS counts changes as other processes come and go.
_SLACK = {"pss_bytes": 8 << 20, "bytes": 512 << 10, "count": 60, "other": 60}
_SLACK_OBJECTS = 256
# Counters that nothing but a mesh changes: the program meshes when it is told to, and only then.
_EXACT = [
    "mesh_count",
    "meshed_pages_total",
    "meshed_pages_hwm",
    "mesh_passes",
    "mesh_failed_mappings",
    "mesh_failed_map",
    "mesh_failed_barrier",
    "large_count",
    "large_bytes",
    "arena_segments",
    "arena_reserved_bytes",
    "backing_bytes",
    "mappings_budget",
    "longest_pause_ns",
    "longest_wait_ns",
    "background_turns",
    "background_cpu_ns",
]
_QUIET = {"MESH_PERIOD_MS": "0"}


def test_the_table_is_that_of_the_library() -> None:
    names = [field.name for field in dataclasses.fields(snapshot.Snapshot)]
    assert names[: len(_ROWS)] == [name for name in names if name in _ROWS]
    assert set(_ROWS) <= set(names), "put the row into snapshot.py and statistics_table.py"
    assert [field.name for field in dataclasses.fields(snapshot.ClassSnapshot)] == _CLASS_ROWS
    documented = [*statistics_table.PROCESS, *statistics_table.CLASS]
    assert [(row.name, row.sentence) for row in documented] == [row[1:] for row in _ENTRIES]


def test_outside_and_inside_agree() -> None:
    histograms = [f"{name}.{bucket}" for name in ("pauses", "waits") for bucket in range(24)]
    keys = [f"stats.{name}" for name in [*_ROWS, *histograms]]
    with mesh_program.running(keys, _QUIET) as program:
        program.run("compact")
        program.statistics()  # What is allocated at the first call only.
        inside = program.statistics()
        with window.Window(program.pid) as opened:
            outside = dataclasses.asdict(snapshot.collect(opened))
    assert inside["stats.mesh_count"] > 50
    for key in histograms:
        name, bucket = key.split(".")
        assert outside[name][int(bucket)] == inside[f"stats.{key}"], key
    assert sum(outside["pauses"]) > 0
    for name in _ROWS:
        value = inside[f"stats.{name}"]
        if name in _EXACT:
            assert outside[name] == value, name
        else:
            slack = next(s for kind, s in _SLACK.items() if kind == "other" or kind in name)
            assert abs(outside[name] - value) <= slack, (name, outside[name], value)


def test_classes_agree() -> None:
    keys = [f"stats.class.8.{name}" for name in _CLASS_ROWS]
    with mesh_program.running(keys, _QUIET) as program:
        program.run("compact")
        inside = program.statistics()
        with window.Window(program.pid) as opened:
            outside = snapshot.collect(opened)
    row = outside.classes[8]
    assert row.object_size == inside["stats.class.8.object_size"] == 144
    assert row.meshed == inside["stats.class.8.meshed"] > 0
    assert abs(row.live_objects - inside["stats.class.8.live_objects"]) <= _SLACK_OBJECTS
    assert abs(row.spans - inside["stats.class.8.spans"]) <= _SLACK["count"]
    assert 0 < row.occupancy <= 1


def test_a_stopped_process_can_be_read() -> None:
    with mesh_program.running(extra=_QUIET) as program:
        os.kill(program.pid, signal.SIGSTOP)
        with window.Window(program.pid) as opened:
            assert snapshot.collect(opened).live_bytes > 600_000


def test_the_file_of_the_library_is_not_needed(tmp_path: pathlib.Path) -> None:
    # As in a container, or after an upgrade.
    copy = tmp_path / "renamed.so"
    shutil.copy(mesh_program.LIBRARY, copy)
    with mesh_program.running(extra={**_QUIET, "LD_PRELOAD": str(copy)}) as program:
        copy.unlink()
        with window.Window(program.pid) as opened:
            assert snapshot.collect(opened).live_bytes > 600_000


def test_a_request_is_served_by_a_thread_that_comes_by() -> None:
    with (
        mesh_program.running(["stats.mesh_count", "mesh.check_period"], _QUIET) as program,
        window.Window(program.pid, writable=True) as opened,
    ):
        assert program.statistics()["stats.mesh_count"] == 0
        program.tell("wait")
        assert opened.request("compact", 0, timeout_s=300) > 100_000
        assert snapshot.collect(opened).mesh_count > 50


def test_the_period_can_be_set() -> None:
    with (
        mesh_program.running(["mesh.check_period"], _QUIET) as program,
        window.Window(program.pid, writable=True) as opened,
    ):
        program.tell("wait")
        opened.request("period", 250, timeout_s=300)
        assert snapshot.collect(opened).period_ms == 250


def test_a_process_that_does_not_come_by_is_named() -> None:
    with mesh_program.running(extra=_QUIET) as program:
        os.kill(program.pid, signal.SIGSTOP)
        with window.Window(program.pid, writable=True) as opened:
            with pytest.raises(window.NotServed, match="none of its threads"):
                opened.request("compact", 0, timeout_s=0.05)
            with pytest.raises(window.NotServed, match="asked before"):
                opened.request("compact", 0, timeout_s=0.05)


def test_who_cannot_be_looked_into() -> None:
    with pytest.raises(window.NoSuchProcess, match="there is no process 4194999"):
        window.Window(4_194_999)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as plain:
        with pytest.raises(window.NotMesh, match="does not run Mesh"):
            window.Window(plain.pid)
        plain.kill()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_may_not_look() -> None:
    with mesh_program.running() as program:
        # In a process of its own, which gives up its rights.
        text = (
            "import os, sys\n"
            "from python.mesh_tools import window\n"  # While the files may be read.
            "os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
            "try:\n    window.Window(int(sys.argv[1]))\n"
            "except window.NotPermitted as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", text, str(program.pid)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
    expected = f"process {program.pid} belongs to user 0: only that user and root may look\n"
    assert (done.stdout, done.stderr) == (expected, "")
