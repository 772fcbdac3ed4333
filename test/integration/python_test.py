"""CPython's own test suite, with every object taken from malloc (PYTHONMALLOC).

The results by name are what counts: a test that fails with the library and not without it is a
fault of ours, and so is one that no longer runs. Many of the suite's tests depend on time, so that
one which fails is run again, as CPython's own builders do; a crash counts at once. In CI a slice of
more than a hundred modules, without the slowest tests of theirs; with --full all modules, in all
tiers of the write barrier; with --modules those alone.
"""

import dataclasses
import pathlib
import re
import shutil
import xml.etree.ElementTree
from collections.abc import Mapping, Sequence

from . import harness

# What a compacting allocator could break: containers and strings of every size, the garbage
# collector, threads, processes, signals, mappings, calls that fill buffers, and C libraries.
SLICE = """
test_argparse test_array test_ast test_asyncgen test_atexit test_base64 test_bigaddrspace
test_bigmem test_binascii test_bisect test_bufio test_bytes test_bz2 test_calendar test_cmath
test_code test_codecs test_collections test_configparser test_context test_contextlib test_copy
test_coroutines test_crypt test_csv test_ctypes test_dataclasses test_dbm test_decimal
test_defaultdict test_deque test_descr test_dict test_difflib test_dis test_email test_embed
test_enum test_epoll test_faulthandler test_fcntl test_file test_fileio test_float test_fork1
test_format test_fractions test_fstring test_functools test_gc test_generators test_gettext
test_glob test_grammar test_hashlib test_heapq test_hmac test_httplib test_httpservers
test_importlib test_inspect test_int test_io test_ipaddress test_itertools test_json test_list
test_locale test_long test_mailbox test_marshal test_math test_memoryview test_mmap
test_multiprocessing_fork test_openpty test_ordered_dict test_os test_pathlib test_pickle
test_pickletools test_posix test_pprint test_pty test_pyexpat test_queue test_quopri test_random
test_re test_readline test_resource test_runpy test_sax test_sched test_select
test_set test_shelve test_shutil test_signal test_smtplib test_socket test_sort test_sqlite3
test_ssl test_str test_string test_struct test_subprocess test_sys test_tarfile test_tempfile
test_textwrap test_thread test_threadedtempfile test_threading test_threading_local test_time
test_tokenize test_traceback test_tracemalloc test_typing test_unicode test_urllib test_uuid
test_wait3 test_wait4 test_weakref test_weakset test_xml_etree test_zipfile test_zipimport
test_zlib test.test_asyncio.test_base_events test.test_asyncio.test_locks
test.test_asyncio.test_queues test.test_asyncio.test_selector_events
test.test_asyncio.test_streams test.test_asyncio.test_subprocess
test.test_asyncio.test_unix_events
"""

# Tests of time-outs, which wait and depend on the machine's load, and tests that fail now and then
# in 3.11 on their own.
UNSTEADY = (
    "*timeout*",
    "*_dead",
    "*StressTest*",
    "*VSOCK*",
    "test_communicate_repeated_call_after_stdout_close",
    "test_join_nondaemon_on_shutdown",
    "test_import_from_another_thread",
    # Not unsteady: counts its open descriptors, of which Mesh has up to three of its own.
    "test_child_fd_inflation",
)

# The slowest, and the second run of the process tests with another polling method.
SLOW = """
*NoPoll* *WithManager* *WithThreads* *TestPool* *TestBarrier* *TestCondition* *TestListener*
*TestHeap* *TestLock* *TestEvent* *ItimerTest* *Siginterrupt* *WakeupSignal* *ThreadedTests*
*Interrupted* *SignalsTest* *_rlock*
"""

# Modules about displays, sources and programs that are not there, not about the interpreter.
NOT_OURS = """
test_gdb test_idle test_tk test_ttk test_ttk_guionly test_ttk_textonly test_tcl test_tools
test_peg_generator test_distutils test_c_analyzer test_ensurepip
"""

# Fewer results mean that the suite did not run.
LEAST_RESULTS = 3000

# Further chances of a test that fails.
REPEATS = 2

GOOD = ("ok", "skipped")

# A line of the log about a module that did not do well.
NOT_WELL = re.compile(r"\[[ \d/]+\] (\S+) ((?:failed|crashed|timed out)\b.*)")


