"""Tests of fragment_experiment.py with the real program; FRAGMENT names it."""

import os
import pathlib
import subprocess

import pytest

from python.mesh_tools import allocators, fragment_experiment

_FRAGMENT = pathlib.Path(os.environ["FRAGMENT"]).absolute()


def _plan(executable: pathlib.Path = _FRAGMENT) -> fragment_experiment.Plan:
    return fragment_experiment.Plan(executable, heap_mb=8, settle_s=0.2, sample_ms=10, seed=1)


def test_nine_objects_of_ten_are_freed_and_the_rest_is_right() -> None:
    done: list[int] = []
    result = fragment_experiment.run(
        _plan(), allocators.Allocator("glibc"), 0, lambda _, count: done.append(count)
    )
    assert sum(done) == fragment_experiment.PHASES_PER_RUN
    assert result.is_right
    assert 0.08 * (8 << 20) < result.live_bytes < 0.12 * (8 << 20)
    assert result.checked > 1000
    # The holes are why there is something to compact.
    assert result.settled.physical_bytes > 2 * result.live_bytes
    assert [phase.name for phase in result.phases] == ["fill", "free 90 %", "idle", "check"]
    assert result.to_json()["save"] is None


def test_a_program_that_ends_early_is_reported() -> None:
    with pytest.raises(fragment_experiment.ProgramFailed, match="ended early"):
        fragment_experiment.run(
            _plan(pathlib.Path("/bin/false")), allocators.Allocator("glibc"), 0, lambda *_: None
        )


@pytest.mark.parametrize("option", ["--mb=0", "--mb=x", "--free_percent=101", "--nosuch"])
def test_the_program_refuses_bad_options(option: str) -> None:
    done = subprocess.run([_FRAGMENT, option], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("fragment: ")
    assert done.stderr.count("\n") == 1


def test_compaction_is_a_phase_only_where_the_allocator_can() -> None:
    done = subprocess.run(
        [_FRAGMENT, "--mb=1", "--idle_ms=0", "--compact"],
        input="\n" * 8,
        capture_output=True,
        text=True,
        check=True,
    )
    phases = [line.split('"')[3] for line in done.stdout.splitlines()]
    assert phases == ["ready", "filled", "freed", "settled", "checked"]
