"""Wears Mesh out, or another allocator, and checks every byte that is read back.

    mesh stress threads    threads replace random objects, and free each other's; takes a compiler
    mesh stress fragment   the same with nine of ten objects dropped again and again
    mesh stress redis      the paper's Redis experiment, at any size; takes redis-server
    mesh stress python     text of which every tenth is kept, on malloc alone; takes python3
    mesh stress ruby       the same; takes ruby

Exit status: 1 if a value was wrong or the program failed.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from .. import (
    allocators,
    command_line,
    provenance,
    redis_experiment,
    redis_server,
    resp,
    results,
    stress_scripts,
)

_KINDS = ("threads", "fragment", "redis", "python", "ruby")
_SCRIPTS = {
    "python": (("python3", "-c", stress_scripts.PYTHON), {"PYTHONMALLOC": "malloc"}),
    "ruby": (("ruby", "-e", stress_scripts.RUBY), {}),
}
_SOURCE = pathlib.Path(__file__).resolve().parent.parent / "stress.c"
_PHASES = 10
_KEEP_EVERY = {"threads": 1, "fragment": 10}
_VALUE_BYTES = (240, 492)
# Of the experiment's keys, those of the second fill.
_SECOND_FILL = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("kind", metavar="KIND", choices=_KINDS, help=", ".join(_KINDS))
    parser.add_argument("--threads", type=int, default=4, help="default 4")
    parser.add_argument("--load", type=int, default=10_000, help="objects of a thread; 10000")
    parser.add_argument(
        "--iterations",
        type=int,
        default=1_000_000,
        help="objects that a thread replaces, or that Python or Ruby make; default 1000000",
    )
    parser.add_argument("--keys", type=int, default=200_000, help="redis: of the first fill")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--result", metavar="FILE", help="write what came of it as JSON")
    parser.add_argument("--peer", metavar="NAME=LIBRARY", help="another allocator instead of Mesh")
    parser.add_argument("--library", metavar="FILE", help="libmesh.so; default: the installed one")


def run(arguments: argparse.Namespace) -> int:
    """Runs it, prints and writes the result."""
    counts = (arguments.threads, arguments.load, arguments.iterations, arguments.keys)
    if min(counts) < 1 or arguments.seed < 0:
        raise command_line.UsageError("counts have to be at least 1, and the seed at least 0")
    if arguments.peer is not None:
        (allocator,) = command_line.peers([arguments.peer])
    else:
        allocator = allocators.mesh(command_line.find_library(arguments.library))
    if arguments.kind == "redis":
        found = _redis(arguments, allocator)
    elif arguments.kind in _SCRIPTS:
        found = _script(arguments, allocator)
    else:
        found = _threads(arguments, allocator)
    found = {"kind": arguments.kind, "allocator": allocator.name, "seed": arguments.seed, **found}
    print(json.dumps(found))
    if arguments.result is not None:
        origin = provenance.describe(sys.argv, "//python:mesh")
        text = json.dumps({**found, "provenance": origin}, indent=1)
        try:
            provenance.user_path(arguments.result).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise command_line.UsageError(f"--result: {error.strerror}") from error
    return command_line.EXIT_WRONG if found["wrong"] else 0


def _threads(
    arguments: argparse.Namespace, allocator: allocators.Allocator
) -> dict[str, int | float | str]:
    with (
        tempfile.TemporaryDirectory(prefix="mesh-stress-") as scratch,
        command_line.progress_bar(command_line.make_console(stderr=True)) as bar,
    ):
        program = _compile(pathlib.Path(scratch))
        numbers = (
            arguments.threads,
            arguments.load,
            arguments.iterations,
            _KEEP_EVERY[arguments.kind],
            arguments.seed,
        )
        task = bar.add_task(arguments.kind, total=arguments.threads * _PHASES)
        environment = allocator.make_environment()
        errors = pathlib.Path(scratch, "stderr")
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                [program, *map(str, numbers)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
            found: dict[str, int | float | str] = {}
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    found = json.loads(line)
                else:
                    bar.advance(task)
            status = process.wait()
        said = errors.read_text(errors="replace")
    if not found:
        last = said.strip().splitlines()[-1:] or [""]
        return {"wrong": 1, "failed": f"ended with status {status} {last[0]}".strip()}
    report = allocators.parse_mesh_report(said)
    return {**found, **({} if report is None else {"meshes": report.meshes})}


def _script(
    arguments: argparse.Namespace, allocator: allocators.Allocator
) -> dict[str, int | float | str]:
    (name, *options), settings = _SCRIPTS[arguments.kind]
    path = shutil.which(name)
    if path is None:
        raise command_line.UsageError(f"it takes {name}, which is not on PATH")
    numbers = (str(arguments.iterations), str(arguments.seed))
    done = subprocess.run(
        [path, *options, *numbers],
        env={**allocator.make_environment(), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return {"wrong": 1, "failed": f"ended with status {done.returncode} {last[0]}".strip()}
    found: dict[str, int | float | str] = json.loads(done.stdout)
    report = allocators.parse_mesh_report(done.stderr)
    return {**found, **({} if report is None else {"meshes": report.meshes})}


def _compile(scratch: pathlib.Path) -> pathlib.Path:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        raise command_line.UsageError("it takes a C compiler: there is no cc on PATH")
    program = scratch / "stress"
    done = subprocess.run(
        [compiler, "-O1", "-fno-builtin", "-pthread", "-o", program, _SOURCE],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise command_line.UsageError(f"{compiler} cannot compile {_SOURCE}")
    return program


def _redis(
    arguments: argparse.Namespace, allocator: allocators.Allocator
) -> dict[str, int | float | str]:
    executable = shutil.which("redis-server")
    if executable is None:
        raise command_line.UsageError("it takes redis-server: apt-get install redis-server")
    second = max(1, arguments.keys // _SECOND_FILL)
    plan = redis_experiment.Plan(
        executable=executable,
        fills=[
            redis_experiment.Fill(arguments.keys, _VALUE_BYTES[0]),
            redis_experiment.Fill(second, _VALUE_BYTES[1]),
        ],
        # As in the paper: a cache that holds a seventh of what the first fill needs and more.
        maxmemory_bytes=max(10, arguments.keys // 7000) * results.MB,
        pause_s=1.5,
        reads=0,
        settle_s=2.0,
        sample_ms=100.0,
        seed=arguments.seed,
    )
    with command_line.progress_bar(command_line.make_console(stderr=True)) as bar:
        task = bar.add_task("redis", total=2 * (arguments.keys + second))

        def progress(what: str, done: int) -> None:
            bar.update(task, description=what, advance=done)

        try:
            payloads = redis_experiment.encode(plan, progress)
            done = redis_experiment.run(plan, allocator, payloads, 0, progress)
        except (
            redis_server.ServerFailed,
            resp.ServerError,
            redis_experiment.PreloadIneffective,
            OSError,
        ) as error:
            return {"wrong": 1, "failed": str(error)}
    return {
        "checked": done.checked,
        "wrong": done.wrong if done.is_right else max(1, done.wrong),
        "physical_bytes": done.settled.physical_bytes,
        "live_bytes": done.live_bytes,
        "seconds": round(sum(done.fill_ms) / 1000, 3),
        **({} if done.mesh is None else {"meshes": done.mesh.meshes}),
    }
