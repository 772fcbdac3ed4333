"""Stores and file reads into small heap objects while compaction loops: the full write barrier.

The program, test/programs/barrier_endurance.cc, checks and counts for itself. Three seconds here;
for longer, and other seeds: bazel test --test_arg=--endurance-seconds=600 --test_arg=--seed=7, with
--test_timeout above that.

Environment: MESH_LIB, the library. MESH_ENDURANCE, the program; MESH_ENDURANCE_FORKING, the same
with an import of fork, by which Mesh chooses how it shows meshed pages.
"""

import json
import os
import pathlib

import pytest

from . import harness, userfault

# Passes and meshes of a run on the slowest machine that is of use.
FEWEST_PASSES = 4
FEWEST_MESHES = 500

# Counts of what must not be.
WRONG = ("lost", "efaults", "failed_calls", "wrong_snapshots", "signals")


@pytest.mark.parametrize("fork_every", [0, 2])
@pytest.mark.parametrize("build", ["MESH_ENDURANCE", "MESH_ENDURANCE_FORKING"])
def test_no_store_is_lost_and_no_call_fails(
    tmp_path: pathlib.Path, endurance_seconds: int, seed: int, build: str, fork_every: int
) -> None:
    """Nothing is lost, nothing fails, no signal comes, and it was userfaultfd that saw to it."""
    program = pathlib.Path(os.environ[build]).absolute()
    outcome = harness.run_program(
        [
            program,
            f"--seconds={endurance_seconds}",
            f"--seed={seed}",
            f"--fork_every={fork_every}",
        ],
        {"LD_PRELOAD": str(harness.library())},
        tmp_path,
        timeout_s=endurance_seconds + 60,
    )
    assert outcome.status == 0, harness.describe(outcome)
    assert outcome.stderr == b""
    report = json.loads(outcome.stdout)
    assert all(report[name] == 0 for name in WRONG), report
    assert min(report["stores"], report["reads"]) > 1000, report
    if not userfault.is_there():
        pytest.skip("the kernel gives this user no full userfaultfd; the contents were right")
    assert report["barrier_tier"] == "userfaultfd"
    assert report["passes"] >= FEWEST_PASSES, report
    assert (report["forks"] > 0) == (fork_every > 0), report
    assert report["mesh_count"] >= FEWEST_MESHES, report
