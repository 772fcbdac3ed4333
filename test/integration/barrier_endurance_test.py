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


# Also of a program that imports fork.
both_builds = pytest.mark.parametrize("build", ["MESH_ENDURANCE", "MESH_ENDURANCE_FORKING"])


def _run(
    directory: pathlib.Path, build: str, barrier: str, seconds: int, seed: int, fork_every: int
) -> dict[str, int | str]:
    """Runs the program in a tier; nothing is lost, nothing fails, no signal comes.

    Returns: its report.
    """
    options = [f"--seconds={seconds}", f"--passes={FEWEST_PASSES}"]
    options += [f"--seed={seed}", f"--fork_every={fork_every}"]
    outcome = harness.run_program(
        [pathlib.Path(os.environ[build]).absolute(), *options],
        {"LD_PRELOAD": str(harness.library()), "MESH_BARRIER": barrier},
        directory,
        timeout_s=10 * seconds + 60,
    )
    assert outcome.status == 0, harness.describe(outcome)
    assert outcome.stderr == b""
    report: dict[str, int | str] = json.loads(outcome.stdout)
    assert all(report[name] == 0 for name in WRONG), report
    assert min(int(report["stores"]), int(report["reads"])) > 1000, report
    return report


@pytest.mark.parametrize(
    ("barrier", "tier"), [("userfault_user", "userfaultfd user mode"), ("segv", "segv")]
)
@both_builds
def test_lower_tiers_lose_nothing(
    tmp_path: pathlib.Path, endurance_seconds: int, seed: int, build: str, barrier: str, tier: str
) -> None:
    """The same through libc calls where the kernel would answer EFAULT."""
    if barrier == "userfault_user" and not userfault.is_there(user_mode=True):
        harness.missing("this kernel has no userfaultfd for ordinary users")
    report = _run(tmp_path, build, barrier, endurance_seconds, seed, fork_every=2)
    assert report["barrier_tier"] == tier
    assert int(report["passes"]) >= FEWEST_PASSES, report
    assert int(report["mesh_count"]) > 0, report


@pytest.mark.parametrize("fork_every", [0, 2])
@both_builds
def test_no_store_is_lost_and_no_call_fails(
    tmp_path: pathlib.Path, endurance_seconds: int, seed: int, build: str, fork_every: int
) -> None:
    """Nothing is lost, nothing fails, no signal comes, and it was userfaultfd that saw to it."""
    report = _run(tmp_path, build, "auto", endurance_seconds, seed, fork_every)
    if not userfault.is_there():
        pytest.skip("the kernel gives this user no full userfaultfd; the contents were right")
    assert report["barrier_tier"] == "userfaultfd"
    assert int(report["passes"]) >= FEWEST_PASSES, report
    assert (int(report["forks"]) > 0) == (fork_every > 0), report
    assert int(report["mesh_count"]) >= FEWEST_MESHES, report
