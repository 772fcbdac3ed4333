"""Tests of keyspace.py: values follow from keys, damage is noticed, digests ignore order."""

import random

import pytest

from python.mesh_tools import keyspace


def test_value_follows_from_the_key() -> None:
    key = next(keyspace.random_keys(random.Random(1), 1, 240))
    assert key.startswith(b"240:")
    assert len(keyspace.value_of(key)) == 240
    assert keyspace.value_of(key) == keyspace.value_of(key)
    with pytest.raises(ValueError, match="not a key"):
        keyspace.value_of(b"240")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"240:1", None),
        (b"240:1", keyspace.value_of(b"240:2")),
        (b"240:1", keyspace.value_of(b"240:1")[:-1]),
        (b"99999999999999:1", b"short"),
        (b"\xff\xfe", b"key damaged"),
    ],
)
def test_damage_is_noticed(key: bytes, value: bytes | None) -> None:
    assert not keyspace.is_right(key, value)


def test_the_right_value_is_right() -> None:
    assert keyspace.is_right(b"240:1", keyspace.value_of(b"240:1"))


def test_batches_hold_every_command_and_depend_on_the_seed_only() -> None:
    def encode(seed: int) -> list[tuple[int, bytes]]:
        keys = keyspace.random_keys(random.Random(seed), 1500, 8)
        return [(b.commands, b.payload) for b in keyspace.encode_sets(keys)]

    assert [commands for commands, _ in encode(1)] == [1000, 500]
    assert encode(1) == encode(1)
    assert encode(1) != encode(2)
    assert sum(payload.count(b"SET") for _, payload in encode(1)) >= 1500


def test_digest_depends_on_the_pairs_and_not_on_their_order() -> None:
    def digest(pairs: list[tuple[bytes, bytes | None]]) -> str:
        result = keyspace.Digest()
        for key, value in pairs:
            result.add(key, value)
        return result.hexdigest()

    assert digest([(b"a", b"1"), (b"b", b"2")]) == digest([(b"b", b"2"), (b"a", b"1")])
    assert digest([(b"a", b"1")]) != digest([(b"a", None)])
    assert digest([(b"a", b"b1")]) != digest([(b"ab", b"1")])
