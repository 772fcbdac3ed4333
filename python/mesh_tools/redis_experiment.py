"""The paper's Redis experiment on one allocator: fill an LRU cache twice, idle, save, check.

Source: Powers et al., PLDI 2019, section 6.2.2. The second filling evicts about half of the first
one's entries at random places, whose slots are too small for the new values: that leaves holes in
almost every page.
"""

import dataclasses
import pathlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import allocators, keyspace, memory, redis_server, resp, results

_SAVE_TIMEOUT_S = 120.0
_POLL_S = 0.05
# Time between two reads: the server sleeps in between, which is when compaction goes on.
_READ_GAP_S = 0.0002
# The settled figure is the median over the end of the idle phase.
_SETTLED_WINDOW_MS = 1000.0


class PreloadIneffective(Exception):
    """The server still allocates from the allocator it is linked to."""


@dataclasses.dataclass(frozen=True)
class Fill:
    """One filling phase: how many random keys, and the length of their values."""

    keys: int
    value_bytes: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Parameters of the experiment.

    pause_s: idle time between two fills [s]; Redis's LRU clock ticks once a second, so that without
    one it evicts old and new keys alike. reads: single reads after the fills, which find the server
    compacting; they are timed. settle_s: idle time before memory is judged [s].
    sample_ms: time between two samples [ms].
    """

    executable: str
    fills: Sequence[Fill]
    maxmemory_bytes: int
    pause_s: float
    reads: int
    settle_s: float
    sample_ms: float
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Returns the parameters as plain data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Payload:
    """A filling phase, encoded."""

    fill: Fill
    batches: Sequence[resp.Batch]


Progress = Callable[[str, int], None]


def encode(plan: Plan, progress: Progress) -> list[Payload]:
    """Encodes every command of the experiment; done once, so that all allocators get the same.

    Args:
        progress: called with what is being done and the commands done since the last call.
    """
    rng = random.Random(plan.seed)
    payloads = []
    for fill in plan.fills:
        batches = []
        keys = keyspace.random_keys(rng, fill.keys, fill.value_bytes)
        for batch in keyspace.encode_sets(keys):
            batches.append(batch)
            progress("encode", batch.commands)
        payloads.append(Payload(fill, batches))
    return payloads


class _Run:
    """One server's life: the phases in order, with the sampler beside them."""

    def __init__(
        self,
        plan: Plan,
        allocator: allocators.Allocator,
        server: redis_server.RedisServer,
        progress: Progress,
    ) -> None:
        self._plan = plan
        self._allocator = allocator
        self._server = server
        self._progress = progress
        self._connection = server.connect()
        self._info_connection = server.connect()
        self._phases: list[results.Phase] = []
        self._sampler = memory.MemorySampler(server.pid, plan.sample_ms, self._used_memory)

    def execute(self, payloads: Sequence[Payload], round_index: int) -> results.RunResult:
        if self._allocator.active_defrag:
            _start_active_defrag(self._connection)
        cpu_before_ms = self._cpu_ms()
        fill_ms: list[float] = []
        for payload in payloads:
            if fill_ms:
                self._begin("pause")
                time.sleep(self._plan.pause_s)
            fill_ms.append(self._fill(payload))
        cpu_ms = self._cpu_ms() - cpu_before_ms
        label = self._check_allocator()
        reads = self._read()
        settled, live_bytes = self._settle()
        dump, fork_us = self._save()
        self._begin("check")
        live = keyspace.read_back(self._connection)
        series = self._sampler.stop()
        mesh_report = allocators.parse_mesh_report(self._server.shutdown())
        return results.RunResult(
            allocator=self._allocator.name,
            label=label,
            round_index=round_index,
            series=series,
            phases=self._phases,
            settled=settled,
            live_bytes=live_bytes,
            fill_ms=fill_ms,
            cpu_ms=cpu_ms,
            checked=live.keys,
            wrong=live.wrong,
            reads=reads,
            save=results.SaveResult(
                fork_us=fork_us,
                dump_bytes=dump.stat().st_size,
                reload_matches=self._reload(dump) == live,
            ),
            mesh=mesh_report,
        )

    def close(self) -> None:
        self._sampler.stop()
        self._connection.close()
        self._info_connection.close()

    def _begin(self, name: str) -> None:
        self._phases.append(results.Phase(name, self._sampler.now_ms()))
        self._progress(f"{self._allocator.name}: {name}", 0)

    def _used_memory(self) -> int:
        """Called by the sampler's thread, hence the connection of its own."""
        try:
            return int(self._info_connection.info("memory")["used_memory"])
        except resp.ServerError as error:
            raise OSError("the server is gone") from error

    def _cpu_ms(self) -> float:
        cpu = self._connection.info("cpu")
        return 1000 * (float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]))

    def _fill(self, payload: Payload) -> float:
        self._begin(f"insert {payload.fill.value_bytes} B")
        start_s = time.monotonic()
        resp.insert(
            self._connection,
            payload.batches,
            lambda commands: self._progress(f"{self._allocator.name}: insert", commands),
        )
        return (time.monotonic() - start_s) * 1000

    def _check_allocator(self) -> str:
        """Returns the allocator's label; makes sure that a preloaded one is really in use.

        A redis-server with jemalloc tells what jemalloc itself handed out.
        """
        memory_info = self._connection.info("memory")
        linked = memory_info.get("mem_allocator", "unknown")
        if self._allocator.preload is None:
            return f"{self._allocator.name} ({linked})"
        from_jemalloc = int(memory_info.get("allocator_allocated", "0"))
        if linked.startswith("jemalloc") and from_jemalloc > int(memory_info["used_memory"]) // 2:
            raise PreloadIneffective(
                f"{self._plan.executable} keeps to its own {linked}, LD_PRELOAD="
                f"{self._allocator.preload} has no effect: its jemalloc is not a shared library"
            )
        return self._allocator.name

    def _read(self) -> results.ReadLatency | None:
        if self._plan.reads == 0:
            return None
        self._begin("read")
        try:
            with self._sampler.by_hand() as sample:
                took_us = keyspace.time_reads(
                    self._connection, self._plan.reads, _READ_GAP_S, sample
                )
        except ValueError as error:
            raise redis_server.ServerFailed(str(error)) from error
        return results.ReadLatency(
            reads=len(took_us),
            median_us=float(np.median(took_us)),
            p999_us=float(np.percentile(took_us, 99.9)),
            longest_us=float(took_us.max()),
        )

    def _settle(self) -> tuple[memory.MemoryPoint, int]:
        self._begin("idle")
        time.sleep(self._plan.settle_s)
        end_ms = self._sampler.now_ms()
        settled = memory.median_point(self._sampler.points_since(end_ms - _SETTLED_WINDOW_MS))
        return settled, int(self._connection.info("memory")["used_memory"])

    def _save(self) -> tuple[pathlib.Path, int]:
        """Saves in the background; returns the dump and the time of fork() [us]."""
        self._begin("save")
        # Buffers of clients count towards the limit: the checks would evict what they look for.
        self._connection.command("CONFIG", "SET", "maxmemory", "0")
        self._connection.command("BGSAVE")
        deadline = time.monotonic() + _SAVE_TIMEOUT_S
        persistence = self._connection.info("persistence")
        while persistence["rdb_bgsave_in_progress"] != "0":
            if time.monotonic() > deadline:
                raise redis_server.ServerFailed(
                    f"BGSAVE did not end within {_SAVE_TIMEOUT_S:.0f} s"
                )
            time.sleep(_POLL_S)
            persistence = self._connection.info("persistence")
        if persistence["rdb_last_bgsave_status"] != "ok":
            raise redis_server.ServerFailed("BGSAVE failed")
        fork_us = int(self._connection.info("stats")["latest_fork_usec"])
        return self._server.dump_path, fork_us

    def _reload(self, dump: pathlib.Path) -> keyspace.ReadBack:
        """Loads the dump into a plain server without a memory limit; returns what it holds."""
        with redis_server.RedisServer(
            self._plan.executable, allocators.builtin(), dump=dump
        ) as plain:
            connection = plain.connect()
            try:
                return keyspace.read_back(connection)
            finally:
                connection.close()


def _start_active_defrag(connection: resp.Connection) -> None:
    connection.command("CONFIG", "SET", "activedefrag", "yes")


def has_active_defrag(executable: str) -> bool:
    """Tells whether a redis-server can defragment: most packages are built without it."""
    with redis_server.RedisServer(executable, allocators.builtin()) as server:
        connection = server.connect()
        try:
            _start_active_defrag(connection)
        except resp.ServerError:
            return False
        finally:
            connection.close()
    return True


def run(
    plan: Plan,
    allocator: allocators.Allocator,
    payloads: Sequence[Payload],
    round_index: int,
    progress: Progress,
) -> results.RunResult:
    """Runs the experiment once.

    Raises:
        redis_server.ServerFailed: the server did not start, save or end as it should.
        resp.ServerError: a command failed.
        PreloadIneffective: the allocator is not the one in use.
    """
    settings = {
        "maxmemory": str(plan.maxmemory_bytes),
        "maxmemory-policy": "allkeys-lru",
    }
    with redis_server.RedisServer(plan.executable, allocator, settings) as server:
        one = _Run(plan, allocator, server, progress)
        try:
            return one.execute(payloads, round_index)
        finally:
            one.close()
