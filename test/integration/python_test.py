"""CPython: a slice of its own test suite, with every object taken from malloc (PYTHONMALLOC)."""

import pathlib
import re
import shutil

import pytest

from . import harness

# Containers, the garbage collector, strings of every size, threads, child processes, mappings.
MODULES = (
    "test_list",
    "test_dict",
    "test_json",
    "test_gc",
    "test_bytes",
    "test_thread",
    "test_threading",
    "test_subprocess",
    "test_mmap",
    "test_sqlite3",
    "test_zlib",
)

# Tests of time-outs, which wait and depend on the machine's load, the second run of the process
# tests with another polling method, and a test that fails now and then in 3.11 on its own.
LEFT_OUT = (
    "*timeout*",
    "*_dead",
    "*NoPoll*",
    "test_communicate_repeated_call_after_stdout_close",
    "test_join_nondaemon_on_shutdown",
    "test_import_from_another_thread",
)

# A test's result in the verbose output; durations and process ids stand on other lines.
RESULT = re.compile(rb"(?:^|\.\.\. )(ok|FAIL|ERROR|skipped .*|expected failure)$")


# Fewer means that the module did not run at all.
LEAST_RESULTS = 10


def _interpreter() -> str:
    """A python3 that has the `test` package; Debian ships it as libpython3-testsuite."""
    directory = pathlib.Path("/")
    for name in ("python3", "/usr/bin/python3", "/usr/local/bin/python3"):
        found = shutil.which(name)
        if found is None:
            continue
        asked = "import sys, test.test_list; print(sys.executable)"
        outcome = harness.run_program([found, "-c", asked], {"PATH": "/usr/bin:/bin"}, directory)
        if outcome.status == 0:
            return outcome.stdout.decode().strip()
    harness.missing("no python3 with its test suite (libpython3-testsuite)")
    return ""


@pytest.mark.parametrize("module", MODULES)
def test_module(module: str, root: pathlib.Path, repeats: int) -> None:
    """One module: each of its tests has the result that it has without the library."""
    python = _interpreter()
    left_out = [word for pattern in LEFT_OUT for word in ("--ignore", pattern)]

    def scenario(sandbox: harness.Sandbox) -> None:
        outcome = sandbox.run(
            python,
            *("-m", "test", "-v", *left_out, module),
            extra={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"},
            status=None,
            observed=False,
        )
        lines = (outcome.stdout + outcome.stderr).splitlines()
        results = [line for line in lines if RESULT.search(line)]
        assert len(results) >= LEAST_RESULTS, harness.describe(outcome)
        sandbox.observe("results", b"\n".join(results))

    harness.expect_same(scenario, root, repeats)
