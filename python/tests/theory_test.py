"""Tests of theory.py against enumeration of every case, where the cases are few."""

import functools
import itertools
from typing import Protocol

import numpy as np
import pytest

from python.mesh_tools import theory


class _Way(Protocol):
    def __call__(self, bitmaps: theory.Bitmaps, max_members: int = ...) -> list[list[int]]: ...


def _bitmaps(spans: list[tuple[int, ...]], slots: int) -> theory.Bitmaps:
    bits = np.zeros((len(spans), slots), dtype=bool)
    for row, taken in zip(bits, spans, strict=True):
        row[list(taken)] = True
    return theory.pack(bits)


@pytest.mark.parametrize("slots", [1, 2, 5, 8])
def test_pair_probability_by_enumeration(slots: int) -> None:
    for live_1, live_2 in itertools.product(range(slots + 1), repeat=2):
        every = list(
            itertools.product(
                itertools.combinations(range(slots), live_1),
                itertools.combinations(range(slots), live_2),
            )
        )
        mesh = sum(not set(a) & set(b) for a, b in every)
        assert theory.pair_probability(slots, live_1, live_2) == pytest.approx(mesh / len(every))


def test_nothing_meshes_by_enumeration() -> None:
    slots, spans = 4, 4
    every = list(itertools.product(range(slots), repeat=spans))
    nothing = sum(len(set(slot)) == 1 for slot in every)
    assert theory.nothing_meshes_probability(slots, spans) == pytest.approx(nothing / len(every))
    # The paper's example [2.2]: 64 spans of 16-byte objects.
    assert 1e-153 < theory.nothing_meshes_probability(256, 64) < 1e-151


def test_expected_pairs_by_enumeration() -> None:
    slots, live = 4, [1, 2, 2]
    every = list(itertools.product(*(itertools.combinations(range(slots), n) for n in live)))
    pairs = sum(not set(a) & set(b) for spans in every for a, b in itertools.combinations(spans, 2))
    assert theory.expected_meshable_pairs(slots, live) == pytest.approx(pairs / len(every))


def test_bad_counts() -> None:
    with pytest.raises(ValueError, match="do not fit 4 slots"):
        theory.pair_probability(4, 5, 0)
    with pytest.raises(ValueError, match="do not fit 4 slots"):
        theory.place(1, 4, 5, "random", np.random.default_rng(1))


@pytest.mark.parametrize("slots", [7, 64, 200])
def test_packing_keeps_every_bit(slots: int) -> None:
    bits = np.random.default_rng(1).random((9, slots)) < 0.4
    bitmaps = theory.pack(bits)
    assert theory.count(bitmaps).tolist() == bits.sum(axis=1).tolist()
    for a, b in itertools.combinations(range(9), 2):
        assert theory.meshable(bitmaps[a], bitmaps[b : b + 1])[0] == (not (bits[a] & bits[b]).any())


def _most_pairs_by_enumeration(bitmaps: theory.Bitmaps) -> int:
    edges = [theory.meshable(span, bitmaps) for span in bitmaps]

    @functools.cache
    def best(free: frozenset[int]) -> int:
        if len(free) < 2:
            return 0
        first = min(free)
        rest = free - {first}
        return max(
            best(rest),
            *(1 + best(rest - {other}) for other in rest if edges[first][other]),
            0,
        )

    return best(frozenset(range(len(bitmaps))))


