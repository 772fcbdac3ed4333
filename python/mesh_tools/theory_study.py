"""What the strategies reach on generated spans, beside what theory promises. Draws nothing."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from . import theory

# Chance k of SplitMesher's promise, t = k / q [3.3].
_K = 1.0
# Spans for which the best matching is sought: it takes n^3 steps.
_MOST_FOR_OPTIMUM = 200


@dataclasses.dataclass(frozen=True)
class Point:
    """Spans of `slots` slots, each with `live` objects.

    chance: that two mesh (theory). simulated: the part of pairs that did. What is freed, as a part
    of the spans: by the bound on SplitMesher (0 where it does not apply), by SplitMesher with the
    library's probes, by the best pairs, and by groups.
    """

    slots: int
    live: int
    spans: int
    chance: float
    simulated: float
    bound: float
    split_mesher: float
    best_pairs: float
    groups: float


@dataclasses.dataclass(frozen=True)
class Ordered:
    """Spans left of one hundred, by groups, where a program keeps every n-th object."""

    keep_every: int
    random: float
    start: float
    ordered: float


def strategies(slots: int, lives: Sequence[int], spans: int, seed: int) -> list[Point]:
    """Simulates spans of `slots` slots at random placement, a point for each of `lives`."""
    rng = np.random.default_rng(seed)
    return [_point(slots, live, spans, rng) for live in lives]


def _point(slots: int, live: int, spans: int, rng: np.random.Generator) -> Point:
    bitmaps = theory.place(spans, slots, live, "random", rng)
    chance = theory.pair_probability(slots, live, live)
    meshing = sum(int(theory.meshable(bitmaps[i], bitmaps[i + 1 :]).sum()) for i in range(spans))
    few = bitmaps[:_MOST_FOR_OPTIMUM]
    applies = chance > 0 and spans >= 2 * _K / chance
    return Point(
        slots=slots,
        live=live,
        spans=spans,
        chance=chance,
        simulated=meshing / (spans * (spans - 1) / 2),
        bound=theory.split_mesher_bound(spans, _K) / spans if applies else 0.0,
        split_mesher=len(theory.split_mesher(bitmaps, theory.PROBES, rng)) / spans,
        best_pairs=theory.most_pairs(few) / len(few),
        groups=1 - len(theory.groups(bitmaps)) / spans,
    )


def orders(slots: int, keep_every: Sequence[int], spans: int, seed: int) -> list[Ordered]:
    """Compares placements for a program that keeps every n-th of its objects."""
    rng = np.random.default_rng(seed)
    found = []
    for every in keep_every:
        left: list[float] = []
        placements: tuple[theory.Placement, ...] = ("random", "start", "ordered")
        for placement in placements:
            bitmaps = theory.place(spans, slots, slots // every, placement, rng)
            left.append(100 * len(theory.groups(bitmaps)) / spans)
        found.append(Ordered(every, *left))
    return found
