"""Records the calls of malloc's family that a program makes, as a trace for the replay benchmark.

    tools/bazel run //python:record_trace -- --output=jq.trace -- jq . file.json

Only the program itself is recorded, not what it starts. Exit status: the program's own; 1 where
nothing was recorded, 2 bad flags.
"""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence

from absl import flags

from python.mesh_tools import command_line, provenance, trace

_PROGRAM = "record_trace"
_TARGET = "//python:record_trace"

_OUTPUT = flags.DEFINE_string("output", None, "Where the trace is written.", required=True)
_CALLS = flags.DEFINE_integer("calls", 10_000, "Length of the trace at most.", lower_bound=1)

_HEAD_COLUMNS = 90


def main(argv: Sequence[str]) -> int:
    """Runs the program that the command line names; returns the exit status."""
    command = list(argv[1:])
    if not command:
        command_line.say(_PROGRAM, "which program? record_trace --output=FILE -- PROGRAM ...")
        return command_line.EXIT_USAGE
    try:
        library = command_line.built_file("test/bench/librecorder.so", _TARGET)
    except command_line.UsageError as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE
    with tempfile.TemporaryDirectory(prefix="mesh-trace-") as scratch:
        # env becomes the program, so its process id is the program's.
        process = subprocess.Popen(
            ["env", f"LD_PRELOAD={library}", f"MESH_TRACE={scratch}/calls", *command],
            cwd=os.environ.get("BUILD_WORKING_DIRECTORY", "."),
        )
        status = process.wait()
        recording = pathlib.Path(scratch, f"calls.{process.pid}")
        if not recording.exists():
            command_line.say(_PROGRAM, "nothing was recorded")
            return command_line.EXIT_WRONG
        lines = list(trace.convert(trace.read_records(recording.read_bytes()), _CALLS.value))
    # One line, and one that the reader's buffer holds.
    program = textwrap.shorten(shlex.join(command), _HEAD_COLUMNS, placeholder=" ...")
    head = f"# {len(lines)} calls of: {program}"
    provenance.user_path(_OUTPUT.value).write_text("\n".join([head, *lines]) + "\n")
    print(f"{len(lines)} calls", file=sys.stderr)
    return status


if __name__ == "__main__":
    command_line.run(_PROGRAM, main, takes_arguments=True)
