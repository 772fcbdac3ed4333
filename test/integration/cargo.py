"""Runs cargo in the Rust workspace of the work tree.

What cargo builds stays in rust/target, as if it was called by hand; a test that calls it must not
run in a sandbox. Dependencies are fetched once, and everything else is done offline.
"""

import dataclasses
import functools
import json
import os
import pathlib
import re
import subprocess
from collections.abc import Mapping, Sequence

from test.integration import harness

# The workspace in the work tree, where the links to the library's sources lead somewhere.
WORKSPACE = pathlib.Path(__file__).resolve().parents[2] / "rust"

TARGET = WORKSPACE / "target"


@dataclasses.dataclass(frozen=True)
class Build:
    """A way to build the crates: features, a directory below TARGET, variables."""

    features: Sequence[str]
    directory: str
    variables: Mapping[str, str]

    def arguments(self) -> list[str]:
        """What cargo has to be told."""
        return [f"--features={','.join(self.features)}", f"--target-dir={TARGET / self.directory}"]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What cargo and the programs it starts find around them; no option of Mesh's but `extra`."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MESH_", "CARGO_TARGET"))}
    own.setdefault("HOME", str(pathlib.Path("~").expanduser()))
    # Debug information is most of what a build would write.
    small = {"CARGO_INCREMENTAL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
    return {**own, **small, "CARGO_TERM_COLOR": "never", **extra}


def run(
    *arguments: str | pathlib.Path,
    directory: pathlib.Path = WORKSPACE,
    extra: Mapping[str, str] | None = None,
    must_succeed: bool = True,
) -> harness.Outcome:
    """Runs `cargo arguments`.

    Raises: AssertionError: it failed, and that was not asked for.
    """
    outcome = harness.run_program(
        [harness.program("cargo"), *arguments],
        environment(extra or {}),
        directory,
        timeout_s=4 * harness.LONGEST_S,
    )
    assert outcome.status == 0 or not must_succeed, harness.describe(outcome)
    return outcome


@functools.cache
def fetch() -> None:
    """Sees to it that all that Cargo.lock names is there; skips the test (in CI: fails) if not."""
    for offline in (["--offline"], []):
        if run("fetch", "--locked", *offline, must_succeed=False).status == 0:
            return
    harness.missing("the crates that rust/Cargo.lock names cannot be fetched")


@functools.cache
def rust_version() -> tuple[int, int]:
    """Major and minor version of the compiler that cargo calls."""
    text = subprocess.run(
        [harness.program("rustc"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"rustc (\d+)\.(\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def run_tests(build: Build, *arguments: str) -> int:
    """Runs `cargo test arguments` and returns how many tests of the harness passed."""
    fetch()
    outcome = run(
        "test", "--offline", "--locked", *build.arguments(), *arguments, extra=build.variables
    )
    results = re.findall(rb"^test result: ok\. (\d+) passed; 0 failed", outcome.stdout, re.M)
    return sum(int(passed) for passed in results)


def test_program(build: Build, name: str) -> pathlib.Path:
    """Builds a test of mesh-alloc as a program and returns its path."""
    fetch()
    outcome = run(
        "test", "--offline", "--locked", "--no-run", "--package=mesh-alloc", f"--test={name}",
        *build.arguments(), "--message-format=json", extra=build.variables,
    )  # fmt: skip
    messages = [json.loads(line) for line in outcome.stdout.splitlines() if line.startswith(b"{")]
    paths = [m["executable"] for m in messages if m.get("target", {}).get("name") == name]
    assert len(paths) == 1, harness.describe(outcome)
    return pathlib.Path(paths[0])