@pytest.mark.parametrize("seed", range(30))
def test_the_best_matching(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bitmaps = theory.place(10, 8, 2 + seed % 3, "random", rng)
    assert theory.most_pairs(bitmaps) == _most_pairs_by_enumeration(bitmaps)


def test_an_odd_cycle_is_matched() -> None:
    # A triangle (0, 1, 2) with a tail on each corner: three pairs, which no bipartite search finds.
    spans = [(0, 1), (2, 3), (4, 5), (2, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 3)]
    assert theory.most_pairs(_bitmaps(spans, 6)) == 3


def _are_meshable(bitmaps: theory.Bitmaps, group: list[int]) -> bool:
    together = np.bitwise_or.reduce(bitmaps[group], axis=0, keepdims=True)
    return int(theory.count(bitmaps[group]).sum()) == int(theory.count(together).sum())


@pytest.mark.parametrize("live", [5, 12])
@pytest.mark.parametrize("way", [theory.first_fit_decreasing, theory.group_by_group])
def test_groups_are_meshable_and_hold_every_span_once(way: _Way, live: int) -> None:
    bitmaps = theory.place(700, 64, live, "random", np.random.default_rng(2))
    bitmaps[13] = 0
    groups = way(bitmaps, max_members=8)
    assert sorted(span for group in groups for span in group) == list(range(700))
    assert all(_are_meshable(bitmaps, group) and len(group) <= 8 for group in groups)
    # At one span in twelve groups pay: pairs could never leave fewer than half.
    assert len(groups) < (175 if live == 5 else 350)


def test_group_by_group_beats_first_fit_where_spans_have_many_objects() -> None:
    bitmaps = theory.place(1000, 256, 26, "random", np.random.default_rng(5))
    first_fit = len(theory.first_fit_decreasing(bitmaps))
    assert len(theory.group_by_group(bitmaps)) < 0.98 * first_fit
    assert theory.groups(bitmaps) == theory.group_by_group(bitmaps)
    few = theory.place(200, 64, 5, "random", np.random.default_rng(5))
    assert theory.groups(few) == theory.first_fit_decreasing(few)
    assert theory.groups(few[:0]) == []


def test_the_fewer_groups_are_tried_the_more_are_made() -> None:
    bitmaps = theory.place(1000, 64, 6, "random", np.random.default_rng(6))
    made = [len(theory.first_fit_decreasing(bitmaps, groups_tried=n)) for n in (8, 64, 1000)]
    assert made == sorted(made, reverse=True)
    assert made[0] > made[2]


def _fewest_groups_by_enumeration(bitmaps: theory.Bitmaps) -> int:
    def place(span: int, taken: list[int]) -> int:
        if span == len(bitmaps):
            return len(taken)
        bits = int(bitmaps[span][0])
        best = place(span + 1, [*taken, bits])
        for group, held in enumerate(taken):
            if not held & bits:
                joined = [*taken[:group], held | bits, *taken[group + 1 :]]
                best = min(best, place(span + 1, joined))
        return best

    return place(0, [])


@pytest.mark.parametrize("way", [theory.first_fit_decreasing, theory.group_by_group])
@pytest.mark.parametrize("seed", range(10))
def test_packing_is_near_the_optimum(way: _Way, seed: int) -> None:
    bitmaps = theory.place(7, 8, 3, "random", np.random.default_rng(seed))
    fewest = _fewest_groups_by_enumeration(bitmaps)
    assert fewest <= len(way(bitmaps)) <= fewest + 1


def test_split_mesher_keeps_its_promise() -> None:
    slots, live, spans, k = 32, 6, 2000, 1.0
    chance = theory.pair_probability(slots, live, live)
    rng = np.random.default_rng(3)
    bitmaps = theory.place(spans, slots, live, "random", rng)
    pairs = theory.split_mesher(bitmaps, round(k / chance), rng)
    assert len({span for pair in pairs for span in pair}) == 2 * len(pairs)
    assert all(_are_meshable(bitmaps, list(pair)) for pair in pairs)
    assert len(pairs) >= theory.split_mesher_bound(spans, k)


def test_order_matters_where_programs_keep_every_eighth() -> None:
    rng = np.random.default_rng(4)
    left = {
        placement: len(theory.groups(theory.place(64, 64, 8, placement, rng)))
        for placement in ("random", "ordered", "start")
    }
    assert left["ordered"] == 64
    assert left["start"] < left["random"] < 64
