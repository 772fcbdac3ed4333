"""Packing where mappings are scarce, what it takes of them, and the library's estimate of that.

The kernel makes one mapping of neighbouring spans that show neighbouring pages. So the leaders of
groups are chosen beforehand, side by side, and runs of neighbouring followers are placed behind
runs of neighbouring leaders: a mapping for each run, not for each span.

Spans are in the order of their addresses; bitmaps as in theory.py. Source: src/meshing/run_packer.h
and run_planner.h, whose groups and estimates these are.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import theory

Flags = npt.NDArray[np.bool_]

# Followers that are placed in one go at most (kLongestRun).
LONGEST_RUN = 16

# As in src/meshing/run_planner.cc: the share of its slots up to which a group is filled, doublings
# in the number of groups that a span is tried with, mappings that a span takes which is meshed for
# itself, numbers of leaders that are compared.
_HIGHEST_FILL = 0.93
_TRIED_DOUBLINGS = 15.5
_MAPPINGS_PER_SPAN = 0.95
_SHARES = 128


def runs(
    bitmaps: theory.Bitmaps,
    leaders: int,
    max_members: int = theory.MAX_MEMBERS,
    joined: Flags | None = None,
) -> list[list[int]]:
    """Places runs of the other spans behind the first `leaders` of them (PackRuns).

    Each time the longest run that fits, up to LONGEST_RUN, there where the leaders are fullest. A
    span that fits nowhere stays alone. The same groups as the library's, of spans with an object.

    Args:
        bitmaps: shape (n_spans, n_words).
        leaders: how many lead, 0 to n_spans.
        max_members: spans that a group has at most.
        joined: shape (n_spans,): the span lies right behind the one before it; None: all do.

    Returns: as theory.groups(), in the order of their first spans.
    """
    if not 0 <= leaders <= len(bitmaps):
        raise ValueError(f"{leaders} of {len(bitmaps)} spans cannot lead")
    packing = _Runs(bitmaps, leaders, max_members, joined)
    made = [[leader] for leader in range(leaders)]
    span = leaders
    while span < len(bitmaps):
        leader, length = packing.place(span)
        if length == 0:
            made.append([span])
        for i in range(length):
            made[leader + i].append(span + i)
        span += max(length, 1)
    return made


class _Runs:
    """Leaders, and who may follow them. Rows have a bit for each leader, as integers."""

    def __init__(
        self, bitmaps: theory.Bitmaps, leaders: int, max_members: int, joined: Flags | None
    ) -> None:
        bits = theory.unpack(bitmaps)
        is_joined = np.ones(len(bits), dtype=bool) if joined is None else joined
        self._slots = [np.flatnonzero(row).tolist() for row in bits]
        self._counts = bits.sum(axis=1)
        self._is_joined = is_joined.tolist()
        # Leaders that have a slot set, for each slot.
        self._with = [_row(column) for column in bits[:leaders].T]
        self._behind = _row(is_joined[:leaders])
        self._members = [1] * leaders
        self._max_members = max_members
        self._open = (1 << leaders) - 1 if max_members > 1 else 0
        self._filled = self._counts[:leaders].copy()

    def place(self, span: int) -> tuple[int, int]:
        """Places the longest run from `span` on; returns its first leader, and its length."""
        starts, length = 0, 0
        while length < LONGEST_RUN and (narrowed := self._narrow(starts, span, length)):
            starts = narrowed
            length += 1
        if length == 0:
            return 0, 0
        leader = self._fullest(starts, length)
        for i in range(length):
            self._add(leader + i, span + i)
        return leader, length

    def _narrow(self, starts: int, first: int, length: int) -> int:
        """Of the leaders at which `length` spans from `first` on fit, those that fit one more."""
        span = first + length
        if span >= len(self._slots) or (length > 0 and not self._is_joined[span]):
            return 0
        taken = 0
        for slot in self._slots[span]:
            taken |= self._with[slot]
        fits = self._open & ~taken
        return starts & (fits & self._behind) >> length if length > 0 else fits

    def _fullest(self, starts: int, length: int) -> int:
        """Returns the first of the starts whose leaders have most bits, all together."""
        octets = starts.to_bytes(len(self._filled) // 8 + 1, "little")
        bits = np.unpackbits(np.frombuffer(octets, dtype=np.uint8), bitorder="little")
        places = np.flatnonzero(bits)
        before = np.concatenate([[0], np.cumsum(self._filled)])
        return int(places[np.argmax(before[places + length] - before[places])])

    def _add(self, leader: int, span: int) -> None:
        for slot in self._slots[span]:
            self._with[slot] |= 1 << leader
        self._filled[leader] += self._counts[span]
        self._members[leader] += 1
        if self._members[leader] == self._max_members:
            self._open &= ~(1 << leader)


def _row(flags: Flags) -> int:
    """Returns an integer with bit i set where flags[i] is."""
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def count_mappings(groups: Sequence[Sequence[int]], spans: int, joined: Flags | None = None) -> int:
    """Counts the mappings of spans that are meshed in these groups, whatever made them.

    Groups of two spans and more get their pages in the order of their first spans. A mapping is a
    stretch of neighbours that show pages in this order, one after the other, or of neighbours that
    are alone: these are private memory.

    Args:
        groups: indices of spans, each in one group at most.
        spans: all of them.
        joined: as for runs().
    """
    page = np.full(spans, -1, dtype=np.int64)
    meshed = sorted((group for group in groups if len(group) > 1), key=min)
    for number, group in enumerate(meshed):
        page[list(group)] = number
    before, here = page[:-1], page[1:]
    goes_on = np.where(here < 0, before < 0, (before >= 0) & (here == before + 1))
    if joined is not None:
        goes_on &= joined[1:]
    return spans - int(goes_on.sum())


def estimate_mappings(
    spans: int, slots: int, live: float, leaders: int, piece: float = math.inf
) -> float:
    r"""Estimates the mappings of the followers, of spans of which none is meshed (RunMappings).

    Where a share f of a leader's slots is in use, a follower of b objects fits with a chance of
    (1 - f)^b, and a run of n of them in a given place with (1 - f)^(n b). Of k leaders one is
    expected to have room as long as k (1 - f)^(n b) >= 1, so the longest run is

        n(f) = ln k / (-b ln(1 - f)), and LONGEST_RUN at most.

    A run of n brings n live / k to the average fill, from `live` (the leaders' own objects) up to
    F = live spans / k. So df takes k / (live n(f)) runs, and all followers together

        k / live * integral from live to F of df / n(f),

    of which the part up to the f* at which n falls below LONGEST_RUN is (f* - live) / LONGEST_RUN,
    and the rest is b / ln k times the integral of -ln(1 - f), (1 - f) ln(1 - f) + f. Where pieces
    of neighbours end, so do runs, and each piece of leaders is a mapping.

    Args:
        spans: all of them.
        slots: of each.
        live: share of them in use, above 0.
        leaders: how many of the spans lead.
        piece: spans that are neighbours, in one piece.

    Returns: 0 when all lead; infinity when the others have no room.
    """
    if leaders >= spans:
        return 0.0
    fill = live * spans / leaders if leaders else math.inf
    if leaders < 2 or fill >= _HIGHEST_FILL:
        return math.inf
    objects, choice = live * slots, math.log(leaders)
    if -objects * math.log1p(-fill) > choice + _luck(objects):
        return math.inf
    longest = min(max(-math.expm1(-choice / (objects * LONGEST_RUN)), live), fill)
    inverse_length = (longest - live) / LONGEST_RUN
    inverse_length += (_log_integral(fill) - _log_integral(longest)) * objects / choice
    placed = leaders / live * inverse_length
    followers = spans - leaders
    return placed + (max(0.0, followers - placed) + leaders) / piece


def _luck(objects: float) -> float:
    """How much further than chance says leaders are filled before one span in 100 stays alone.

    A logarithm, as the results of runs() show it.
    """
    return 0.1 * objects - 1.6


def _log_integral(fill: float) -> float:
    """Returns the integral of -ln(1 - f) from 0 to `fill`, which is below 1."""
    return (1 - fill) * math.log1p(-fill) + fill


def packed_share(slots: int, live: float) -> float:
    """Estimates the spans left of 1 when they are packed group by group (PackedShare).

    A span of b objects finds its place among 2^k groups when one of them has room for all: groups
    fill up to where (1 - fill)^b is 2^-k.
    """
    fill = min(1 - 2 ** (-_TRIED_DOUBLINGS / (live * slots)), _HIGHEST_FILL)
    return live / fill if live < fill else 1.0


def count_leaders(
    spans: int, slots: int, live: float, price: float, pages: int = 1, piece: float = math.inf
) -> int:
    """Returns how many spans should lead where a mapping has to save `price` pages (CountLeaders).

    Fewer leaders leave fewer pages, and take more mappings: the sum of the pages and the price of
    the mappings is least.

    Args:
        spans: all of them.
        slots: of each.
        live: share of them in use, above 0.
        price: pages.
        pages: of each span.
        piece: as for estimate_mappings().

    Returns: 0 where they had better be packed group by group.
    """

    def cost(leaders: int) -> float:
        return pages * leaders + price * estimate_mappings(spans, slots, live, leaders, piece)

    shares = min(spans, _SHARES)
    best = min((spans * share // shares for share in range(1, shares + 1)), key=cost)
    alone = packed_share(slots, live) * spans * pages + price * _MAPPINGS_PER_SPAN * spans
    return 0 if alone < cost(best) else best
