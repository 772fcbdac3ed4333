"""Tests of memory.py: parsers on canned text, and a real process with shared memory."""

import mmap
import os
import pathlib
import subprocess
import sys
import time

import pytest

from python.mesh_tools import memory
from python.tests import fakes

_ROLLUP = """55d0c0000000-7ffd00000000 ---p 00000000 00:00 0                          [rollup]
Rss:                5000 kB
Pss:                3000 kB
Pss_Anon:           2000 kB
Pss_File:            900 kB
Pss_Shmem:           100 kB
VmFlags: rd ex
"""
_MAPS = """00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus-daemon
7f0000000000-7f0000400000 rw-s 00000000 00:01 1025   /memfd:mesh (deleted)
7f0000500000-7f0000501000 rw-s 00003000 00:01 1025   /memfd:mesh (deleted)
00e03000-00e24000 rw-s 00000000 00:01 1026           /dev/zero (deleted)
7f0001000000-7f0001001000 rw-p 00000000 00:00 0
7f0001002000-7f0001003000 rw-p 00000000 00:00 0      [anon:/memfd:not really]
"""

# Maps 8 MB of shared memory twice, touches 4 MB, and waits for its stdin to close. Python's mmap
# keeps a descriptor of its own, hence the raw calls.
_PROGRAM = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
descriptor = os.memfd_create("mesh")
os.ftruncate(descriptor, 8 << 20)
for _ in range(2):
    address = libc.mmap(
        None, 8 << 20, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0
    )
    ctypes.memset(address, 1, 4 << 20)
if sys.argv[1] == "close":
    os.close(descriptor)
print("ready", flush=True)
sys.stdin.read()
"""


def test_rollup_is_read_in_bytes() -> None:
    counters = memory.parse_rollup(_ROLLUP)
    assert counters == {
        "Rss": 5000 * 1024,
        "Pss": 3000 * 1024,
        "Pss_Anon": 2000 * 1024,
        "Pss_File": 900 * 1024,
        "Pss_Shmem": 100 * 1024,
    }


def test_each_shared_file_is_found_once_under_its_map_files_name() -> None:
    assert memory.parse_shared_memory_files(_MAPS) == {
        ("00:01", 1025): "7f0000000000-7f0000400000",
        ("00:01", 1026): "e03000-e24000",
    }


def _may_follow_map_files() -> bool:
    entry = next(pathlib.Path("/proc/self/map_files").iterdir())
    try:
        entry.stat()
    except PermissionError:
        return False
    return True


def _start_sharing(descriptor: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("descriptor", ["keep", "close"])
def test_backing_counts_a_page_once_however_often_it_is_mapped(descriptor: str) -> None:
    with _start_sharing(descriptor) as process:
        point = memory.MemoryReader(process.pid).read()
        process.communicate("")
    assert point.backing_bytes == 4 << 20
    assert point.backing_exact == (descriptor == "keep" or _may_follow_map_files())
    assert point.physical_bytes == point.pss_anon_bytes + point.backing_bytes
    assert point.rss_bytes >= point.pss_bytes + (4 << 20)


def test_sampler_collects_until_stopped_and_asks_the_program() -> None:
    with _start_sharing("close") as process:
        sampler = memory.MemorySampler(
            process.pid, interval_ms=5, used_memory=lambda: 77, ask_every=2
        )
        while len(sampler.points_since(0)) < 4:
            time.sleep(0.005)
        series = sampler.stop()
        process.communicate("")
    assert series.used_memory_bytes[:4].tolist() == [77, -1, 77, -1]
    assert (series.t_ms[1:] > series.t_ms[:-1]).all()
    assert (series.physical_bytes == series.pss_anon_bytes + series.backing_bytes).all()
    assert set(series.to_json()) >= {"t_ms", "backing_bytes"}


def test_sampler_by_hand_samples_when_asked_and_one_is_due() -> None:
    with _start_sharing("close") as process:
        sampler = memory.MemorySampler(process.pid, interval_ms=5)
        with sampler.by_hand() as sample:
            taken = len(sampler.points_since(0))
            time.sleep(0.05)
            assert len(sampler.points_since(0)) == taken
            sample()
            assert len(sampler.points_since(0)) == taken + 1
        while len(sampler.points_since(0)) < taken + 3:
            time.sleep(0.005)
        series = sampler.stop()
        process.communicate("")
    assert (series.t_ms[1:] > series.t_ms[:-1]).all()


def test_children_are_counted_with_their_parent() -> None:
    size = 32 << 20
    mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapping.write(b"x" * size)
    alone = memory.MemoryReader(os.getpid()).read().pss_anon_bytes
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    try:
        both = memory.MemoryReader(os.getpid()).read().pss_anon_bytes
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(child, 0)
    # Shared between the two, each page counts half in either: the sum has not moved.
    assert abs(both - alone) < size // 2


def test_a_process_that_has_ended_is_reported() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(memory.ProcessGone):
        memory.MemoryReader(process.pid).read()


def test_without_map_files_the_touched_part_stands_in(tmp_path: pathlib.Path) -> None:
    process = tmp_path / "7"
    process.mkdir()
    (process / "smaps_rollup").write_text(_ROLLUP)
    (process / "maps").write_text(_MAPS)
    point = memory.MemoryReader(7, proc=tmp_path).read()
    assert not point.backing_exact
    assert point.backing_bytes == 100 * 1024


def test_interval_must_be_positive() -> None:
    with pytest.raises(ValueError, match="interval_ms"):
        memory.MemorySampler(os.getpid(), 0)


def test_median_point_ignores_an_outlier() -> None:
    points = [fakes.make_point(mb) for mb in (10, 500, 11)]
    assert memory.median_point(points) == fakes.make_point(11)
    with pytest.raises(ValueError, match="no memory sample"):
        memory.median_point([])


def test_minus_leaves_what_came_on_top() -> None:
    difference = fakes.make_point(30, backing_mb=10).minus(fakes.make_point(10))
    assert difference.physical_bytes == 20 << 20
    assert difference.backing_bytes == 10 << 20
