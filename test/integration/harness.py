"""Runs a scenario with and without the preloaded library and compares all that can be seen.

A scenario is a function that runs programs in a sandbox directory. `expect_same` runs it once
plainly and then as often as asked with LD_PRELOAD set to the library that MESH_LIB names, half of
the runs with the library's default settings and half with frequent meshing. Exit status, stdout,
stderr and whatever else the scenario observes have to be equal, byte for byte.

Environment: MESH_LIB, the library (any preloadable allocator will do for work on the tests
themselves). MESH_REQUIRE_PROGRAMS=1 turns a missing program from a skip into a failure.
"""

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence

import pytest

# A short and busy program meshes too: every 10 ms instead of 100, and with a quarter of a processor
# instead of a hundredth.
EAGER: Mapping[str, str] = {"MESH_PERIOD_MS": "10", "MESH_CPU_PERCENT": "25"}

# The settings that the runs of a scenario take in turn.
SETTINGS: Sequence[Mapping[str, str]] = ({}, EAGER)

# The same in the tier that the process may have, and in the two below it.
TIER_SETTINGS: Sequence[Mapping[str, str]] = tuple(
    {**EAGER, "MESH_BARRIER": tier} for tier in ("auto", "userfault_user", "segv")
)

# The lines of MALLOCSTATS=1, in the order that scripts which read them rely on.
STATISTICS = (
    "MESH COUNT:",
    "Meshed MB (total):",
    "Meshed pages HWM:",
    "Meshed MB HWM:",
    "MH Alloc Count:",
    "MH Free  Count:",
    "MH High Water Mark:",
)

# What no program needs, on a slow and busy machine either [s]: a time-out is for what hangs.
LONGEST_S = 300.0

# Longest excerpt of unequal output in a failure's text, in bytes.
EXCERPT_BYTES = 2000


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What is left of one finished program; a negative status is the signal that ended it."""

    command: str
    status: int
    stdout: bytes
    stderr: bytes


class Sandbox:
    """One empty directory with a fixed environment, in which a scenario runs its programs.

    Args: root: the directory; made, and emptied if it exists. library: what to preload, None for a
    plain run. settings: further environment of the preloaded runs.
    """

    def __init__(
        self, root: pathlib.Path, library: pathlib.Path | None, settings: Mapping[str, str]
    ) -> None:
        self.root = root
        self.observations: list[tuple[str, bytes]] = []
        self._environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(root),
            "TMPDIR": str(root),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        if library is not None:
            self._environment["LD_PRELOAD"] = str(library)
            self._environment.update(settings)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    def write(self, name: str, content: str | bytes) -> pathlib.Path:
        """Writes a file of the sandbox and returns its path."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def observe(self, what: str, content: bytes) -> None:
        """Adds something to what has to be equal with and without the library."""
        self.observations.append((what, content))

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of the sandbox's programs, with `extra` on top."""
        return {**self._environment, **(extra or {})}

    def run(
        self,
        *command: str | pathlib.Path,
        stdin: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_s: float = LONGEST_S,
        status: int | None = 0,
        observed: bool = True,
    ) -> Outcome:
        """Runs one program to its end in the sandbox's directory.

        Args: extra: environment on top. status: the exit status it must have, None for any, which
        then has to be equal. observed: whether its output is among what has to be equal; False for
        output with times or process ids in it.
        Raises: AssertionError: another status, or not ended within timeout_s.
        """
        outcome = run_program(command, self.environment(extra), self.root, stdin, timeout_s)
        assert status in (None, outcome.status), describe(outcome)
        self.observe(f"status of {outcome.command}", str(outcome.status).encode())
        if observed:
            self.observe(f"stdout of {outcome.command}", outcome.stdout)
            self.observe(f"stderr of {outcome.command}", outcome.stderr)
        return outcome


Scenario = Callable[[Sandbox], None]


def library() -> pathlib.Path:
    """The library under test, from MESH_LIB."""
    path = os.environ.get("MESH_LIB", "")
    assert path, "MESH_LIB has to name the library to preload"
    resolved = pathlib.Path(path).resolve()
    assert resolved.is_file(), f"no library at {resolved}"
    return resolved


