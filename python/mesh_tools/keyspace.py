"""Keys and values of the Redis experiment, made so that every value can be checked.

A key names the length of its value and 64 random bits ("240:0f3c..."), and the value follows from
the key. So whatever keys survive eviction, their values can be checked without remembering them.
"""

import dataclasses
import hashlib
import random
import time
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from . import resp

# Commands per pipelined batch: about 300 kB, enough that the server never waits for the client.
BATCH_COMMANDS = 1000
# Keys per SCAN step and MGET; 500 values of 492 bytes make a reply of a quarter MB.
_SCAN_COUNT = 500


def value_of(key: bytes) -> bytes:
    """Returns the value that belongs to `key`, as many bytes as the key says.

    Raises:
        ValueError: not a key of this experiment.
    """
    length, separator, _ = key.partition(b":")
    if not separator:
        raise ValueError(f"not a key of this experiment: {key!r}")
    return hashlib.shake_128(key).digest(int(length))


def is_right(key: bytes, value: bytes | None) -> bool:
    """Tells whether `value` is what belongs to `key`; a damaged key has no right value."""
    length = key.partition(b":")[0]
    if value is None or length != b"%d" % len(value):
        return False
    return value == value_of(key)


def random_keys(rng: random.Random, count: int, value_bytes: int) -> Iterator[bytes]:
    """Yields `count` random keys for values of `value_bytes` bytes."""
    for _ in range(count):
        yield b"%d:%016x" % (value_bytes, rng.getrandbits(64))


def encode_sets(keys: Iterator[bytes]) -> Iterator[resp.Batch]:
    """Yields RESP batches that SET every key to its value."""
    parts: list[bytes] = []
    for key in keys:
        parts.append(resp.encode_command(b"SET", key, value_of(key)))
        if len(parts) == BATCH_COMMANDS:
            yield resp.Batch(b"".join(parts), len(parts))
            parts = []
    if parts:
        yield resp.Batch(b"".join(parts), len(parts))


class Digest:
    """Digest of a data set that does not depend on the order in which pairs are added."""

    def __init__(self) -> None:
        self._sum = 0
        self.pairs = 0

    def add(self, key: bytes, value: bytes | None) -> None:
        """Adds one pair; a missing value counts as such."""
        framed = b"%d:%b%d:%b" % (len(key), key, -1 if value is None else len(value), value or b"")
        pair = hashlib.blake2b(framed, digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(pair, "little")) % (1 << 128)
        self.pairs += 1

    def hexdigest(self) -> str:
        """Returns the digest of all pairs added so far."""
        return f"{self._sum:032x}"


@dataclasses.dataclass(frozen=True)
class ReadBack:
    """Every pair that the server holds: how many, how many wrong, and a digest of all."""

    keys: int
    wrong: int
    digest: str


def time_reads(
    connection: resp.Connection, count: int, gap_s: float, between: Callable[[], None]
) -> npt.NDArray[np.float64]:
    """Reads keys that are there one at a time, so far apart; returns how long each took [us].

    `between` is called before each, and may take its time.

    Raises:
        ValueError: a value was wrong.
    """
    _, keys = connection.command("SCAN", 0, "COUNT", _SCAN_COUNT)
    took_us = np.zeros(count)
    for i in range(count):
        between()
        time.sleep(gap_s)
        key = keys[i % len(keys)]
        start_ns = time.monotonic_ns()
        value = connection.command("GET", key)
        took_us[i] = (time.monotonic_ns() - start_ns) / 1000
        # One that is gone was evicted: buffers of clients count towards the limit too.
        if value is not None and not is_right(key, value):
            raise ValueError(f"wrong value of {key!r}")
    return took_us


def read_back(connection: resp.Connection) -> ReadBack:
    """Reads every pair of the server and compares each value with the one its key asks for.

    The data set must not change meanwhile: SCAN may show a key twice otherwise.
    """
    digest = Digest()
    wrong = 0
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, listed = connection.command("SCAN", cursor, "COUNT", _SCAN_COUNT)
        keys = [key for key in listed if key not in seen]
        seen.update(keys)
        if keys:
            for key, value in zip(keys, connection.command("MGET", *keys), strict=True):
                digest.add(key, value)
                wrong += not is_right(key, value)
        if cursor == b"0":
            return ReadBack(keys=digest.pairs, wrong=wrong, digest=digest.hexdigest())
