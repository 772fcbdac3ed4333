"""Counts the instructions of malloc's fast paths with callgrind, and keeps them from growing.

No clock is involved, so a busy machine does not matter: the counts of a build are the same from run
to run. The golden file has a line `PATH COUNT` per fast path of test/bench/fast_paths.cc, counted
with gcc in a release build; another compiler's may differ, which is what the tolerance is for.
"""

import dataclasses
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping

from . import allocators

# Its cost, that of the loops themselves, is taken off the others.
LOOP = "Loop"
# A path may cost this much more than the golden file says: a part, and whole instructions.
TOLERANCE = 0.05
SLACK_INSTRUCTIONS = 1.0

_ROUNDS = 20_000
_TIMEOUT_S = 300
_CALL = re.compile(
    r"^cfn=(?P<path>\S+)\n(?:calls=.*\n)\S+ (?P<cost>\d+)$",
    re.MULTILINE,
)


class CountError(Exception):
    """valgrind is missing or failed, or the allocator was not in the program."""


@dataclasses.dataclass(frozen=True)
class Regression:
    """A path that costs more instructions than it did, `now` against `golden`."""

    path: str
    golden: float
    now: float

    def __str__(self) -> str:
        return f"{self.path}: {self.now:.1f} instructions, {self.golden:.1f} in the golden file"


def parse_profile(text: str) -> dict[str, int]:
    """Reads what Measure() spent in each function that it called.

    Args:
        text: a callgrind profile with uncompressed names.

    Returns:
        Function to instructions, its callees' included.
    Source: Valgrind manual, "Callgrind Format Specification".
    """
    costs: dict[str, int] = {}
    for block in re.split(r"\n(?=fn=)", text):
        if block.startswith("fn=Measure\n"):
            for call in _CALL.finditer(block.split("\n\n")[0]):
                costs[call["path"]] = costs.get(call["path"], 0) + int(call["cost"])
    return costs


def per_round(costs: Mapping[str, int], rounds: int) -> dict[str, float]:
    """Returns the instructions of one round of each path, without those of the loop around it."""
    if LOOP not in costs:
        raise CountError("the profile has no measurement of the empty loop")
    return {
        path: (cost - costs[LOOP]) / rounds for path, cost in sorted(costs.items()) if path != LOOP
    }


def count(program: pathlib.Path, allocator: allocators.Allocator) -> dict[str, float]:
    """Counts the instructions of each fast path.

    Args:
        program: fast_paths, built. allocator: what it runs on.

    Returns:
        Path to instructions per round, sorted by path.

    Raises:
        CountError: valgrind is missing or failed, or the allocator's library was never loaded.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise CountError("valgrind is not installed")
    preload = [f"LD_PRELOAD={allocator.preload}"] if allocator.preload else []
    with tempfile.TemporaryDirectory(prefix="mesh-callgrind-") as scratch:
        profile = pathlib.Path(scratch, "profile")
        # env sets LD_PRELOAD, so that valgrind itself does not get it.
        command = [valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={profile}"]
        command += ["--compress-strings=no", "--compress-pos=no", "--trace-children=yes"]
        command += ["env", *preload, str(program), str(_ROUNDS)]
        plain = allocators.Allocator("valgrind", environment=allocator.environment)
        done = subprocess.run(
            command,
            env=plain.make_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        if done.returncode != 0 or not profile.is_file():
            raise CountError(f"status {done.returncode} of valgrind: {done.stderr.strip()}")
        text = profile.read_text()
    if allocator.preload and pathlib.Path(allocator.preload).resolve().name not in text:
        raise CountError(f"{allocator.preload} was not loaded")
    return per_round(parse_profile(text), _ROUNDS)


def read_golden(path: pathlib.Path) -> dict[str, float]:
    """Reads a golden file; lines that begin with # are comments."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def write_golden(path: pathlib.Path, counts: Mapping[str, float]) -> None:
    """Writes a golden file, keeping the comments of the one that is there."""
    old = path.read_text().splitlines() if path.exists() else []
    comments = [line for line in old if line.startswith("#")]
    lines = [f"{name} {value:.1f}" for name, value in counts.items()]
    path.write_text("\n".join([*comments, *lines]) + "\n")


def regressions(golden: Mapping[str, float], counts: Mapping[str, float]) -> list[Regression]:
    """Compares; a path that only one side has is an error of the golden file.

    Raises:
        CountError: the paths are not the same.
    """
    if set(golden) != set(counts):
        raise CountError(f"other paths than in the golden file: {set(golden) ^ set(counts)}")
    return [
        Regression(path, golden[path], now)
        for path, now in counts.items()
        if now > golden[path] * (1 + TOLERANCE) + SLACK_INSTRUCTIONS
    ]
