"""The mathematics of meshing, and the strategies that find what to mesh.

A span is a row of `slots` bits, one for each slot that holds an object. Two spans mesh when no slot
is set in both; a group meshes when no two of its spans share one. Of n spans that become g groups,
n - g physical spans are freed.

Bitmaps are uint64 arrays of shape (n_spans, n_words), bit i of a span in word i // 64.
Source: Powers, Tench, Berger, McGregor: Mesh, PLDI 2019 (sections in brackets).
"""

import math
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

Bitmaps = npt.NDArray[np.uint64]
Placement = Literal["random", "ordered", "start"]

# Probes per span that the library and the paper take [3.3].
PROBES = 64
# Spans of a group that the library makes at most (src/global/compactor.cc).
MAX_MEMBERS = 64

_WORD_BITS = 64
# As in src/meshing/group_packer.cc: objects a span, on average, from which on groups are made one
# after the other; looks a span that it takes at least; candidates that are weighed, and the spans
# among which more of them are looked for at a time.
_MANY_OBJECTS = 8
_MOST_SPANS = 32768
_CANDIDATES = 64
_BLOCK = 512


def pair_probability(slots: int, live_1: int, live_2: int) -> float:
    """Returns the chance that two spans mesh whose objects lie at random slots [5].

    C(slots - live_1, live_2) / C(slots, live_2).
    Raises: ValueError: a count is not between 0 and slots.
    """
    if not (0 <= live_1 <= slots and 0 <= live_2 <= slots):
        raise ValueError(f"{live_1} and {live_2} objects do not fit {slots} slots")
    return math.comb(slots - live_1, live_2) / math.comb(slots, live_2)


def nothing_meshes_probability(slots: int, spans: int) -> float:
    """Returns the chance that of spans with one object each no two mesh: (1/b)^(n-1) [2.2]."""
    if spans < 1:
        raise ValueError("there has to be a span")
    return float(slots) ** -(spans - 1)


def expected_meshable_pairs(slots: int, live: Sequence[int]) -> float:
    """Returns how many of all pairs of spans mesh on average, at random placement."""
    return sum(pair_probability(slots, a, b) for i, a in enumerate(live) for b in live[i + 1 :])


def split_mesher_bound(spans: int, k: float) -> float:
    """Returns the pairs that SplitMesher(S, k/q) finds at least, with high probability [3.3, 5.3].

    n (1 - e^(-2k)) / 4, for n >= 2k/q, q being the chance that two spans mesh.
    """
    return spans * (1 - math.exp(-2 * k)) / 4


def place(
    spans: int, slots: int, live: int, placement: Placement, rng: np.random.Generator
) -> Bitmaps:
    """Returns spans of which a program has kept `live` objects each.

    "random": slots are handed out shuffled, as in the paper. "ordered": in rising order from the
    first slot, and the program keeps every (slots / live)-th of what it allocates: the worst case.
    "start": the same from a random slot on, and round, which is what the library does.
    """
    if not 0 <= live <= slots:
        raise ValueError(f"{live} objects do not fit {slots} slots")
    bits = np.zeros((spans, slots), dtype=bool)
    kept = np.floor(np.arange(live) * (slots / max(live, 1))).astype(np.int64)
    for span in range(spans):
        if placement == "random":
            chosen = rng.choice(slots, size=live, replace=False)
        else:
            start = int(rng.integers(slots)) if placement == "start" else 0
            chosen = (kept + start) % slots
        bits[span, chosen] = True
    return pack(bits)


def scatter(spans: int, slots: int, chance: float, rng: np.random.Generator) -> Bitmaps:
    """Returns spans of which a program has kept each object with this chance, and one at least.

    A span of which it has kept none is freed, and nobody meshes it.
    """
    bits = np.empty((0, slots), dtype=bool)
    while len(bits) < spans:
        drawn = rng.random((spans, slots)) < chance
        bits = np.concatenate([bits, drawn[drawn.any(axis=1)]])
    return pack(bits[:spans])


