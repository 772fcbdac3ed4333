"""Says what this machine offers to Mesh, what each thing means, and how to change it.

Exit status: 0 programs with threads are compacted here; 1 something is in the way; 2 bad arguments.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
from collections.abc import Callable

from rich.markup import escape
from rich.table import Table

from .. import command_line

_GOOD, _NOTE, _BAD = "ok", "note", "bad"
_COLOURS = {_GOOD: "green", _NOTE: "yellow", _BAD: "red"}

_PLENTY_OF_MAPPINGS = 1_000_000
_SMALLEST_ADDRESS_SPACE = 1 << 30
_PROBE_TIMEOUT_S = 60

# Runs with Mesh and a second thread, makes holes in its heap, meshes, and says by which barrier.
_PROBE = """
import ctypes, threading
mallctl = ctypes.CDLL(None).mesh_mallctl
stop = threading.Event()
threading.Thread(target=stop.wait, daemon=True).start()
held = [bytes(100) for _ in range(20000)][::10]
mallctl(b"mesh.compact", None, None, None, None)
for key, kind in ((b"stats.barrier_tier", ctypes.c_char_p), (b"stats.mesh_count", ctypes.c_size_t)):
    value, size = kind(), ctypes.c_size_t(8)
    assert mallctl(key, ctypes.byref(value), ctypes.byref(size), None, None) == 0
    print(value.value.decode() if kind is ctypes.c_char_p else value.value)
stop.set()
"""

_TIERS = {
    "userfaultfd": (_GOOD, "the best: stores wait in the kernel, nothing is interposed"),
    "userfaultfd user mode": (
        _NOTE,
        "good; calls that store through the kernel are watched. For the best: "
        "sysctl vm.unprivileged_userfaultfd=1, or CAP_SYS_PTRACE",
    ),
    "segv": (
        _NOTE,
        "works through SIGSEGV: slower pauses. A seccomp filter or kernel without userfaultfd; "
        "in containers allow the system call userfaultfd",
    ),
    "none": (_BAD, "no barrier is to be had, programs with threads are not compacted"),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `meaning` says what it is good for and how to change it."""

    what: str
    verdict: str
    value: str
    meaning: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares them."""
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--library", metavar="FILE", help="libmesh.so; default: the installed one")


def run(arguments: argparse.Namespace) -> int:
    """Looks at everything and prints it."""
    library = command_line.find_library(arguments.library)
    findings = [Finding("library", _GOOD, str(library), "what mesh run preloads")]
    findings += _probe(library)
    findings += [look() for look in _LOOKS]
    is_bad = any(finding.verdict == _BAD for finding in findings)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings]))
    else:
        _print(findings)
    return command_line.EXIT_WRONG if is_bad else 0


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("", "what", "found", "what it means"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.verdict]
        verdict = f"[{colour}]{finding.verdict}[/{colour}]"
        table.add_row(verdict, *map(escape, (finding.what, finding.value, finding.meaning)))
    command_line.make_console().print(table)


def _probe(library: pathlib.Path) -> list[Finding]:
    """Meshes in a program with two threads."""
    environment = {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "MESH_PERIOD_MS": "0"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
        tier, meshes = done.stdout.splitlines()
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        last = getattr(error, "stderr", None) or str(error)
        line = last.strip().splitlines()[-1] if last.strip() else "no answer"
        return [Finding("trial", _BAD, line, "a small program with two threads failed on Mesh")]
    verdict, meaning = _TIERS.get(tier, (_NOTE, "a barrier that this command does not know"))
    meshed = Finding("trial", _GOOD, f"{meshes} meshes", "of a small program with two threads")
    if meshes == "0":
        meshed = Finding("trial", _BAD, "no mesh", "a small program with two threads did not mesh")
    return [meshed, Finding("write barrier", verdict, tier, meaning)]


def _kernel() -> Finding:
    release = platform.release()
    return Finding("kernel", _GOOD, release, "5.7 and later write-protect by userfaultfd")


def _mappings() -> Finding:
    value = _read("/proc/sys/vm/max_map_count")
    is_much = value.isdigit() and int(value) >= _PLENTY_OF_MAPPINGS
    meaning = "each meshed span may take a mapping; Mesh stays below three quarters of this"
    if not is_much:
        meaning += f". For heaps of many GB: sysctl vm.max_map_count={1 << 20}"
    return Finding("vm.max_map_count", _GOOD if is_much else _NOTE, value, meaning)


def _huge_pages() -> Finding:
    value = _read("/sys/kernel/mm/transparent_hugepage/enabled")
    return Finding(
        "huge pages", _GOOD, value, "spans of small objects refuse them whatever this says"
    )


def _shared_huge_pages() -> Finding:
    value = _read("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
    forced = "[force]" in value
    meaning = "of the memory behind meshed pages"
    if forced:
        meaning += ": force keeps freed pages; echo advise > that file"
    return Finding("shared huge pages", _NOTE if forced else _GOOD, value, meaning)


def _memory_files() -> Finding:
    try:
        os.close(os.memfd_create("mesh-doctor"))
    except OSError as error:
        return Finding(
            "memfd_create",
            _NOTE,
            os.strerror(error.errno or 0),
            "meshed memory is anonymous then, and is copied at a fork; a seccomp filter?",
        )
    return Finding("memfd_create", _GOOD, "works", "meshed memory stays shared over a fork")


def _address_space() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return Finding("RLIMIT_AS", _GOOD, "unlimited", "address space is reserved by the GiB")
    verdict = _NOTE if soft < 64 * _SMALLEST_ADDRESS_SPACE else _GOOD
    return Finding(
        "RLIMIT_AS",
        verdict,
        f"{soft >> 20} MB",
        "smaller segments are reserved; ulimit -v unlimited",
    )


def _overcommit() -> Finding:
    value = _read("/proc/sys/vm/overcommit_memory")
    strict = value == "2"
    meaning = "2 charges what is committed, and forks need room for a copy"
    return Finding("vm.overcommit_memory", _NOTE if strict else _GOOD, value, meaning)


def _looking() -> Finding:
    value = _read("/proc/sys/kernel/yama/ptrace_scope")
    free = value in ("0", "unknown") or os.getuid() == 0
    meaning = "mesh stat, top, map, ctl and export read other processes as a debugger does"
    if not free:
        meaning += ": run them as root, or sysctl kernel.yama.ptrace_scope=0"
    return Finding("ptrace_scope", _GOOD if free else _NOTE, value, meaning)


_LOOKS: list[Callable[[], Finding]] = [
    _kernel,
    _mappings,
    _huge_pages,
    _shared_huge_pages,
    _memory_files,
    _address_space,
    _overcommit,
    _looking,
]


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text().strip()
    except OSError:
        return "unknown"
