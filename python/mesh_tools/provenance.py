"""Where a figure comes from: commit, command, machine. Every table and plot carries it."""

import datetime
import os
import pathlib
import platform
import shlex
import subprocess
from collections.abc import Sequence


def repository() -> pathlib.Path:
    """Returns the source tree: the one `bazel run` was called in, else the current directory."""
    return pathlib.Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))


def user_path(text: str) -> pathlib.Path:
    """Resolves a path that the user typed: relative to where the user stands.

    `bazel run` starts programs in a directory of its own and names the user's.
    """
    return pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), text).absolute()


def commit(directory: pathlib.Path) -> str:
    """Returns the short commit of a work tree, with "+changes" if it differs; or "unknown"."""
    try:
        head = _git(directory, "rev-parse", "--short=10", "HEAD")
        changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed else "")


def command(arguments: Sequence[str], target: str) -> str:
    """Returns the command to type again.

    Args:
        arguments: sys.argv. target: the program as a Bazel target.
    """
    if "BUILD_WORKSPACE_DIRECTORY" in os.environ:
        words = ["bazel", "run", "-c", "opt", target]
        if arguments[1:]:
            words += ["--", *arguments[1:]]
        return shlex.join(words)
    return shlex.join(["python3", *arguments])


def describe(arguments: Sequence[str], target: str) -> dict[str, str]:
    """Returns everything a reader needs to repeat the run and to judge it."""
    return {
        "commit": commit(repository()),
        "command": command(arguments, target),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "kernel": f"{platform.system()} {platform.release()}",
        "processors": str(os.cpu_count()),
        "transparent_huge_pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "overcommit_memory": _read("/proc/sys/vm/overcommit_memory"),
    }


def _git(directory: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(directory), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return "unknown"
