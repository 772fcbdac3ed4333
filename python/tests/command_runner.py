"""Runs the `mesh` command as a user types it."""

import os
import subprocess
import sys

from python.tests import mesh_program

MESH = [sys.executable, "-m", "python.mesh_tools.cli"]
QUIET = {"MESH_PERIOD_MS": "0"}
NO_PROCESS = "4194999"
TIMEOUT_S = 300


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "MESH_LIBRARY": str(mesh_program.LIBRARY),
        "PYTHONIOENCODING": "utf-8",
    }


def mesh(*arguments: object, status: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*MESH, *map(str, arguments)],
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    return done


def refused(*arguments: object) -> str:
    """Runs a command that has to fail with status 2 and one line; returns the line."""
    done = mesh(*arguments, status=2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip("\n")
