"""The paper's Ruby experiment (PLDI 2019, section 6.3): mean memory of a fragmenting interpreter.

Runs docs/recipes/strings.rb on glibc, jemalloc, tcmalloc, mimalloc (those installed) and Mesh, in
turn: strings of one length, a quarter is kept, then twice the length. Prints physical memory, its
mean over time and the least that any allocator would need; writes ruby_compaction.json and
ruby_compaction.png to --output_dir.

Exit status: 0 all is right, 1 a program failed or a string had changed, 2 bad flags.
"""

import pathlib
import shutil
import sys
import tempfile
from collections.abc import Sequence

import rich.console
from absl import flags

from python.mesh_tools import (
    allocators,
    command_line,
    compare_experiment,
    compare_report,
    provenance,
    results,
    strings_experiment,
    views,
)

_PROGRAM = "ruby_compaction"
_TARGET = "//python:ruby_compaction"
_BASELINE = "jemalloc"

_RUBY = flags.DEFINE_string("ruby", "ruby", "The interpreter to run: a name on PATH or a path.")
_MESH_LIBRARY = flags.DEFINE_string(
    "mesh_library", None, "libmesh.so to measure; default: the one built with this program."
)
_PEERS = flags.DEFINE_list("peers", [], "Further allocators, NAME=LIBRARY.")
_INSTALLED = flags.DEFINE_bool("installed_peers", True, "Compare with glibc and this machine's.")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "How often each allocator runs.", lower_bound=1)
_MEGABYTES = flags.DEFINE_float(
    "megabytes", 128.0, "Strings of the first length [MB].", lower_bound=0.1
)
_FIRST_LENGTH = flags.DEFINE_integer(
    "first_length", 512, "Length of the first strings [bytes].", lower_bound=64
)
_PAUSE = flags.DEFINE_float(
    "pause_seconds",
    0.2,
    "Sleep before each garbage collection [s]; 0: the program is busy from begin to end.",
    lower_bound=0.0,
)
_SAMPLE = flags.DEFINE_float(
    "sample_ms", 10.0, "Time between two memory samples [ms].", lower_bound=1.0, upper_bound=500.0
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "ruby-output", "Where the files are written.")


def _compared() -> list[allocators.Allocator]:
    peers = allocators.installed_peers() if _INSTALLED.value else []
    compared = [
        *peers,
        *command_line.peers(_PEERS.value),
        command_line.mesh_allocator(_MESH_LIBRARY.value, _TARGET),
    ]
    names = [allocator.name for allocator in compared]
    if len(set(names)) != len(names):
        raise command_line.UsageError(f"--peers: a name is used twice in {', '.join(names)}")
    return compared


def _plan() -> strings_experiment.Plan:
    ruby = shutil.which(_RUBY.value)
    if ruby is None:
        raise command_line.UsageError(f"--ruby: there is no program {_RUBY.value}")
    return strings_experiment.Plan(
        ruby=ruby,
        script=command_line.built_file("docs/recipes/strings.rb", _TARGET),
        megabytes=_MEGABYTES.value,
        first_length=_FIRST_LENGTH.value,
        pause_s=_PAUSE.value,
    )


def _measure(
    plan: strings_experiment.Plan, compared: list[allocators.Allocator]
) -> results.Comparison[compare_experiment.CompareRun]:
    with tempfile.TemporaryDirectory(prefix="mesh-ruby-") as scratch:
        runs = compare_experiment.run_in_turn(
            plan.command(), compared, _ROUNDS.value, _SAMPLE.value, pathlib.Path(scratch), True
        )
    names = [allocator.name for allocator in compared]
    return results.Comparison(
        workload=f"Strings in Ruby, {plan.megabytes:g} MB of the first length, {plan.pause_s:g} s",
        baseline=_BASELINE if _BASELINE in names else names[0],
        provenance=provenance.describe(sys.argv, _TARGET),
        parameters={**plan.to_json(), "sample_ms": _SAMPLE.value},
        runs=runs,
    )


def _write(
    comparison: results.Comparison[compare_experiment.CompareRun], console: rich.console.Console
) -> None:
    # Loading matplotlib takes a second: not while somebody waits for a word about a bad flag.
    from python.mesh_tools import compare_plot

    directory = provenance.user_path(_OUTPUT_DIR.value)
    directory.mkdir(parents=True, exist_ok=True)
    comparison.write_json(directory / f"{_PROGRAM}.json")
    shown = next(run for run in comparison.of(allocators.MESH) if run.series is not None)
    floor = strings_experiment.parse_ledger(shown.output).floor(shown)
    compare_plot.draw(comparison, directory / f"{_PROGRAM}.png", floor)
    console.print(compare_report.make_table(comparison))
    for name in comparison.allocator_names:
        least = strings_experiment.mean_floor(comparison.of(name))
        mean = compare_report.of_kind(comparison, compare_experiment.OBSERVED).median(
            name, lambda run: run.mean_bytes
        )
        console.print(
            f"{name}: the least possible mean is {views.megabytes(int(least))}, "
            f"its own {mean / least:.2f} times that"
        )
    console.print(f"written: {directory}/{_PROGRAM}.json, .png", soft_wrap=True)


def main(argv: Sequence[str]) -> int:
    """Runs the comparison; returns the exit status."""
    del argv  # Flags only; what is left over has been refused.
    try:
        comparison = _measure(_plan(), _compared())
        _write(comparison, command_line.make_console())
    except command_line.UsageError as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_USAGE
    except (compare_experiment.CommandFailed, strings_experiment.BadLedger) as error:
        command_line.say(_PROGRAM, error)
        return command_line.EXIT_WRONG
    return 0


if __name__ == "__main__":
    command_line.run(_PROGRAM, main)
