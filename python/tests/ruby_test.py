"""Tests of ruby_compaction.py: what it reads from the program, and a whole small comparison."""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

from python.mesh_tools import compare_experiment, memory, strings_experiment
from test.integration import harness

_COMMAND = str(pathlib.Path(os.environ["COMMAND"]).absolute())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([_COMMAND, *arguments], capture_output=True, text=True, check=False)


def _observed(t_ms: list[float], physical: list[int]) -> compare_experiment.CompareRun:
    none = np.zeros(len(t_ms), np.int64)
    series = memory.MemorySeries(
        np.array(t_ms), np.array(physical, np.int64), none, none, none, none
    )
    return compare_experiment.CompareRun(
        "mesh", 0, compare_experiment.OBSERVED, 1.0, 1.0, series, start_s=100.0, output=""
    )


class TestFloor:
    def test_it_is_what_was_there_the_slots_and_what_is_held(self) -> None:
        ledger = strings_experiment.parse_ledger("100.1 0 10\n100.3 2000 10\n100.4 500 10\n")
        run = _observed([50.0, 100.0, 200.0, 300.0, 350.0, 900.0], [7000, 7000, 1, 1, 1, 1])
        expected = [7000, 7000, 7000 + 1000 + 200, 7000 + 2400, 7000 + 1650, 7000 + 900]
        assert ledger.floor(run) == pytest.approx(expected)

    def test_a_run_without_samples_has_none(self) -> None:
        ledger = strings_experiment.parse_ledger("1.0 2 3\n")
        run = compare_experiment.CompareRun("mesh", 0, "timed", 1.0, 1.0, None, 0.0, "")
        with pytest.raises(strings_experiment.BadLedger):
            ledger.floor(run)

    @pytest.mark.parametrize("text", ["", "1.0 2\n", "a b c\n"])
    def test_other_output_is_refused(self, text: str) -> None:
        with pytest.raises(strings_experiment.BadLedger):
            strings_experiment.parse_ledger(text)


def test_a_small_comparison(tmp_path: pathlib.Path) -> None:
    done = _run(
        *("--ruby", harness.program("ruby"), "--noinstalled_peers", "--rounds=1"),
        *("--megabytes=4", "--pause_seconds=0.02", f"--output_dir={tmp_path}"),
    )
    assert done.returncode == 0, done.stderr
    assert "mesh: the least possible mean is " in done.stdout
    plain = json.loads((tmp_path / "ruby_compaction.json").read_text())
    assert plain["parameters"]["first_length"] == 512
    assert [run["kind"] for run in plain["runs"]] == ["timed", "observed"]
    assert plain["runs"][1]["peak_bytes"] > 4_000_000
    assert (tmp_path / "ruby_compaction.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [["--ruby=/nonexistent/ruby"], ["--rounds=0"], ["--mesh_library=/nonexistent"], ["stray"]],
)
def test_a_bad_flag_is_one_line_and_status_2(arguments: list[str]) -> None:
    done = _run(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("ruby_compaction: ")
    assert done.stderr.count("\n") == 1


def test_a_program_that_says_something_else(tmp_path: pathlib.Path) -> None:
    fake = tmp_path / "ruby"
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    done = _run(f"--ruby={fake}", "--noinstalled_peers", "--rounds=1", f"--output_dir={tmp_path}")
    assert done.returncode == 1
    assert "not what strings.rb says" in done.stderr
