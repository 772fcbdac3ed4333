"""Turns what test/bench/recorder.cc wrote into a trace that test/bench/replay.cc runs.

Objects get numbers instead of addresses, the lowest free one first, so that a trace is small, has
nothing of the machine in it and compresses. Which thread made a call is not kept.
"""

import heapq
import struct
from collections.abc import Iterable, Iterator

# test/bench/trace.h: call, a, b, result.
_RECORD = struct.Struct("<QQQQ")


class TraceError(ValueError):
    """The file is no recording."""


def read_records(content: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Reads a recording: call, a, b, result of each.

    Raises:
        TraceError: its length, or a call in it, is none of a recording.
    """
    if len(content) % _RECORD.size != 0:
        raise TraceError(f"{len(content)} bytes are no whole number of records")
    for call, a, b, result in _RECORD.iter_unpack(content):
        if chr(call % 128) not in "mclrf" or call > 127:
            raise TraceError(f"unknown call {call}")
        yield chr(call), a, b, result


class _Numbers:
    """Gives live addresses numbers, the lowest that is free."""

    def __init__(self) -> None:
        self._of: dict[int, int] = {}
        self._free: list[int] = []

    def take(self, address: int) -> int:
        number = heapq.heappop(self._free) if self._free else len(self._of)
        self._of[address] = number
        return number

    def find(self, address: int) -> int | None:
        return self._of.get(address)

    def move(self, old: int, new: int) -> int:
        number = self._of.pop(old)
        self._of[new] = number
        return number

    def give_back(self, address: int) -> int | None:
        number = self._of.pop(address, None)
        if number is not None:
            heapq.heappush(self._free, number)
        return number


def convert(records: Iterable[tuple[str, int, int, int]], most: int) -> Iterator[str]:
    """Returns the lines of a trace of at most `most` calls.

    Calls that failed, and frees of what was allocated before the recording, are left out.
    """
    numbers = _Numbers()
    made = 0
    for call, a, b, result in records:
        line = _line(numbers, call, a, b, result)
        if line is not None:
            yield line
            made += 1
            if made == most:
                return


def _line(numbers: _Numbers, call: str, a: int, b: int, result: int) -> str | None:
    if call == "f" or (call == "r" and b == 0):
        number = numbers.give_back(a)
        return None if number is None else f"f {number}"
    if result == 0:
        return None
    if call == "r":
        known = numbers.find(a) is not None
        return f"r {numbers.move(a, result) if known else numbers.take(result)} {b}"
    if call == "l":
        return f"l {numbers.take(result)} {a} {b}"
    return f"{call} {numbers.take(result)} {a}"
