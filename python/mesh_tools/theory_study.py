"""What the strategies reach on generated spans, beside what theory promises. Draws nothing."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from . import runs, theory

# Slots of the spans whose mappings are counted, the chance with which a program has kept an object,
# and the shares of the spans that lead.
PACKED_SLOTS = (256, 128, 64, 16)
KEPT = 0.1
LEADERS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)
# Pages that a mapping has to save, where the estimate says how many lead.
PRICE = 1.0

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


@dataclasses.dataclass(frozen=True)
class Packing:
    """What a way to pack spans of `slots` slots leaves of 1 span, and its mappings for each span.

    leaders: share of the spans that lead; 0 where none is chosen beforehand. is_priced: so many
    lead because of the estimate, at PRICE. estimate: of the mappings (the other ways: none).
    """

    slots: int
    way: str
    leaders: float
    is_priced: bool
    left: float
    mappings: float
    estimate: float | None


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


def packings(slots: int, spans: int, seed: int) -> list[Packing]:
    """Packs the same spans in each way; numbers of leaders that have no room are left out."""
    rng = np.random.default_rng(seed)
    bitmaps = theory.scatter(spans, slots, KEPT, rng)
    live = float(theory.count(bitmaps).mean()) / slots
    ways: dict[str, Sequence[Sequence[int]]] = {
        "pairs": theory.split_mesher(bitmaps, theory.PROBES, rng),
        "first fit": theory.first_fit_decreasing(bitmaps),
        "group by group": theory.group_by_group(bitmaps),
    }
    found = [
        Packing(slots, way, 0, False, _left(groups, spans),
                runs.count_mappings(groups, spans) / spans, None)
        for way, groups in ways.items()
    ]  # fmt: skip
    chosen = [(round(share * spans), False) for share in LEADERS]
    chosen.append((runs.count_leaders(spans, slots, live, PRICE), True))
    for leaders, is_priced in chosen:
        estimate = runs.estimate_mappings(spans, slots, live, leaders) / spans
        if math.isinf(estimate):
            continue
        groups = runs.runs(bitmaps, leaders)
        mappings = runs.count_mappings(groups, spans) / spans
        found.append(Packing(slots, "runs", leaders / spans, is_priced, _left(groups, spans),
                             mappings, estimate))  # fmt: skip
    return found


def _left(groups: Sequence[Sequence[int]], spans: int) -> float:
    return 1 - sum(len(group) - 1 for group in groups) / spans
