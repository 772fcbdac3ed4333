"""Runs every static check on the work tree: `make lint`, or with --fix `make format`.

Formatters and Python linters come pinned from python/requirements.lock, so that every machine
agrees; clang-tidy is the machine's own.
"""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from absl import app, flags

from tools.checks import house, layers, safety
from tools.checks.source_tree import CPP_SUFFIXES, SourceTree

_FIX = flags.DEFINE_bool("fix", False, "Repairs what clang-format and ruff can repair.")
_ONLY = flags.DEFINE_list("only", [], "Names of the steps to run; all of them if empty.")
_JOBS = flags.DEFINE_integer("jobs", os.cpu_count() or 1, "Files that clang-tidy reads at once.")

_CONFIG = "tools/checks"


@dataclasses.dataclass(frozen=True)
class Step:
    """A name for --only, and a function from the tree to findings."""

    name: str
    run: Callable[[SourceTree], list[str]]


def _findings_of(tree: SourceTree, command: list[str]) -> list[str]:
    """Runs a linter; what it says is a finding if it fails."""
    done = subprocess.run(
        command,
        cwd=tree.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode == 0:
        return []
    return done.stdout.strip().splitlines() or [f"{command[0]} failed: {done.returncode}"]


def _packaged(name: str) -> str:
    """A program that came with a Python package, beside the interpreter or on PATH."""
    beside = pathlib.Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else name


def _clang_format(tree: SourceTree) -> list[str]:
    mode = ["-i"] if _FIX.value else ["--dry-run", "-Werror"]
    files = tree.select(suffixes=CPP_SUFFIXES)
    return _findings_of(tree, [_packaged("clang-format"), *mode, *files])


def _tidy_command(path: str) -> list[str]:
    googletest = os.environ.get("GOOGLETEST_SRC", "/usr/src/googletest")
    language = ["-xc++", "-std=c++20", "-fno-exceptions", "-fno-rtti"]
    return [
        "clang-tidy", "--quiet", "--warnings-as-errors=*", path, "--", *language,
        "-DMESH_DEBUG=1", "-Wthread-safety", "-iquote.", "-Isrc/libmesh",
        "-Ithird_party/heap-layers/include", f"-isystem{googletest}/googletest/include",
    ]  # fmt: skip


def _clang_tidy(tree: SourceTree) -> list[str]:
    """The library's sources, and through them its headers; tests have the compiler's warnings."""
    if shutil.which("clang-tidy") is None:
        return ["clang-tidy is not installed (tools/setup lint)"]
    files = tree.select(under=("src/",), suffixes=(".cc",))
    with concurrent.futures.ThreadPoolExecutor(_JOBS.value) as pool:
        results = pool.map(lambda path: _findings_of(tree, _tidy_command(path)), files)
        lines = [line for result in results for line in result]
    noise = re.compile(r"^\d+ warnings?|^Suppressed |^Use -header-filter|^$")
    # A header's finding comes once for each source that includes it.
    return list(dict.fromkeys(line for line in lines if not noise.search(line)))


def _ruff(tree: SourceTree) -> list[str]:
    files = tree.select(suffixes=(".py",))
    config = ["--config", f"{_CONFIG}/ruff.toml", "--no-cache"]
    fix = ["--fix"] if _FIX.value else []
    check = [] if _FIX.value else ["--check"]
    program = _packaged("ruff")
    return _findings_of(tree, [program, "check", "--quiet", *config, *fix, *files]) + _findings_of(
        tree, [program, "format", "--quiet", *config, *check, *files]
    )


def _mypy(tree: SourceTree) -> list[str]:
    files = tree.select(suffixes=(".py",))
    config = ["--config-file", f"{_CONFIG}/mypy.ini", "--cache-dir=/dev/null"]
    return _findings_of(tree, [sys.executable, "-m", "mypy", *config, *files])


def _shellcheck(tree: SourceTree) -> list[str]:
    """Optional: runs where the machine has it."""
    if shutil.which("shellcheck") is None:
        return []
    scripts = [p for p in tree.paths if tree.text(p).startswith(("#!/bin/bash", "#!/bin/sh"))]
    return _findings_of(tree, ["shellcheck", *scripts])


def _rustfmt(tree: SourceTree) -> list[str]:
    if shutil.which("rustfmt") is None:
        return ["rustfmt is not installed (tools/setup lint)"]
    mode = [] if _FIX.value else ["--check"]
    files = tree.select(under=("rust/",), suffixes=(".rs",))
    return _findings_of(tree, ["rustfmt", "--config-path=rust", *mode, *files])


def _clippy(tree: SourceTree) -> list[str]:
    """Reads the bindings without the library behind them, which it need not build."""
    if shutil.which("cargo-clippy") is None:
        return ["clippy is not installed (tools/setup lint)"]
    manifest = "--manifest-path=rust/Cargo.toml"
    fetch = ["cargo", "fetch", "--quiet", "--locked", manifest]
    if _findings_of(tree, [*fetch, "--offline"]) and (findings := _findings_of(tree, fetch)):
        return findings
    clippy = ["cargo", "clippy", "--quiet", "--offline", "--locked", manifest]
    return _findings_of(
        tree,
        ["env", "DOCS_RS=1", *clippy, "--target-dir=rust/target/clippy", "--workspace",
         "--all-targets", "--features=allocator-api2", "--", "-D", "warnings",
         # Wrong in older versions, where what is collected has an effect.
         "-A", "clippy::needless_collect"],
    )  # fmt: skip


STEPS = (
    Step("clang-format", _clang_format),
    Step("ruff", _ruff),
    Step("mypy", _mypy),
    Step("shellcheck", _shellcheck),
    Step("rustfmt", _rustfmt),
    Step("clippy", _clippy),
    Step("house", house.check),
    Step("layers", layers.check),
    Step("safety", safety.check),
    Step("clang-tidy", _clang_tidy),
)


def main(argv: list[str]) -> int:
    del argv
    unknown = set(_ONLY.value) - {step.name for step in STEPS}
    if unknown:
        raise app.UsageError(f"--only: no such step: {', '.join(sorted(unknown))}")
    # `bazel run` starts programs in the runfiles and names the work tree here.
    root = pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    failed = 0
    for step in STEPS:
        if _ONLY.value and step.name not in _ONLY.value:
            continue
        start = time.monotonic()
        findings = step.run(SourceTree.of_git(root))
        seconds = time.monotonic() - start
        verdict = "FAILED" if findings else "ok"
        print("".join(f"{line}\n" for line in findings), end="")
        print(f"lint: {step.name:12} {verdict:6} {seconds:6.1f} s", flush=True)
        failed += bool(findings)
    return 1 if failed else 0


if __name__ == "__main__":
    app.run(main)
