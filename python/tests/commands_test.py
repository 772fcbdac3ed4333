"""Tests of the `mesh` command as a user types it: what it prints, and one line for bad input."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

from python.mesh_tools import cli, statistics_table
from python.mesh_tools.commands import export
from python.tests import mesh_program
from python.tests.command_runner import (
    MESH,
    NO_PROCESS,
    QUIET,
    TIMEOUT_S,
    environment,
    mesh,
    refused,
)


def test_overview_lists_every_command() -> None:
    text = mesh("--help").stdout
    assert re.findall(r"^  ([a-z-]+)  ", text, re.MULTILINE) == list(cli.COMMANDS)
    assert text.startswith("usage: mesh")
    assert refused("frobnicate") == (
        "mesh: there is no command 'frobnicate'; mesh --help lists them"
    )


class TestRun:
    def test_the_program_takes_its_place(self, tmp_path: pathlib.Path) -> None:
        report = tmp_path / "report.json"
        text = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(7)"
        done = mesh(
            "run", f"--report={report}", "--", sys.executable, "-c", text, stdin="in", status=7
        )
        assert (done.stdout, done.stderr) == ("IN", "")
        plain = json.loads(report.read_text())
        names = [row.name for row in statistics_table.PROCESS]
        assert list(plain)[: len(names)] == names
        assert plain["live_bytes"] > 0
        assert len(plain["classes"]) > 40

    @pytest.mark.parametrize(
        ("arguments", "printed"),
        [
            (["--", "echo", "a", "--", "b"], "a -- b"),
            (["echo", "a", "--", "b"], "a -- b"),
            (["--set", "seed=1", "echo", "--set", "-x"], "--set -x"),
            (["--", "echo", "--"], "--"),
        ],
    )
    def test_the_arguments_are_its_own(self, arguments: list[str], printed: str) -> None:
        assert mesh("run", *arguments).stdout == printed + "\n"

    def test_a_signal_ends_it_as_a_signal(self) -> None:
        text = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
        mesh("run", sys.executable, "-c", text, status=-signal.SIGTERM)

    def test_stats_and_settings(self) -> None:
        done = mesh("run", "--stats", "--set", "period_ms=7", "env")
        assert "MESH_PERIOD_MS=7\n" in done.stdout
        assert done.stderr.startswith("MESH COUNT:")
        assert "Barrier tier:" in done.stderr

    def test_who_cannot_be_served(self, tmp_path: pathlib.Path) -> None:
        assert "which program?" in refused("run")
        assert "which program?" in refused("run", "--")
        assert refused("run", "no-such-program") == "mesh run: there is no program no-such-program"
        text = tmp_path / "text"
        text.write_text("no program")
        text.chmod(0o755)
        assert refused("run", text) == f"mesh run: {text} is neither a program nor a script"
        assert "no library" in refused("run", "--library=/nowhere", "ls")
        blank = tmp_path / "lib mesh.so"
        shutil.copy(mesh_program.LIBRARY, blank)
        assert "blank or a colon" in refused("run", f"--library={blank}", "ls")
        assert "NAME=VALUE" in refused("run", "--set=x", "ls")
        assert "there is no directory" in refused("run", "--report=/nowhere/x", "ls")

    def test_a_script_is_judged_by_its_interpreter(self, tmp_path: pathlib.Path) -> None:
        script = tmp_path / "script"
        script.write_text("#!/usr/bin/env sh\nexit 5\n")
        script.chmod(0o755)
        mesh("run", script, status=5)

    @pytest.mark.parametrize(
        ("source", "flags", "says"),
        [
            ("int main(void){return 0;}", ["-static"], "is linked statically"),
            (
                "#include <stddef.h>\nvoid* malloc(size_t n){return NULL+(n&0);}"
                "void* mi_malloc(size_t n){return malloc(n);} int main(void){return 0;}",
                ["-fno-builtin"],
                "brings an allocator of its own (mimalloc)",
            ),
            (
                "int main(void){return 0;}",
                ["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"],
                "is linked with musl",
            ),
        ],
    )
    def test_programs_that_bring_their_own(
        self, tmp_path: pathlib.Path, source: str, flags: list[str], says: str
    ) -> None:
        program = tmp_path / "program"
        subprocess.run(
            ["cc", "-x", "c", "-", "-o", program, *flags], input=source, text=True, check=True
        )
        line = refused("run", program)
        assert line.startswith(f"mesh run: {program} {says}"), line

    def test_another_architecture(self, tmp_path: pathlib.Path) -> None:
        program = tmp_path / "program"
        content = bytearray(pathlib.Path(sys.executable).resolve().read_bytes())
        # e_machine: s390, which Mesh is built for nowhere.
        content[18:20] = b"\x16\x00"
        program.write_bytes(content)
        program.chmod(0o755)
        assert "is for another architecture (IBM S/390" in refused("run", program)


class TestStat:
    def test_json_and_table(self) -> None:
        with mesh_program.running(extra=QUIET) as program:
            program.run("compact")
            plain = json.loads(mesh("stat", program.pid, "--json").stdout)
            table = mesh("stat", program.pid).stdout
        assert plain["pid"] == program.pid
        assert plain["mesh_count"] > 50
        assert plain["physical_bytes"] > plain["live_bytes"] > 600_000
        assert f"process {program.pid}" in table
        assert re.search(r"meshes +\d+ +in 1 passes", table)

    def test_bad_input(self) -> None:
        assert refused("stat", NO_PROCESS) == f"mesh stat: there is no process {NO_PROCESS}"
        assert "invalid int value: 'x'" in refused("stat", "x")
        assert "required: PID" in refused("stat")
        assert refused("stat", os.getpid()) == (
            f"mesh stat: process {os.getpid()} does not run Mesh"
        )


class TestCtl:
    def test_read_and_steer(self) -> None:
        with mesh_program.running(extra=QUIET) as program:
            program.tell("wait")
            assert int(mesh("ctl", program.pid, "mesh.compact").stdout) > 100_000
            assert int(mesh("ctl", program.pid, "stats.mesh_count").stdout) > 50
            program.process.send_signal(signal.SIGSTOP)
            assert mesh("ctl", program.pid, "mesh.check_period").stdout == "0\n"

    def test_the_period(self) -> None:
        with mesh_program.running(extra=QUIET) as program:
            program.tell("wait")
            assert mesh("ctl", program.pid, "mesh.check_period", "40").stdout == "40\n"
            assert mesh("ctl", program.pid, "mesh.check_period").stdout == "40\n"

    def test_bad_input(self) -> None:
        with mesh_program.running(extra=QUIET) as program:
            pid = program.pid
            assert "there is no key x:" in refused("ctl", pid, "x")
            assert "there is no key stats.x:" in refused("ctl", pid, "stats.x")
            assert "takes no value" in refused("ctl", pid, "mesh.compact", "1")
            assert "not 'fast'" in refused("ctl", pid, "mesh.check_period", "fast")
            program.process.send_signal(signal.SIGSTOP)
            done = mesh("ctl", pid, "mesh.compact", "--timeout=0.1", status=1)
            assert "none of its threads" in done.stderr
        assert "no process" in refused("ctl", NO_PROCESS, "mesh.compact")


class TestTop:
    def test_all_and_one(self, tmp_path: pathlib.Path) -> None:
        picture = tmp_path / "top.svg"
        with mesh_program.running(extra=QUIET) as program:
            everything = mesh("top", "--iterations=2", "--interval=0.1", f"--svg={picture}").stdout
            one = mesh("top", program.pid, "--iterations=1").stdout
        assert f"{program.pid} " in everything
        assert "occupancy" in one
        assert picture.read_text().startswith("<svg")

    def test_bad_input(self) -> None:
        assert "no process" in refused("top", NO_PROCESS)
        assert "above 0" in refused("top", "--interval=0")


class TestExport:
    def test_metrics(self) -> None:
        with (
            mesh_program.running(extra=QUIET) as program,
            subprocess.Popen(
                [*MESH, "export", "--port=0"],
                env=environment(),
                stdout=subprocess.PIPE,
                text=True,
            ) as server,
        ):
            assert server.stdout is not None
            address = server.stdout.readline().split()[1]
            assert address.startswith("http://127.0.0.1:")
            text = urllib.request.urlopen(address, timeout=TIMEOUT_S).read().decode()
            server.terminate()
            assert server.wait(TIMEOUT_S) == 0
        for row in statistics_table.PROCESS:
            name = export.metric_name(row.name) + ("_total" if row.counts else "")
            name = name.replace("_total_total", "_total")
            assert re.search(rf'^{name}{{command="[^"]+",pid="{program.pid}"}} \d', text, re.M), (
                name
            )
        assert re.search(r'mesh_class_live_objects{[^}]*object_size="144"', text)

    def test_bad_input(self) -> None:
        assert "--port takes 0 to 65535" in refused("export", "--port=99999")
        assert "cannot serve at 192.0.2.1:9464" in refused("export", "--address=192.0.2.1")


def test_options() -> None:
    text = mesh("options").stdout
    assert re.search(r"^MESH_PERIOD_MS +100 ", text, re.MULTILINE)
    assert "unrecognized arguments: x" in refused("options", "x")


def test_doctor() -> None:
    found = {row["what"]: row for row in json.loads(mesh("doctor", "--json").stdout)}
    assert found["trial"]["verdict"] == "ok"
    assert found["write barrier"]["value"] in ("userfaultfd", "userfaultfd user mode", "segv")
    assert found["vm.max_map_count"]["value"].isdigit()
    assert "what it means" in mesh("doctor").stdout
    assert "no library" in refused("doctor", "--library=/nowhere")
