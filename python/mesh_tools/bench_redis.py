"""redis-benchmark against a redis-server on one allocator; what the server used counts."""

import pathlib
import shutil
import subprocess
import time

import psutil

from . import allocators, bench_results, bench_runner, memory, redis_server

_REQUESTS = 150_000
_KEYS = 50_000
_TESTS = "set,get,lpush,sadd,hset,zadd,lpop"
_TIMEOUT_S = 300
_SAMPLE_MS = 20.0


def run(
    allocator: allocators.Allocator, round_index: int, kind: str, setting: bench_runner.Setting
) -> bench_results.BenchRun:
    """Runs the load once; a unit is a request.

    Raises:
        RunFailed: the server or the client failed.
    """
    server_path, client_path = shutil.which("redis-server"), shutil.which("redis-benchmark")
    if server_path is None or client_path is None:
        raise bench_runner.RunFailed("no redis-server, or no redis-benchmark")
    requests = max(1000, round(_REQUESTS * setting.scale))
    try:
        with redis_server.RedisServer(server_path, allocator) as server:
            return _load(server, client_path, requests, allocator, round_index, kind)
    except redis_server.ServerFailed as error:
        raise bench_runner.RunFailed(str(error)) from error


def _load(
    server: redis_server.RedisServer,
    client: str,
    requests: int,
    allocator: allocators.Allocator,
    round_index: int,
    kind: str,
) -> bench_results.BenchRun:
    process = psutil.Process(server.pid)
    sampler = None
    if kind == bench_runner.OBSERVED:
        sampler = memory.MemorySampler(server.pid, _SAMPLE_MS)
    before, faults_before = process.cpu_times(), _faults(server.pid)
    start_s = time.monotonic()
    _run_client(client, server.port, requests)
    wall_s = time.monotonic() - start_s
    after, faults = process.cpu_times(), _faults(server.pid)
    series = sampler.stop() if sampler else None
    report = allocators.parse_mesh_report(server.shutdown())
    return bench_results.BenchRun(
        allocator=allocator.name,
        round_index=round_index,
        kind=kind,
        units=requests * len(_TESTS.split(",")),
        wall_s=wall_s,
        user_s=after.user - before.user,
        system_s=after.system - before.system,
        minor_faults=faults[0] - faults_before[0],
        major_faults=faults[1] - faults_before[1],
        memory=bench_runner.summarise(series) if series else None,
        mesh=report,
    )


def _run_client(client: str, port: int, requests: int) -> None:
    command = [client, "-p", str(port), "-q", "-n", str(requests), "-r", str(_KEYS)]
    command += ["-d", "100", "-P", "16", "-t", _TESTS]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, stdin=None
    )
    if done.returncode != 0:
        raise bench_runner.RunFailed(f"redis-benchmark: {done.stderr.strip()}")


def _faults(pid: int) -> tuple[int, int]:
    """Returns minor and major faults so far. Source: proc_pid_stat(5), fields 10 and 12."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[7]), int(fields[9])