@dataclasses.dataclass(frozen=True)
class Results:
    """Verdicts by the name of the test, and what became of modules that did not do well."""

    verdicts: Mapping[str, str]
    modules: Mapping[str, str]

    def failed(self) -> set[str]:
        """The tests that failed."""
        return {name for name, verdict in self.verdicts.items() if verdict not in GOOD}

    def good(self) -> set[str]:
        """The tests that did not fail."""
        return self.verdicts.keys() - self.failed()

    def crashed(self) -> set[str]:
        """The modules that a signal ended; one that takes too long ends itself."""
        return {name for name, end in self.modules.items() if "Exit code -" in end}

    def lacks(self, names: set[str]) -> set[str]:
        """Those of the tests that did not run to an end."""
        return names - self.verdicts.keys()


def _interpreter() -> str:
    """A python3 that has the `test` package; Debian ships it as libpython3-testsuite."""
    directory = pathlib.Path("/")
    for name in ("/usr/bin/python3", "/usr/local/bin/python3", "python3"):
        found = shutil.which(name)
        if found is None:
            continue
        asked = "import sys, test.test_list; print(sys.executable)"
        outcome = harness.run_program([found, "-c", asked], {"PATH": "/usr/bin:/bin"}, directory)
        if outcome.status == 0:
            return outcome.stdout.decode().strip()
    harness.missing("no python3 with its test suite (libpython3-testsuite)")
    return ""


def _verdict(case: xml.etree.ElementTree.Element) -> str:
    """What became of one test."""
    for bad in ("error", "failure", "skipped"):
        if case.find(bad) is not None:
            return bad
    return "ok"


def _read(report: pathlib.Path, log: str) -> Results:
    """What ran, from the suite's report and what it printed."""
    cases = xml.etree.ElementTree.parse(report).iter("testcase")
    verdicts = {case.get("name") or case.get("classname") or "": _verdict(case) for case in cases}
    return Results(verdicts, dict(NOT_WELL.findall(log)))


def _run(
    root: pathlib.Path,
    settings: Mapping[str, str] | None,
    full: bool,
    modules: Sequence[str],
    again: Sequence[str] = (),
) -> Results:
    """Runs the suite; `settings` of the preloaded library, None for a plain run.

    Args: modules: what to run, the slice or all if empty. again: the modules to run, one by one;
    all that are wanted if empty.
    """
    library = None if settings is None else harness.library()
    sandbox = harness.Sandbox(root, library, settings or {})
    all_modules = ["-x", *NOT_OURS.split()] if full else SLICE.split()
    left_out = [*UNSTEADY, *(() if full else SLOW.split())]
    outcome = sandbox.run(
        *(_interpreter(), "-m", "test", "-j1" if again else "-j2", "-W", "--timeout", "900"),
        *("--junit-xml", "report.xml", "--tempdir", str(root)),
        *(word for it in left_out for word in ("-i", it)),
        *(again or modules or all_modules),
        extra={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"},
        status=None,
        timeout_s=14400 if full else 1700,
    )
    report = root / "report.xml"
    assert report.is_file(), harness.describe(outcome)
    results = _read(report, outcome.stdout.decode(errors="replace"))
    least = len(modules) or LEAST_RESULTS
    assert again or len(results.verdicts) >= least, harness.describe(outcome)
    return results


def test_suite(root: pathlib.Path, full: bool, modules: Sequence[str]) -> None:
    """No test fails with the library that does not fail without it, and none stays out."""
    plain = _run(root, None, full, modules)
    well = {name for name, verdict in plain.verdicts.items() if verdict == "ok"}
    for settings in harness.TIER_SETTINGS[: None if full else 1]:
        results = _run(root, settings, full, modules)
        new, lost = results.failed() - plain.failed(), results.lacks(well)
        summary = (
            f"{dict(settings)}: {len(results.verdicts)} tests, of which {len(plain.failed())} fail "
            f"plainly; new failures {sorted(new)}, lost {sorted(lost)}"
        )
        print(summary)
        assert not results.crashed() - plain.crashed(), results.modules
        for _ in range(REPEATS):
            if not (new or lost) or not results.modules:
                break
            results = _run(root, settings, full, modules, list(results.modules))
            # A failure of a class as a whole has a name of its own, which success has not.
            new = new - results.good() if results.modules else set()
            lost = results.lacks(lost)
            print(f"again: {sorted(new)}, {sorted(lost)}")
            assert not results.crashed() - plain.crashed(), results.modules
        assert not new and not lost, f"{summary}; again {sorted(new)}, {sorted(lost)}"
