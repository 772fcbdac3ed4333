"""The library is really there: without this every comparison would pass with no library at all."""

import pathlib
import re

import pytest

from . import harness

# Keeps every tenth of many strings, then works on for a while.
HOLES = """
my %kept; my @all = map { "v$_" x 12 } 1 .. 200_000;
for my $i (0 .. $#all) { if ($i % 10) { undef $all[$i] } else { $kept{$i} = $all[$i] } }
for my $round (1 .. 20) { my @some = map { "w$_" x 9 } 1 .. 20_000; @some = (); }
print scalar(keys %kept), "\\n";
"""


def test_library_is_mapped(root: pathlib.Path) -> None:
    """A preloaded program has the library in its address space, a plain one has not."""
    plain = harness.Sandbox(root, None, {}).run("cat", "/proc/self/maps")
    preloaded = harness.Sandbox(root, harness.library(), {}).run("cat", "/proc/self/maps")
    name = str(harness.library()).encode()
    assert name not in plain.stdout
    assert name in preloaded.stdout
    assert preloaded.stderr == b""


def test_statistics_at_exit(root: pathlib.Path) -> None:
    """MALLOCSTATS=1 prints the known lines, each with a number, to stderr and nothing to stdout."""
    if not harness.is_mesh():
        pytest.skip("the library is a stand-in, which knows no MALLOCSTATS")
    sandbox = harness.Sandbox(root, harness.library(), {"MALLOCSTATS": "1"})
    outcome = sandbox.run("sort", stdin=b"b\na\n")
    assert outcome.stdout == b"a\nb\n"
    lines = outcome.stderr.decode().splitlines()
    known = [line for line in lines if line.startswith(harness.STATISTICS)]
    assert [line[: line.index(":") + 1] for line in known] == list(harness.STATISTICS), lines
    assert all(re.search(r":\s+\d+(\.\d)?$", line) for line in known), lines


def test_programs_mesh(root: pathlib.Path) -> None:
    """With the period that half of all runs use, a short program that leaves holes meshes."""
    if not harness.is_mesh():
        pytest.skip("the library is a stand-in, which does not mesh")
    sandbox = harness.Sandbox(root, harness.library(), {**harness.SETTINGS[1], "MALLOCSTATS": "1"})
    outcome = sandbox.run(harness.program("perl"), "-e", HOLES)
    assert outcome.stdout == b"20000\n"
    _, meshed = harness.take_statistics(outcome.stderr)
    assert meshed > 0, harness.describe(outcome)