def is_mesh() -> bool:
    """Whether the library under test is Mesh, not a stand-in."""
    return library().name.startswith("libmesh")


def is_root() -> bool:
    """Whether the programs run as root unless told otherwise."""
    return os.getuid() == 0


def program(name: str) -> str:
    """The path of an installed program; skips the test (or fails it, in CI) where there is none."""
    # Servers are where an ordinary user's PATH does not lead.
    path = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        missing(f"{name} is not installed")
    return path or ""


def missing(reason: str) -> None:
    """Skips the running test for `reason`, or fails it where everything has to be installed."""
    if os.environ.get("MESH_REQUIRE_PROGRAMS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run_program(
    command: Sequence[str | pathlib.Path],
    environment: Mapping[str, str],
    directory: pathlib.Path,
    stdin: bytes = b"",
    timeout_s: float = LONGEST_S,
) -> Outcome:
    """Runs a program to its end, or ends it with all its children after timeout_s.

    Raises: AssertionError: it did not end in time; the text holds what it had written.
    """
    text = shlex.join(map(str, command))
    with subprocess.Popen(
        list(map(str, command)),
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            late = Outcome(text, process.returncode, stdout, stderr)
            raise AssertionError(f"not ended after {timeout_s} s: {describe(late)}") from None
    return Outcome(text, process.returncode, stdout, stderr)


def describe(outcome: Outcome) -> str:
    """An outcome as text for a failure."""
    stdout, stderr = (
        text[-EXCERPT_BYTES:].decode(errors="replace") for text in (outcome.stdout, outcome.stderr)
    )
    return f"{outcome.command}\nstatus {outcome.status}\nstdout: {stdout}\nstderr: {stderr}"


def take_statistics(stderr: bytes) -> tuple[bytes, int]:
    """Takes what MALLOCSTATS=1 printed out of a program's standard error.

    Returns: the rest; spans meshed, in all processes that printed it.
    """
    known = tuple(name.encode() for name in STATISTICS)
    rest = [line for line in stderr.splitlines(keepends=True) if not line.startswith(known)]
    counts = re.findall(rb"(?m)^MESH COUNT:\s+(\d+)$", stderr)
    return b"".join(rest), sum(map(int, counts))


def expect_same(
    scenario: Scenario,
    root: pathlib.Path,
    repeats: int,
    every_settings: Sequence[Mapping[str, str]] = SETTINGS,
    preload: pathlib.Path | None = None,
) -> None:
    """Runs `scenario` once plainly and `repeats` times with the library; all must look the same.

    The sandbox has the same path in every run, so that paths in outputs compare equal.
    Args: every_settings: what the runs take in turn. preload: another copy of the library.
    """
    plain = Sandbox(root, None, {})
    scenario(plain)
    for number in range(repeats):
        settings = every_settings[number % len(every_settings)]
        preloaded = Sandbox(root, preload or library(), settings)
        scenario(preloaded)
        difference = first_difference(plain.observations, preloaded.observations)
        if difference:
            pytest.fail(f"run {number + 1} of {repeats}, settings {dict(settings)}: {difference}")


def first_difference(
    expected: Sequence[tuple[str, bytes]], actual: Sequence[tuple[str, bytes]]
) -> str:
    """The first observation that differs, with an excerpt from both; empty if all are equal."""
    if [what for what, _ in expected] != [what for what, _ in actual]:
        return f"other observations: {[w for w, _ in expected]} and {[w for w, _ in actual]}"
    for (what, plain), (_, preloaded) in zip(expected, actual, strict=True):
        if plain == preloaded:
            continue
        equal = (a == b for a, b in zip(plain, preloaded, strict=False))
        at = next(
            (at for at, same in enumerate(equal) if not same), min(len(plain), len(preloaded))
        )
        start = max(0, at - 200)
        return (
            f"{what} differs at byte {at} of {len(plain)} and {len(preloaded)}\n"
            f"plain: {plain[start : at + EXCERPT_BYTES]!r}\n"
            f"preloaded: {preloaded[start : at + EXCERPT_BYTES]!r}"
        )
    return ""
