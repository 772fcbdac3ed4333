"""Tests of runs.py against a second, plain way to do the same, and against known figures."""

import itertools
import math

import numpy as np
import pytest

from python.mesh_tools import runs, theory, theory_study


def _bitmaps(*spans: set[int]) -> theory.Bitmaps:
    bits = np.zeros((len(spans), 64), dtype=bool)
    for row, taken in zip(bits, spans, strict=True):
        row[list(taken)] = True
    return theory.pack(bits)


def _flags(*values: int) -> runs.Flags:
    return np.array(values, dtype=bool)


class TestRuns:
    def test_the_longest_run_goes_where_it_fits(self) -> None:
        # The picture of src/meshing/run_packer.h.
        leaders = [{0, 9}, {1}, {2}, {3}, {0, 1, 2, 4, 5, 6, 7, 8}]
        followers = [{0, 4}, {5}, {6}, {1}, {2}]
        made = runs.runs(_bitmaps(*leaders, *followers), 5)
        assert made == [[0, 8], [1, 5, 9], [2, 6], [3, 7], [4]]

    def test_the_fullest_leaders_are_taken_and_the_first_of_them(self) -> None:
        leaders = [{0}, {0, 1}, {0, 1, 2, 3}, {0, 2}]
        assert runs.runs(_bitmaps(*leaders, {3}), 4) == [[0], [1, 4], [2], [3]]
        # Two in a row: all that their leaders hold counts.
        assert runs.runs(_bitmaps(*leaders, {4}, {5}), 4) == [[0], [1, 4], [2, 5], [3]]

    def test_runs_end_where_neighbours_do(self) -> None:
        spans = _bitmaps({0, 9}, {1}, {2}, {0, 8}, {7}, {6})
        assert runs.runs(spans, 3) == [[0], [1, 3, 5], [2, 4]]
        # The third leader's memory does not lie behind the second's; the same of followers.
        assert runs.runs(spans, 3, joined=_flags(0, 1, 0, 0, 1, 1))[0] == [0, 4]
        assert runs.runs(spans, 3, joined=_flags(0, 1, 1, 0, 0, 0))[1] == [1, 3, 4, 5]

    def test_a_run_has_sixteen_followers_at_most(self) -> None:
        # Where the fullest leader is decides where a run of 16 starts; one of 17 has one place.
        leaders = [{0} for _ in range(16)] + [{0, 2}]
        made = runs.runs(_bitmaps(*leaders, *({1} for _ in range(17))), 17)
        assert made == [[0, 33], *([i, 16 + i] for i in range(1, 17))]

    def test_nothing_and_one(self) -> None:
        assert runs.runs(_bitmaps(), 0) == []
        assert runs.runs(_bitmaps({1}), 1) == [[0]]
        assert runs.runs(_bitmaps({1}, {2}), 0) == [[0], [1]]
        assert runs.runs(_bitmaps({1}, {2}, {3}), 1, max_members=2) == [[0, 1], [2]]
        assert runs.runs(_bitmaps({1}, {2}), 1, max_members=1) == [[0], [1]]
        with pytest.raises(ValueError, match="3 of 2 spans cannot lead"):
            runs.runs(_bitmaps({1}, {2}), 3)

    @pytest.mark.parametrize("seed", range(60))
    def test_by_trying_every_place(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        spans = int(rng.integers(2, 80))
        slots, live = int(rng.integers(6, 100)), float(rng.uniform(0.02, 0.2))
        bitmaps = theory.scatter(spans, slots, live, rng)
        leaders = int(rng.integers(1, spans + 1))
        max_members = int(rng.integers(2, 6)) if seed % 2 else theory.MAX_MEMBERS
        joined = rng.random(spans) >= (0.1 if seed % 3 else 0)
        made = runs.runs(bitmaps, leaders, max_members, joined)
        assert made == _runs_by_trying_every_place(bitmaps, leaders, max_members, joined)

    @pytest.mark.parametrize(("slots", "leaders"), [(16, 200), (64, 300), (256, 900)])
    def test_groups_are_meshable_and_hold_every_span_once(self, slots: int, leaders: int) -> None:
        bitmaps = theory.scatter(2000, slots, 0.1, np.random.default_rng(2))
        made = runs.runs(bitmaps, leaders, max_members=12)
        assert sorted(span for group in made for span in group) == list(range(2000))
        assert [group[0] for group in made[:leaders]] == list(range(leaders))
        assert all(len(group) == 1 for group in made[leaders:])
        assert max(len(group) for group in made) <= 12
        for group in made:
            assert theory.unpack(bitmaps[group]).sum(axis=0).max() <= 1


def _runs_by_trying_every_place(
    bitmaps: theory.Bitmaps, leaders: int, max_members: int, joined: runs.Flags
) -> list[list[int]]:
    spans = [set(np.flatnonzero(row).tolist()) for row in theory.unpack(bitmaps)]
    held = [set(span) for span in spans[:leaders]]
    made = [[leader] for leader in range(leaders)]

    def fits(leader: int, span: int, length: int) -> bool:
        return (
            leader + length <= leaders
            and span + length <= len(spans)
            and all(joined[leader + 1 : leader + length])
            and all(joined[span + 1 : span + length])
            and not any(held[leader + i] & spans[span + i] for i in range(length))
            and all(len(made[leader + i]) < max_members for i in range(length))
        )

    span = leaders
    while span < len(spans):
        places = [
            (length, sum(len(held[leader + i]) for i in range(length)), -leader)
            for length, leader in itertools.product(range(1, 17), range(leaders))
            if fits(leader, span, length)
        ]
        length, _, leader = max(places, default=(0, 0, 0))
        for i in range(length):
            held[-leader + i] |= spans[span + i]
            made[-leader + i].append(span + i)
        if length == 0:
            made.append([span])
        span += max(length, 1)
    return made


def _mappings_by_page_tables(groups: list[list[int]], joined: runs.Flags) -> int:
    """Writes down the page behind each address, and merges what a kernel would."""
    address = np.cumsum(1 + 10 * ~joined).tolist()
    page = {address[span]: ("private", address[span]) for span in range(len(joined))}
    meshed = {min(group): group for group in groups if len(group) > 1}
    for number, first in enumerate(sorted(meshed)):
        for span in meshed[first]:
            page[address[span]] = ("backing", number)
    mappings: list[list[int]] = []
    for here, (memory, at) in sorted(page.items()):
        before = page.get(here - 1)
        if before == (memory, at - 1):
            mappings[-1].append(here)
        else:
            mappings.append([here])
    return len(mappings)


class TestMappings:
    def test_of_few_spans(self) -> None:
        assert runs.count_mappings([], 0) == 0
        assert runs.count_mappings([], 5) == 1  # all private
        assert runs.count_mappings([[0], [1], [2]], 3) == 1
        assert runs.count_mappings([[0, 1]], 2) == 2  # both show one page
        # Pages: 0 1 2 0 1 2.
        assert runs.count_mappings([[0, 3], [1, 4], [2, 5]], 6) == 2
        assert runs.count_mappings([[4, 1], [5, 2], [3, 0]], 6) == 2
        assert runs.count_mappings([[0, 5], [1, 4], [2, 3]], 6) == 4  # 0 1 2 2 1 0
        # A span that is alone cuts a mapping in two: 0 - 1 0 1.
        assert runs.count_mappings([[0, 3], [1], [2, 4]], 5) == 4
        assert runs.count_mappings([[0, 2], [1, 3]], 4, _flags(1, 0, 1, 1)) == 3

    @pytest.mark.parametrize("seed", range(20))
    def test_by_page_tables(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        bitmaps = theory.scatter(120, 32, 0.1, rng)
        joined = rng.random(120) >= 0.05
        pairs = [list(pair) for pair in theory.split_mesher(bitmaps, theory.PROBES, rng)]
        for groups in (
            pairs,
            theory.first_fit_decreasing(bitmaps),
            theory.group_by_group(bitmaps),
            runs.runs(bitmaps, 40, joined=joined),
        ):
            assert runs.count_mappings(groups, 120, joined) == _mappings_by_page_tables(
                groups, joined
            )
            assert runs.count_mappings(groups, 120) <= runs.count_mappings(groups, 120, joined)

    # Found by other means, when the library's RunPacker was designed.
    @pytest.mark.parametrize(
        ("slots", "leaders", "left", "mappings"),
        [
            (256, 3500, 0.352, 0.436),
            (128, 2500, 0.252, 0.37),
            (128, 3000, 0.300, 0.275),
            (64, 2000, 0.201, 0.252),
        ],
    )
    def test_known_figures(self, slots: int, leaders: int, left: float, mappings: float) -> None:
        bitmaps = theory.scatter(10_000, slots, 0.1, np.random.default_rng(3))
        made = runs.runs(bitmaps, leaders)
        assert len(made) / 10_000 == pytest.approx(left, abs=0.004)
        assert runs.count_mappings(made, 10_000) / 10_000 == pytest.approx(mappings, abs=0.012)

    def test_the_library_s_other_way_takes_one_for_nearly_every_span(self) -> None:
        rows = {row.way: row for row in theory_study.packings(64, 3000, 1) if row.way != "runs"}
        assert rows["group by group"].mappings > 0.85
        assert rows["first fit"].mappings > 0.85
        assert rows["group by group"].left < 0.2 < 0.5 <= rows["pairs"].left


class TestEstimates:
    @pytest.mark.parametrize(
        ("slots", "live", "leaders"), [(256, 0.1, 4000), (64, 0.1, 2000), (16, 0.3, 5000)]
    )
    def test_the_integral(self, slots: int, live: float, leaders: int) -> None:
        spans, steps = 10_000, 100_000
        fill = live * spans / leaders
        width = (fill - live) / steps
        f = live + width * (np.arange(steps) + 0.5)
        length = np.minimum(np.log(leaders) / (-live * slots * np.log1p(-f)), runs.LONGEST_RUN)
        expected = leaders / live * width * float((1 / length).sum())
        assert runs.estimate_mappings(spans, slots, live, leaders) == pytest.approx(expected, 1e-6)

    # As in test/meshing/run_planner_test.cc: pieces of 64 neighbours; leaders are one a piece.
    @pytest.mark.parametrize(
        ("slots", "live", "share"),
        [
            (256, 0.1, 0.36),
            (128, 0.1, 0.25),
            (128, 0.1, 0.4),
            (64, 0.1, 0.18),
            (64, 0.1, 0.3),
            (32, 0.1, 0.15),
            (64, 0.2, 0.45),
        ],
    )
    def test_of_runs(self, slots: int, live: float, share: float) -> None:
        spans, piece = 10_000, 64
        leaders = round(share * spans)
        bitmaps = theory.scatter(spans, slots, live, np.random.default_rng(7))
        joined = np.arange(spans) % piece != 0
        made = runs.runs(bitmaps, leaders, joined=joined)
        place = {span: at for at, group in enumerate(made[:leaders]) for span in group[1:]}
        goes_on = [
            bool(joined[span]) and span in place and place[span] - 1 == place.get(span - 1)
            for span in range(leaders, spans)
        ]
        used = float(theory.count(bitmaps).mean()) / slots
        estimate = runs.estimate_mappings(spans, slots, used, leaders, piece)
        assert estimate == pytest.approx(leaders / piece + goes_on.count(False), rel=0.13)

    def test_where_there_is_no_room(self) -> None:
        assert runs.estimate_mappings(1000, 64, 0.1, 1000) == 0
        for slots, leaders in ((64, 101), (256, 200), (256, 1), (256, 0)):
            assert math.isinf(runs.estimate_mappings(1000, slots, 0.1, leaders))
        assert not math.isinf(runs.estimate_mappings(1000, 64, 0.1, 300))

    @pytest.mark.parametrize("slots", [16, 64, 128])
    def test_of_group_by_group(self, slots: int) -> None:
        bitmaps = theory.scatter(4000, slots, 0.1, np.random.default_rng(8))
        left = len(theory.group_by_group(bitmaps)) / 4000
        used = float(theory.count(bitmaps).mean()) / slots
        assert runs.packed_share(slots, used) == pytest.approx(left, rel=0.16)

    def test_nothing_is_saved_where_spans_are_never_disjoint(self) -> None:
        assert runs.packed_share(256, 0.9) == 1

    def test_the_dearer_a_mapping_the_more_lead(self) -> None:
        lead = [runs.count_leaders(20_000, 128, 0.1, price) for price in (0.25, 0.5, 1, 2, 4, 8)]
        assert lead == sorted(set(lead))
        assert runs.count_leaders(20_000, 128, 0.1, 1000) == 20_000
        assert runs.count_leaders(20_000, 128, 0.1, 1 / 64) == 0
        # Long spans: each of their pages is worth a mapping.
        assert runs.count_leaders(2000, 64, 0.1, 1) > 0
        assert runs.count_leaders(2000, 64, 0.1, 1, pages=16) == 0

    def test_pages_and_mappings_are_fewest_where_the_estimate_says(self) -> None:
        bitmaps = theory.scatter(10_000, 64, 0.1, np.random.default_rng(9))

        def cost(leaders: int) -> int:
            made = runs.runs(bitmaps, leaders)
            return len(made) + runs.count_mappings(made, 10_000)

        chosen = runs.count_leaders(10_000, 64, 0.1, 1)
        others = [cost(leaders) for leaders in (1500, 2000, 3300, 4000)]
        assert cost(chosen) < min(others)
