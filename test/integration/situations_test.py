"""One misuse or corner of the malloc interface per program; here stand the outcomes.

The programs are test/programs/*: each checks for itself and exits with 0, or says on stderr what
went wrong. Nothing but what the table states may appear on stdout or stderr.

Environment: MESH_PROGRAMS, the paths of the programs, separated by blanks.
"""

import dataclasses
import os
import pathlib
import signal

import pytest

from . import harness


@dataclasses.dataclass(frozen=True)
class Situation:
    """A program with its arguments, and how it has to end.

    Arguments in braces stand for {plugin}, the plug-in's path, and {file}, a file to write.
    `holds_plainly`: the same outcome is expected of glibc's malloc, and the program is run with it
    too, to test the program.
    """

    program: str
    arguments: tuple[str, ...] = ()
    status: int = 0
    stdout: str = ""
    holds_plainly: bool = True

    def __str__(self) -> str:
        return "-".join((self.program, *(a for a in self.arguments if not a.startswith("{"))))


SITUATIONS = (
    Situation("enomem"),
    # glibc rounds a bad alignment up.
    Situation("bad_alignment", holds_plainly=False),
    Situation("overflow"),
    # glibc aborts at a pointer that it does not know.
    Situation("foreign_pointer", holds_plainly=False),
    Situation("null_cases"),
    Situation("usable_size"),
    Situation("alignment"),
    Situation("calloc_zero"),
    Situation("realloc_content"),
    Situation("huge_object"),
    Situation("errno_preserved"),
    # glibc needs 144 bytes for each of these objects.
    Situation("memalign_cost", holds_plainly=False),
    Situation("new_handler"),
    Situation("delete_forms"),
    Situation("tls_destructor"),
    Situation("early_allocation"),
    Situation(
        "exit_allocation",
        status=3,
        stdout="atexit 1\non_exit 3 1\nstatic 1000\ndestructor 1\n",
    ),
    Situation("dlopen_cycle", ("{plugin}",)),
    Situation("threads", ("1", "20")),
    Situation("threads", ("255", "3")),
    Situation("threads", ("257", "3")),
    Situation("threads", ("1000", "2")),
    Situation("threads", ("5000", "1")),
    Situation("thread_exit_memory"),
    Situation("child_signals"),
    # glibc puts objects of all sizes side by side.
    Situation("classes_apart", holds_plainly=False),
    Situation("idle_return", ("small", "sleep")),
    Situation("idle_return", ("large", "poll")),
    # Only compaction makes up for holes.
    Situation("idle_return", ("holes", "epoll"), holds_plainly=False),
    Situation("idle_return", ("holes", "select", "threads"), holds_plainly=False),
    Situation("idle_return", ("pages", "poll"), holds_plainly=False),
    Situation("idle_return", ("pages", "sleep", "threads"), holds_plainly=False),
    Situation("size_cost", holds_plainly=False),
    Situation("grow_steps"),
    # glibc clears what malloc takes from its top, if that was used before.
    Situation("calloc_fresh", holds_plainly=False),
    Situation("middle_sizes"),
    Situation("limited", ("as",)),
    Situation("limited", ("fsize",)),
    Situation("fork_heap"),
    Situation("fork_mesh_again"),
    Situation("spawn"),
    Situation("signal_state"),
    Situation("closed_descriptors", ("{file}",), stdout="0\n1\n2\n3\n"),
    Situation("ending", ("return",), status=42),
    Situation("ending", ("exit",), status=43),
    Situation("ending", ("_exit",), status=44),
    Situation("ending", ("quick_exit",), status=45),
    Situation("ending", ("abort",), status=-signal.SIGABRT),
    Situation("ending", ("null",), status=-signal.SIGSEGV),
    Situation("ending", ("usr1",), status=-signal.SIGUSR1),
    Situation("ending", ("usr2",), status=-signal.SIGUSR2),
    Situation("ending", ("term",), status=-signal.SIGTERM),
    Situation("ending", ("pipe",), status=-signal.SIGPIPE),
)


def _path(name: str) -> pathlib.Path:
    """The path of a built program or library, by its file name."""
    for word in os.environ.get("MESH_PROGRAMS", "").split():
        if pathlib.Path(word).name == name:
            return pathlib.Path(word).resolve()
    raise AssertionError(f"MESH_PROGRAMS does not list {name}")


def _check(situation: Situation, sandbox: harness.Sandbox) -> None:
    """Runs one situation and compares its end with the table."""
    stands_for = {"{plugin}": str(_path("libplugin.so")), "{file}": "file"}
    arguments = [stands_for.get(argument, argument) for argument in situation.arguments]
    outcome = sandbox.run(_path(situation.program), *arguments, status=None)
    actual = (outcome.status, outcome.stdout, outcome.stderr)
    assert actual == (situation.status, situation.stdout.encode(), b""), harness.describe(outcome)


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_situation(situation: Situation, root: pathlib.Path, repeats: int) -> None:
    """The program ends as the table says, with the library in each of its settings."""
    if situation.holds_plainly:
        _check(situation, harness.Sandbox(root, None, {}))
    for number in range(repeats):
        settings = harness.SETTINGS[number % len(harness.SETTINGS)]
        _check(situation, harness.Sandbox(root, harness.library(), settings))


@pytest.mark.parametrize("is_first", [True, False])
def test_library_beside_another(is_first: bool, root: pathlib.Path) -> None:
    """A second preloaded library allocates in its constructor, before or after ours has run."""
    libraries = [harness.library(), _path("libearly.so")]
    preload = ":".join(map(str, libraries if is_first else reversed(libraries)))
    sandbox = harness.Sandbox(root, None, {})
    outcome = sandbox.run("sort", stdin=b"b\na\n", extra={"LD_PRELOAD": preload})
    assert (outcome.stdout, outcome.stderr) == (b"a\nb\n", b"")


def test_statistics(root: pathlib.Path) -> None:
    """No statistic is always zero, and each follows what it counts."""
    if not harness.is_mesh():
        pytest.skip("the library is a stand-in, which has no statistics")
    outcome = harness.Sandbox(root, harness.library(), {}).run(_path("statistics"))
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


def test_names(root: pathlib.Path) -> None:
    """Every name of the malloc family is there and works; under Mesh it is Mesh that defines it."""
    program = _path("names")
    harness.Sandbox(root, None, {}).run(program)
    if not harness.is_mesh():
        pytest.skip("the library is a stand-in, which need not define every name")
    outcome = harness.Sandbox(root, harness.library(), {}).run(program, harness.library().name)
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


@pytest.mark.parametrize("options", [(), ("--fork",), ("--compact",), ("--fork", "--compact")])
def test_churn(options: tuple[str, ...], root: pathlib.Path, repeats: int) -> None:
    """The stress driver, for seconds; its first line repeats a failed run."""
    for number in range(repeats):
        settings = harness.SETTINGS[number % len(harness.SETTINGS)]
        sandbox = harness.Sandbox(root, harness.library(), settings)
        outcome = sandbox.run(_path("churn"), "--seconds=2", "--threads=4", *options)
        assert outcome.stderr == b"", harness.describe(outcome)
