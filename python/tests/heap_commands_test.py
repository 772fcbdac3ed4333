"""Tests of the commands that look at spans: would-save, map, theory."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from python.mesh_tools import heap_picture, spans, theory, theory_study, window
from python.tests import mesh_program
from python.tests.command_runner import MESH, NO_PROCESS, QUIET, environment, mesh, refused
from test.integration import harness

# A program that leaves holes and ends with a status of its own.
_HOLES = "held = [bytes(100) for _ in range(30000)][::10]; import time; time.sleep(5); exit(9)"


def test_spans_add_up_to_the_statistics() -> None:
    with (
        mesh_program.running([f"stats.class.8.{n}" for n in ("spans", "meshed")], QUIET) as program,
        window.Window(program.pid) as opened,
    ):
        before = spans.read(opened)
        program.run("compact")
        inside = program.statistics()
        after = spans.read(opened)
    assert before.torn == after.torn == 0
    assert all(group.members == 1 for group in before.groups[9])
    members = [group.members for group in after.groups[9]]
    assert sum(members) == inside["stats.class.8.spans"]
    assert sum(members) - len(members) == inside["stats.class.8.meshed"] > 0
    assert before.physical_pages(9) > 2 * after.physical_pages(9)


@pytest.mark.parametrize("size_class", [1, 2, 3, 4, 9])
def test_the_bits_are_the_objects(size_class: int) -> None:
    # Spans of the first three have more slots than a record has room for.
    name = f"stats.class.{size_class - 1}.live_objects"
    with mesh_program.running([name], QUIET) as program, window.Window(program.pid) as opened:
        inside = program.statistics()[name]
        seen = spans.read(opened)
    bits = sum(int(theory.count(group.bits[None])[0]) for group in seen.groups[size_class])
    # Slots that wait in the thread's vector have their bits set.
    assert inside > 100
    assert inside <= bits + 10
    assert bits <= inside + 300


def test_the_estimate_is_what_compaction_then_does() -> None:
    with (
        mesh_program.running(extra=QUIET) as program,
        window.Window(program.pid, writable=True) as opened,
    ):
        expected = sum(prospect.freed for prospect in spans.prospects(spans.read(opened)))
        program.tell("wait")
        opened.request("compact", 0, timeout_s=300)
        real = opened.runtime_value("spans_meshed")
    assert real > 500
    # What threads hold of free slots goes back first, and the newest groups are tried first there.
    assert expected == pytest.approx(real, rel=0.05)


class TestWouldSave:
    def test_of_a_process(self) -> None:
        with mesh_program.running(extra=QUIET) as program:
            done = mesh("would-save", "--pid", program.pid)
        assert re.search(r"^now .* MB  \(\d+%\)", done.stderr, re.MULTILINE)
        assert re.search(r"^ *144 ", done.stderr, re.MULTILINE)

    def test_of_a_program(self, tmp_path: pathlib.Path) -> None:
        file = tmp_path / "looks.json"
        done = mesh(
            *("would-save", "--interval=0.1", f"--json={file}", "--"),
            *("env", "PYTHONMALLOC=malloc", sys.executable, "-c", _HOLES),
            status=9,
        )
        assert "meshing would give back" in done.stderr
        looks = json.loads(file.read_text())
        assert max(look["freed_bytes"] for look in looks) > 500_000
        assert all(look["snapshot"]["mesh_count"] == 0 for look in looks)

    def test_bad_input(self) -> None:
        assert "either --pid PID or a program" in refused("would-save")
        assert "either --pid PID or a program" in refused("would-save", "--pid=1", "ls")
        assert "no process" in refused("would-save", "--pid", NO_PROCESS)
        assert "there is no program" in refused("would-save", "no-such-program")


class TestMap:
    def test_before_and_after(self, tmp_path: pathlib.Path) -> None:
        with mesh_program.running(extra=QUIET) as program:
            program.tell("wait")
            mesh("map", program.pid, "--compact", f"--output={tmp_path}/heap")
        assert (tmp_path / "heap.png").read_bytes().startswith(b"\x89PNG")
        page = (tmp_path / "heap.html").read_text()
        assert not re.search(r"(?:src|href)=", page), "the page needs another file"
        match = re.search(r"const maps = (.*), side = ", page)
        assert match is not None
        maps = json.loads(match[1])
        rows = {name: next(r for r in maps[name] if r["size"] == 144) for name in maps}
        assert list(rows) == ["before", "after"]
        assert rows["before"]["saved_bytes"] == 0 < rows["after"]["saved_bytes"]
        assert rows["after"]["physical_bytes"] < rows["before"]["physical_bytes"] / 2

    def test_bad_input(self) -> None:
        assert "no process" in refused("map", NO_PROCESS)
        assert "there is no directory" in refused("map", NO_PROCESS, "--output=/nowhere/x")

    def test_a_large_heap_is_thinned_out(self) -> None:
        bits = theory.place(1, 256, 8, "random", np.random.default_rng(1))[0]
        groups = [spans.Group(i << 12, 1, 1, bits, False) for i in range(10_000)]
        heap = spans.HeapMap(4096, [spans.SizeClass(16, 1, 256, True)], [groups], 0)
        (row,) = heap_picture.describe(heap)
        assert row["physical_spans"] == 10_000
        assert len(row["groups"]) <= 3000
        assert row["groups"][0] == [3, 1]


class TestTheory:
    def test_picture_and_table(self, tmp_path: pathlib.Path) -> None:
        file = tmp_path / "theory.png"
        done = mesh("theory", "--slots=16", "--spans=60", "--run-spans=200", f"--output={file}")
        assert "best pairs" in done.stdout
        assert "runs, 50% lead" in done.stdout
        assert file.read_bytes().startswith(b"\x89PNG")

    def test_json_keeps_what_theory_promises(self) -> None:
        done = mesh("theory", "--slots=16", "--spans=200", "--run-spans=500", "--json")
        plain = json.loads(done.stdout)
        for row in plain["points"]:
            point = theory_study.Point(**row)
            assert point.simulated == pytest.approx(point.chance, abs=0.05)
            assert point.split_mesher >= 0.9 * point.bound
            assert point.best_pairs <= 0.5
            assert point.groups >= 0.9 * point.split_mesher
        packings = [theory_study.Packing(**row) for row in plain["packings"]]
        for slots in theory_study.PACKED_SLOTS:
            runs = [row for row in packings if (row.slots, row.way) == (slots, "runs")]
            others = [row for row in packings if row.slots == slots and row.way != "runs"]
            assert max(row.mappings for row in runs) < min(row.mappings for row in others)
            assert all(row.left == pytest.approx(row.leaders, abs=0.02) for row in runs)
            assert sum(row.is_priced for row in runs) == 1

    def test_bad_input(self) -> None:
        assert "16 to 256 slots" in refused("theory", "--slots=7")
        assert "2 spans and more" in refused("theory", "--run-spans=1")
        assert "there is no directory" in refused("theory", "--output=/nowhere/x.png")


class TestStress:
    @pytest.mark.parametrize("kind", ["threads", "fragment"])
    def test_threads(self, tmp_path: pathlib.Path, kind: str) -> None:
        result = tmp_path / "result.json"
        mesh(
            *("stress", kind, "--threads=3", "--load=2000", "--iterations=20000"),
            *("--seed=7", f"--result={result}"),
        )
        plain = json.loads(result.read_text())
        assert (plain["replaced"], plain["wrong"], plain["seed"]) == (60_000, 0, 7)
        assert kind == "threads" or plain["meshes"] > 0

    def test_redis(self) -> None:
        harness.program("redis-server")
        plain = json.loads(mesh("stress", "redis", "--keys=70000").stdout)
        assert plain["wrong"] == 0 < plain["checked"]
        assert plain["physical_bytes"] > plain["live_bytes"]

    @pytest.mark.parametrize(("kind", "program"), [("python", "python3"), ("ruby", "ruby")])
    def test_languages(self, kind: str, program: str) -> None:
        harness.program(program)
        plain = json.loads(mesh("stress", kind, "--iterations=40000").stdout)
        assert plain["wrong"] == 0 < plain["checked"]

    def test_a_wrong_allocator_is_found(self, tmp_path: pathlib.Path) -> None:
        source = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <stddef.h>
            void* malloc(size_t n) {
              static void* (*real)(size_t);
              static char* last;
              static unsigned count;
              if (!real) real = dlsym(RTLD_NEXT, "malloc");
              if (n == 64 && last && ++count % 16 == 0) return last;
              char* object = real(n);
              if (n == 64) last = object;
              return object;
            }
            void free(void* object) {}
        """
        library = tmp_path / "libwrong.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library, "-ldl"],
            input=source,
            text=True,
            check=True,
        )
        done = mesh(
            *("stress", "threads", "--threads=1", "--load=100", "--iterations=20000"),
            f"--peer=wrong={library}",
            status=1,
        )
        assert json.loads(done.stdout)["wrong"] > 0

    def test_bad_input(self) -> None:
        assert "invalid choice: 'x'" in refused("stress", "x")
        assert "at least 1" in refused("stress", "threads", "--threads=0")


