"""Settings and rights of the whole machine: huge pages everywhere, no memory beyond what is there,
all memory locked. It runs outside of Bazel's sandbox, in which nobody has the rights.

Settings are changed for the seconds that a test takes and put back, only where the machine is ours
alone: with MESH_TEST_SYSTEM_SETTINGS=1, by a user who may change them.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

import pytest

from . import harness, tiers

HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage")
OVERCOMMIT = pathlib.Path("/proc/sys/vm/overcommit_memory")

every_tier = pytest.mark.parametrize("situation", tiers.EVERY, ids=str)


@contextlib.contextmanager
def _set(path: pathlib.Path, value: str) -> Iterator[None]:
    """Changes a setting for a while; skips the test where that is not for us to do."""
    if os.environ.get("MESH_TEST_SYSTEM_SETTINGS") != "1":
        pytest.skip("MESH_TEST_SYSTEM_SETTINGS is not 1")
    text = path.read_text()
    chosen = re.search(r"\[(\w+)\]", text)
    before = chosen.group(1) if chosen else text.strip()
    try:
        path.write_text(value)
    except OSError as error:
        pytest.skip(f"{path} cannot be set: {error}")
    try:
        yield
    finally:
        path.write_text(before)


@every_tier
@pytest.mark.parametrize("views", ["0", "1"])
def test_huge_pages_everywhere(views: str, situation: tiers.Situation, root: pathlib.Path) -> None:
    """Memory that is freed or meshed is gone, though every mapping gets huge pages."""
    with (
        _set(HUGE_PAGES / "enabled", "always"),
        _set(HUGE_PAGES / "shmem_enabled", "always"),
    ):
        settings = {"MESH_EXPECT_FORK": views}
        outcome = tiers.run(root, situation, "huge_pages", settings=settings)
    tiers.check_meshed(outcome, situation)


@every_tier
def test_no_overcommitment(situation: tiers.Situation, root: pathlib.Path) -> None:
    """vm.overcommit_memory=2: reservations are not charged, so the program starts and is meshed."""
    with _set(OVERCOMMIT, "2"):
        outcome = tiers.run(root, situation, "resource_limits", "core", "0")
    tiers.check_meshed(outcome, situation)


def test_no_overcommitment_beside_mappings(root: pathlib.Path) -> None:
    """The same with memory in use, and with large objects that are resized."""
    with _set(OVERCOMMIT, "2"):
        outcome = tiers.run(root, tiers.LAST, "many_mappings", "100", "100")
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)


@pytest.mark.parametrize("barrier", ["userfault", "userfault_user", "segv"])
def test_locked_memory(barrier: str, root: pathlib.Path) -> None:
    """mlockall(MCL_FUTURE): meshed, and what is freed goes back."""
    program = tiers.path("locked_memory")
    if harness.Sandbox(root, None, {}).run(program, status=None).status != 0:
        pytest.skip("this user may not lock the stack of a thread")
    if barrier == "userfault":
        tiers.need_kernel(tiers.FULL)
    sandbox = harness.Sandbox(root, harness.library(), {"MESH_BARRIER": barrier})
    outcome = sandbox.run(program, status=None)
    assert (outcome.status, outcome.stderr) == (0, b""), harness.describe(outcome)
    assert int(outcome.stdout.split()[-1]) > 0, harness.describe(outcome)
