"""Tests of resp.py, redis_server.py and redis_experiment.py against a real, small redis-server."""

import pathlib
import random
import shutil

import pytest

from python.mesh_tools import allocators, keyspace, redis_experiment, redis_server, resp

_REDIS = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(_REDIS is None, reason="no redis-server on this machine")


def test_info_is_read_by_field() -> None:
    text = "# Memory\r\nused_memory:123\r\nmem_allocator:jemalloc-5.3.0\r\n\r\n# CPU\r\nx:a:b\r\n"
    assert resp.parse_info(text) == {
        "used_memory": "123",
        "mem_allocator": "jemalloc-5.3.0",
        "x": "a:b",
    }


def test_a_command_is_encoded_as_bulk_strings() -> None:
    assert resp.encode_command("GET", b"\x00k", 7) == (
        b"*3\r\n$3\r\nGET\r\n$2\r\n\x00k\r\n$1\r\n7\r\n"
    )


@needs_redis
def test_pairs_are_inserted_read_back_and_damage_is_counted() -> None:
    assert _REDIS is not None
    with redis_server.RedisServer(_REDIS, allocators.builtin()) as server:
        connection = server.connect()
        done: list[int] = []
        keys = keyspace.random_keys(random.Random(3), 2500, 64)
        resp.insert(connection, keyspace.encode_sets(keys), done.append)
        assert done == [1000, 1000, 500]
        right = keyspace.read_back(connection)
        assert (right.keys, right.wrong) == (2500, 0)
        key = connection.command("RANDOMKEY")
        connection.command("SETRANGE", key, 10, b"damage!")
        damaged = keyspace.read_back(connection)
        assert (damaged.keys, damaged.wrong) == (2500, 1)
        assert damaged.digest != right.digest
        with pytest.raises(resp.ServerError, match="unknown command"):
            connection.command("NOSUCHCOMMAND")
        connection.close()
        assert server.shutdown() == ""


@needs_redis
def test_reads_are_timed_and_checked() -> None:
    assert _REDIS is not None
    with redis_server.RedisServer(_REDIS, allocators.builtin()) as server:
        connection = server.connect()
        connection.command("SET", "240:1", keyspace.value_of(b"240:1"))
        took_us = keyspace.time_reads(connection, 7, 0, lambda: None)
        assert len(took_us) == 7
        assert (took_us > 0).all()
        connection.command("SETRANGE", "240:1", 10, b"damage!")
        with pytest.raises(ValueError, match="240:1"):
            keyspace.time_reads(connection, 7, 0, lambda: None)
        connection.close()


@needs_redis
def test_a_dump_is_loaded_by_another_server() -> None:
    assert _REDIS is not None
    with redis_server.RedisServer(_REDIS, allocators.builtin()) as first:
        connection = first.connect()
        connection.command("SET", "240:1", keyspace.value_of(b"240:1"))
        connection.command("SAVE")
        with redis_server.RedisServer(_REDIS, allocators.builtin(), dump=first.dump_path) as second:
            other = second.connect()
            assert keyspace.read_back(other) == keyspace.read_back(connection)
            other.close()
        connection.close()


@needs_redis
def test_nothing_is_left_of_a_server() -> None:
    assert _REDIS is not None
    with redis_server.RedisServer(_REDIS, allocators.builtin()) as server:
        directory, pid = server.directory, server.pid
        assert pathlib.Path(f"/proc/{pid}").exists()
    assert not directory.exists()
    assert not pathlib.Path(f"/proc/{pid}").exists()


@needs_redis
def test_a_server_that_does_not_start_says_why() -> None:
    assert _REDIS is not None
    with pytest.raises(redis_server.ServerFailed, match="status 1"):
        redis_server.RedisServer(_REDIS, allocators.builtin(), {"maxmemory": "nonsense"})


@needs_redis
@pytest.mark.parametrize("allocator", [allocators.builtin(), allocators.glibc()])
def test_the_experiment_runs_small(allocator: allocators.Allocator) -> None:
    assert _REDIS is not None
    plan = redis_experiment.Plan(
        executable=_REDIS,
        fills=[redis_experiment.Fill(14000, 240), redis_experiment.Fill(3400, 492)],
        maxmemory_bytes=3 << 20,
        reads=20,
        pause_s=0.1,
        settle_s=0.3,
        sample_ms=20,
        seed=5,
    )
    done: list[int] = []
    payloads = redis_experiment.encode(plan, lambda _, count: done.append(count))
    assert sum(done) == 17400
    result = redis_experiment.run(plan, allocator, payloads, 0, lambda *_: None)
    assert result.is_right
    # The limit evicted, else this would be no cache.
    assert 1000 < result.checked < 14000
    assert result.save is not None
    assert result.save.fork_us > 0
    assert result.save.dump_bytes > result.checked * 240
    # Buffers of clients count as in use, but not against the limit.
    assert result.live_bytes <= 1.1 * plan.maxmemory_bytes
    assert result.settled.physical_bytes > 2 << 20
    assert [phase.name for phase in result.phases] == [
        "insert 240 B",
        "pause",
        "insert 492 B",
        "read",
        "idle",
        "save",
        "check",
    ]
    assert result.reads is not None
    assert result.reads.reads == 20
    assert 0 < result.reads.median_us <= result.reads.p999_us <= result.reads.longest_us
    assert result.mesh is None