def test_a_real_server(tmp_path: pathlib.Path) -> None:
    server = harness.program("redis-server")
    # A short path: the address of a socket has room for 107 bytes.
    options = ["--port", "0", "--save", "", "--unixsocket", "socket"]
    with subprocess.Popen(
        [*MESH, "run", "--set", "period_ms=0", "--", server, *options],
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while "eady to accept" not in process.stdout.readline():
            assert process.poll() is None, "redis-server ended"
        pid = process.pid
        plain = json.loads(mesh("stat", pid, "--json").stdout)
        # It takes its connections by epoll_wait, every 100 ms at least.
        mesh("ctl", pid, "mesh.compact", "--timeout=300")
        passes = int(mesh("ctl", pid, "stats.mesh_passes").stdout)
        mesh("map", pid, f"--output={tmp_path}/heap")
        process.terminate()
        process.stdout.read()
        assert process.wait(300) == 0
    assert plain["command"] == "redis-server"
    assert plain["live_bytes"] > 500_000
    assert passes == plain["mesh_passes"] + 1


class TestCompare:
    def test_table_and_files(self, tmp_path: pathlib.Path) -> None:
        text = "held = [bytes(100) for _ in range(20000)]; import time; time.sleep(0.3)"
        done = mesh(
            *("compare", "--rounds=1", f"--output={tmp_path}/out", "--peers=", "--"),
            *(sys.executable, "-c", text),
        )
        assert re.search(r"^glibc +\d+\.\d MB +1\.00 ", done.stdout, re.MULTILINE)
        assert re.search(r"^mesh +\d+\.\d MB +\d+\.\d\d ", done.stdout, re.MULTILINE)
        plain = json.loads((tmp_path / "out.json").read_text())
        assert [run["kind"] for run in plain["runs"]] == ["timed", "observed"] * 2
        assert plain["runs"][-1]["peak_bytes"] > 1_000_000
        assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")

    def test_a_command_that_fails(self, tmp_path: pathlib.Path) -> None:
        done = mesh("compare", f"--output={tmp_path}/out", "--peers=", "false", status=1)
        assert "mesh compare: on glibc the command ended with 1" in done.stderr

    def test_bad_input(self) -> None:
        assert "there is no program" in refused("compare", "no-such-program")
        assert "at least 1" in refused("compare", "--rounds=0", "ls")
        assert "neither NAME=LIBRARY" in refused("compare", "--peers=x", "ls")
