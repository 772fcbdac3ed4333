"""The paper's Ruby experiment on one allocator, and what no allocator could do without.

Source: Powers et al., PLDI 2019, section 6.3; docs/recipes/strings.rb is the program. It says at
each step how many bytes of strings nothing has freed yet, so that the least memory that it needs at
any time is known: that, the interpreter as it was before, and 40 bytes of Ruby's own for each
string that there ever was at a time, which Ruby does not give back while one in 409 lives.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import compare_experiment

# sizeof(RVALUE) on 64-bit machines. Source: Ruby's gc.c.
_SLOT_BYTES = 40


class BadLedger(ValueError):
    """The program did not say what it should."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Parameters.

    megabytes: strings of the first length [MB]. first_length: of a string, with Ruby's own [bytes].
    pause_s: how long the program sleeps before each collection [s]; the published one 0.2.
    """

    ruby: str
    script: pathlib.Path
    megabytes: float
    first_length: int
    pause_s: float

    def command(self) -> list[str]:
        """Returns the program and its arguments."""
        return [
            self.ruby,
            str(self.script),
            *(f"{value:g}" for value in (self.megabytes, self.first_length, self.pause_s)),
        ]

    def to_json(self) -> dict[str, Any]:
        """Returns the parameters as plain data."""
        return {**dataclasses.asdict(self), "script": self.script.name}


@dataclasses.dataclass(frozen=True)
class Ledger:
    """What the program held over time; every array has shape (n_steps,).

    t_s: time on time.monotonic's clock [s], float64. held_bytes: of strings that nothing has freed
    [bytes], slots: most strings at once until then, int64. Between two steps it changes evenly.
    """

    t_s: npt.NDArray[np.float64]
    held_bytes: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]

    def floor(self, run: compare_experiment.CompareRun) -> npt.NDArray[np.float64]:
        """Returns the least memory at each sample of the run [bytes], shape (n_samples,).

        Before the first step it is what there was.
        """
        if run.series is None:
            raise BadLedger(f"the memory of {run.allocator} was not sampled")
        t_s = run.start_s + run.series.t_ms / 1000
        physical = run.series.physical_bytes.astype(np.float64)
        began = t_s >= self.t_s[0]
        before = physical[~began]
        own = before[-1] if len(before) else 0.0
        needed = np.interp(t_s, self.t_s, self.held_bytes + _SLOT_BYTES * self.slots)
        floor: npt.NDArray[np.float64] = np.where(began, own + needed, physical)
        return floor


def parse_ledger(text: str) -> Ledger:
    """Reads the program's output: a line for each step.

    Raises:
        BadLedger: it is not that.
    """
    try:
        rows = [
            (float(t), int(held), int(slots))
            for t, held, slots in map(str.split, text.splitlines())
        ]
    except ValueError as error:
        raise BadLedger(f"not what strings.rb says: {error}") from error
    if not rows:
        raise BadLedger("strings.rb said nothing")
    columns = list(zip(*rows, strict=True))
    # The slots of a step are taken while it is filled.
    slots = np.array([0, *columns[2][:-1]], dtype=np.int64)
    return Ledger(np.array(columns[0]), np.array(columns[1], dtype=np.int64), slots)


def mean_floor(runs: Sequence[compare_experiment.CompareRun]) -> float:
    """Returns the median over the observed runs of the floor's mean over time [bytes]."""
    means = [parse_ledger(run.output).floor(run).mean() for run in runs if run.series is not None]
    return float(np.median(means))