def pack(bits: npt.NDArray[np.bool_]) -> Bitmaps:
    """Returns bitmaps of an array of shape (n_spans, n_slots)."""
    spans, slots = bits.shape
    words = -(-slots // _WORD_BITS)
    padded = np.zeros((spans, words * _WORD_BITS), dtype=np.uint8)
    padded[:, :slots] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(spans, words)


def unpack(bitmaps: Bitmaps) -> npt.NDArray[np.bool_]:
    """Returns the array that the bitmaps are of, and slots behind its last that are not set."""
    octets = np.ascontiguousarray(bitmaps).view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(np.bool_)


def count(bitmaps: Bitmaps) -> npt.NDArray[np.int64]:
    """Returns the bits set in each span, shape (n_spans,)."""
    return np.asarray(unpack(bitmaps).sum(axis=1), dtype=np.int64)


def meshable(one: Bitmaps, others: Bitmaps) -> npt.NDArray[np.bool_]:
    """Says which of the others a span meshes with; `one` has shape (n_words,)."""
    return np.asarray(~np.any(one & others, axis=1))


def split_mesher(bitmaps: Bitmaps, probes: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Finds pairs in linear time: SplitMesher(S, t), t probes a span [3.3, figure 4]."""
    order = rng.permutation(len(bitmaps))
    half = len(order) // 2
    left, right = order[:half], order[half : 2 * half]
    pairs: list[tuple[int, int]] = []
    free_left = np.ones(half, dtype=bool)
    free_right = np.ones(half, dtype=bool)
    for probe in range(min(probes, half)):
        partner = (np.arange(half) + probe) % half
        fits = ~np.any(bitmaps[left] & bitmaps[right[partner]], axis=1)
        fits &= free_left & free_right[partner]
        found = np.flatnonzero(fits)
        pairs += [(int(left[i]), int(right[partner[i]])) for i in found]
        free_left[found] = False
        free_right[partner[found]] = False
    return pairs


def groups(bitmaps: Bitmaps, max_members: int = MAX_MEMBERS) -> list[list[int]]:
    """Groups spans as the library does, where it has the time: by the better of its two ways.

    Returns: indices of the spans of each group, lone spans included.
    """
    is_worth_it = len(bitmaps) <= _MOST_SPANS and count(bitmaps).mean() >= _MANY_OBJECTS
    pack_spans = group_by_group if len(bitmaps) and is_worth_it else first_fit_decreasing
    return pack_spans(bitmaps, max_members)


def first_fit_decreasing(
    bitmaps: Bitmaps, max_members: int = MAX_MEMBERS, groups_tried: int = sys.maxsize
) -> list[list[int]]:
    """Takes spans fullest first, each into the first group that has room; the newest are tried.

    Returns: as groups().
    """
    made: list[list[int]] = []
    taken = np.zeros_like(bitmaps)
    for span in np.argsort(-count(bitmaps), kind="stable"):
        first = max(0, len(made) - groups_tried)
        fits = np.flatnonzero(meshable(bitmaps[span], taken[first : len(made)]))
        group = next((first + int(g) for g in fits if len(made[first + g]) < max_members), None)
        if group is None:
            group = len(made)
            made.append([])
        made[group].append(int(span))
        taken[group] |= bitmaps[span]
    return made


def group_by_group(bitmaps: Bitmaps, max_members: int = MAX_MEMBERS) -> list[list[int]]:
    """Makes one group after the other: the fullest span left, then by what others would lose.

    Returns: as groups().
    """
    order = np.argsort(-count(bitmaps), kind="stable")
    packing = _Packing(bitmaps[order])
    return [
        [int(order[place]) for place in packing.group(int(first), max_members)]
        for first in range(len(order))
        if packing.is_left[first]
    ]


class _Packing:
    """Spans, fullest first, that become groups one after the other (Packer::PackGroup)."""

    def __init__(self, bitmaps: Bitmaps) -> None:
        self.is_left = np.ones(len(bitmaps), dtype=bool)
        self._bitmaps = bitmaps
        self._bits = unpack(bitmaps).astype(np.int64)
        self._counts = self._bits.sum(axis=1)
        # Slots behind the last that is ever set are set in no span, and take no part.
        self._slots = int(np.flatnonzero(self._bits.sum(axis=0)).max(initial=-1)) + 1

    def group(self, first: int, max_members: int) -> list[int]:
        """Returns the places of a group that begins with the span at `first`."""
        members = [first]
        self.is_left[first] = False
        taken = self._bitmaps[first].copy()
        block = first // _BLOCK * _BLOCK
        found = np.empty(0, dtype=np.int64)
        while len(members) < max_members:
            found = found[meshable(taken, self._bitmaps[found]) & self.is_left[found]]
            while len(found) < _CANDIDATES and block < len(self._bitmaps):
                rows = slice(block, block + _BLOCK)
                fits = meshable(taken, self._bitmaps[rows]) & self.is_left[rows]
                found = np.concatenate([found, block + np.flatnonzero(fits)])
                block += _BLOCK
            if len(found) == 0:
                break
            room = self._slots - int(self._counts[members].sum())
            best = self._best(found, room)
            members.append(best)
            self.is_left[best] = False
            taken |= self._bitmaps[best]
        return members

    def _best(self, found: npt.NDArray[np.int64], room: int) -> int:
        """The candidate with the most bits, less what others lose (Packer::Best)."""
        bits, own = self._bits[found], self._counts[found]
        popular = bits.sum(axis=0)
        total = int(own.sum())
        weight = max(room - total // len(found), 0)
        value = 2 * own * total - weight * (bits @ popular - own)
        return int(found[np.argmax(value)])


def most_pairs(bitmaps: Bitmaps) -> int:
    """Returns how many pairs can be made at most: a maximum matching, by Edmonds' blossoms.

    O(n^3): for hundreds of spans.
    """
    return _Matching([np.flatnonzero(meshable(span, bitmaps)).tolist() for span in bitmaps]).size()


class _Matching:
    """Maximum matching of a graph given by neighbours; a span without objects is its own too."""

    def __init__(self, neighbours: list[list[int]]) -> None:
        self._neighbours = [[n for n in row if n != i] for i, row in enumerate(neighbours)]
        self._mate = [-1] * len(neighbours)
        self._parent: list[int] = []
        self._base: list[int] = []

    def size(self) -> int:
        return sum(self._augment(root) for root in range(len(self._mate)) if self._mate[root] < 0)

    def _augment(self, root: int) -> bool:
        """Looks for an augmenting path from `root`, breadth first, and flips it."""
        nodes = range(len(self._mate))
        self._parent, self._base = [-1] * len(nodes), list(nodes)
        reached = [node == root for node in nodes]
        queue = [root]
        for node in queue:
            for other in self._neighbours[node]:
                if self._base[node] == self._base[other] or self._mate[node] == other:
                    continue
                mate = self._mate[other]
                if other == root or (mate >= 0 and self._parent[mate] >= 0):
                    new = self._contract(node, other, reached)
                    queue += new
                elif self._parent[other] < 0:
                    self._parent[other] = node
                    if mate < 0:
                        self._flip(other)
                        return True
                    reached[mate] = True
                    queue.append(mate)
        return False

    def _contract(self, a: int, b: int, reached: list[bool]) -> list[int]:
        """Makes the odd cycle through a and b one node; returns its nodes that are new."""
        base = self._common_base(a, b)
        inside = [False] * len(self._mate)
        self._mark(a, base, b, inside)
        self._mark(b, base, a, inside)
        new = []
        for node in range(len(self._mate)):
            if inside[self._base[node]]:
                self._base[node] = base
                if not reached[node]:
                    reached[node] = True
                    new.append(node)
        return new

    def _common_base(self, a: int, b: int) -> int:
        seen = set()
        while True:
            a = self._base[a]
            seen.add(a)
            if self._mate[a] < 0:
                break
            a = self._parent[self._mate[a]]
        while self._base[b] not in seen:
            b = self._parent[self._mate[self._base[b]]]
        return self._base[b]

    def _mark(self, node: int, base: int, child: int, inside: list[bool]) -> None:
        while self._base[node] != base:
            mate = self._mate[node]
            inside[self._base[node]] = inside[self._base[mate]] = True
            self._parent[node] = child
            child = mate
            node = self._parent[mate]

    def _flip(self, node: int) -> None:
        while node >= 0:
            parent = self._parent[node]
            following = self._mate[parent]
            self._mate[node], self._mate[parent] = parent, node
            node = following
