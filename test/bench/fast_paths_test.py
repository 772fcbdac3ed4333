"""No fast path of malloc costs more instructions than test/bench/fast_paths.golden says."""

import os
import pathlib
import shutil

import pytest

from python.mesh_tools import allocators, instructions
from test.integration import harness

_GOLDEN = pathlib.Path(os.environ["GOLDEN"])
_PROGRAM = pathlib.Path(os.environ["FAST_PATHS"]).absolute()

_PROFILE = """fl=x
fn=WarmUp
0 3
cfn=MallocFree64
calls=1 0
0 77

fn=Measure
0 40
cob=somewhere
cfn=MallocFree64
calls=1 0
0 1000
cfn=Loop
calls=1 0
0 30

fn=main
cfn=Measure
calls=2 0
0 1070
"""


def test_the_profile_is_read() -> None:
    costs = instructions.parse_profile(_PROFILE)
    assert costs == {"MallocFree64": 1000, "Loop": 30}
    assert instructions.per_round(costs, 10) == {"MallocFree64": 97.0}


def test_a_regression_is_seen() -> None:
    golden = instructions.read_golden(_GOLDEN)
    assert instructions.regressions(golden, golden) == []
    slower = {**golden, "MallocFree64": golden["MallocFree64"] * 1.2}
    assert [r.path for r in instructions.regressions(golden, slower)] == ["MallocFree64"]
    with pytest.raises(instructions.CountError):
        instructions.regressions(golden, {"MallocFree64": 1.0})


def test_a_library_that_is_not_there_is_not_counted() -> None:
    if shutil.which("valgrind") is None:
        harness.missing("valgrind is not installed")
    with pytest.raises(instructions.CountError, match="was not loaded"):
        instructions.count(_PROGRAM, allocators.Allocator("none", preload="/nonexistent/lib.so"))


def test_no_fast_path_has_grown() -> None:
    if os.environ["BUILD"] != "release":
        pytest.skip("counts are of release builds")
    if shutil.which("valgrind") is None:
        harness.missing("valgrind is not installed")
    counts = instructions.count(_PROGRAM, allocators.mesh(harness.library()))
    grown = instructions.regressions(instructions.read_golden(_GOLDEN), counts)
    assert not grown, "\n".join(map(str, grown))
