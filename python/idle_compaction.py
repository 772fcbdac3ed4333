"""How far Mesh compacts by itself once a program has gone quiet: no explicit call, default options.

Runs the repository's fragmenting program (test/programs/fragment.cc) with objects of twelve sizes
from 16 to 2048 bytes, as many bytes of each. It frees most of them and then sleeps, without a call
of the allocator. Physical memory (Pss_Anon and the backing's blocks) over live bytes is read from
outside two seconds after the last free and, in another run, five seconds after; less what the
program had before its heap.

Prints a line for each case. Exit status: 0, or 1 if an object was wrong afterwards, 2 bad flags.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import rich.console
from absl import flags

from python.mesh_tools import allocators, command_line, fragment_experiment

_TARGET = "//python:idle_compaction"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is filled and freed, and the ratio to reach at the default max_map_count of 65,530."""

    heap_mb: int
    goal: float
    keep_every: int = 0
    threads: int = 0


CASES = {
    "random-64": Case(64, 1.6),
    "random-256": Case(256, 1.5),
    "eighth-64": Case(64, 1.7, keep_every=8),
    "eighth-256": Case(256, 1.6, keep_every=8),
    "threads-64": Case(64, 1.7, threads=4),
    "threads-256": Case(256, 1.6, threads=4),
    "random-1024": Case(1024, 2.4),
}

_LIBRARY = flags.DEFINE_string(
    "mesh_library", None, "libmesh.so to measure; default: the one built with this program."
)
_CASES = flags.DEFINE_list("cases", list(CASES), f"What to run, of {', '.join(CASES)}.")
_PROGRAM = "idle_compaction"
_SOON_S = 2.0
_LATE_S = 5.0
# Longer than any run: memory is read once, when the program has slept, and not beside it.
_NO_SAMPLES_MS = 3_600_000


def _measure(case: Case, allocator: allocators.Allocator, idle_s: float) -> tuple[float, bool]:
    """Returns physical over live bytes after `idle_s`, and whether all objects were right."""
    plan = fragment_experiment.Plan(
        executable=command_line.built_file("test/programs/fragment", _TARGET),
        heap_mb=case.heap_mb,
        settle_s=idle_s,
        sample_ms=_NO_SAMPLES_MS,
        seed=1,
        keep_every=case.keep_every,
        twelve_sizes=True,
        threads=case.threads,
        quiet=True,
    )
    result = fragment_experiment.run(plan, allocator, 0, lambda *_: None)
    return result.physical_to_live, result.is_right


def main(arguments: Sequence[str]) -> int:
    """Measures the cases that were asked for."""
    del arguments
    try:
        return _run()
    except (command_line.UsageError, fragment_experiment.ProgramFailed) as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE


def _run() -> int:
    unknown = [name for name in _CASES.value if name not in CASES]
    if unknown:
        raise command_line.UsageError(f"--cases: there is no case {', '.join(unknown)}")
    allocator = command_line.mesh_allocator(_LIBRARY.value, _TARGET)
    console = rich.console.Console()
    limit = pathlib.Path("/proc/sys/vm/max_map_count").read_text().strip()
    console.print(f"physical / live bytes of {allocator.name}, vm.max_map_count {limit}")
    all_right = True
    for name in _CASES.value:
        case = CASES[name]
        ratios = []
        for idle_s in (_SOON_S, _LATE_S):
            ratio, is_right = _measure(case, allocator, idle_s)
            ratios.append(ratio)
            all_right &= is_right
        console.print(
            f"{name:12}  after {_SOON_S:.0f} s {ratios[0]:5.2f}  after {_LATE_S:.0f} s "
            f"{ratios[1]:5.2f}  goal {case.goal:.1f}"
        )
    return 0 if all_right else command_line.EXIT_WRONG


if __name__ == "__main__":
    command_line.run(_PROGRAM, main)
