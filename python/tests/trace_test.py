"""Tests of trace.py, of the recorder and of the program that replays what it wrote."""

import json
import os
import pathlib
import struct
import subprocess

import pytest

from python.mesh_tools import trace

_RECORD = str(pathlib.Path(os.environ["RECORD"]).absolute())
_REPLAY = str(pathlib.Path(os.environ["REPLAY"]).absolute())

# A program whose allocations are known.
_PROGRAM = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.realloc.restype = libc.calloc.restype = ctypes.c_void_p
libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
object = libc.malloc(123457)
object = libc.realloc(object, 234567)
libc.free(object)
libc.free(libc.calloc(3, 115151))
"""


def _record(call: str, a: int, b: int, result: int) -> bytes:
    return struct.pack("<QQQQ", ord(call), a, b, result)


def test_objects_get_the_lowest_free_number() -> None:
    content = b"".join(
        [
            _record("m", 10, 0, 0xA0),
            _record("c", 20, 0, 0xB0),
            _record("f", 0xA0, 0, 0),
            _record("l", 64, 30, 0xC0),
            _record("r", 0xB0, 40, 0xA0),
            _record("r", 0, 50, 0xD0),
            _record("m", 1 << 60, 0, 0),  # failed
            _record("f", 0xE0, 0, 0),  # allocated before
            _record("r", 0xA0, 0, 0),  # a free
            _record("f", 0xC0, 0, 0),
        ]
    )
    lines = list(trace.convert(trace.read_records(content), 100))
    assert lines == ["m 0 10", "c 1 20", "f 0", "l 0 64 30", "r 1 40", "r 2 50", "f 1", "f 0"]
    assert list(trace.convert(trace.read_records(content), 2)) == lines[:2]


@pytest.mark.parametrize("content", [b"x" * 31, _record("x", 0, 0, 0), b"\xff" * 32])
def test_what_is_no_recording_is_refused(content: bytes) -> None:
    with pytest.raises(trace.TraceError):
        list(trace.read_records(content))


def test_a_program_is_recorded_and_replayed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "test.trace"
    environment = {**os.environ, "BUILD_WORKING_DIRECTORY": str(tmp_path)}
    subprocess.run(
        [_RECORD, "--output=test.trace", "--calls=1000000", "--", "python3", "-c", _PROGRAM],
        check=True,
        env=environment,
    )
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(" 123457"))
    number = lines[start].split()[1]
    rest = lines[start:]
    assert lines[start] == f"m {number} 123457"
    assert f"r {number} 234567" in rest
    freed = rest.index(f"f {number}")
    assert freed > rest.index(f"r {number} 234567")
    assert any(line.startswith("c ") and line.endswith(" 345453") for line in rest[freed:])
    done = subprocess.run(
        [_REPLAY, str(path), "--scale_percent=1"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["units"] >= 30_000


def test_a_bad_trace_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bad").write_text("m zero\n")
    done = subprocess.run([_REPLAY, str(tmp_path / "bad")], check=False, capture_output=True)
    assert done.returncode == 1
    assert b"makes no sense" in done.stderr
