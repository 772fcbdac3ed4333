"""redis-server: fill, overwrite, delete, benchmark, BGSAVE under load; the dump read elsewhere."""

import contextlib
import pathlib
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping

import pytest

from . import harness, servers

KEYS = 20000

# Relative to the server's directory: a UNIX socket's path may have 107 bytes only.
SOCKET = "s"

# The port stays closed: tests may run beside each other, and need no network.
OPTIONS = (
    *("--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"),
    *("--logfile", "log", "--enable-debug-command", "yes", "--maxmemory", "200mb"),
    # The log is rewritten when a test says so.
    *("--auto-aof-rewrite-percentage", "0"),
)


class Server:
    """A running redis-server of a sandbox, and its client."""

    def __init__(self, sandbox: harness.Sandbox) -> None:
        self._sandbox = sandbox
        self._client = harness.program("redis-cli")
        # Spans meshed; known when it has ended.
        self.meshed = 0
        # The client and the benchmark are not what is tested here.
        self._environment = {"PATH": "/usr/bin:/bin"}

    def ask(self, *command: str, stdin: bytes = b"") -> str:
        """Sends one command, or `stdin` as a stream of commands, and returns the answer."""
        call = [self._client, "-s", SOCKET, *command]
        outcome = harness.run_program(call, self._environment, self._sandbox.root, stdin)
        assert outcome.status == 0, harness.describe(outcome)
        return outcome.stdout.decode().strip()

    def is_ready(self) -> bool:
        """Whether it answers: no longer starting, no longer loading a dump."""
        call = [self._client, "-s", SOCKET, "PING"]
        return harness.run_program(call, self._environment, self._sandbox.root).stdout == b"PONG\n"

    def wait_until_alone(self) -> None:
        """Waits for the end of all other clients, and so of the commands they left behind."""
        servers.wait_for(
            lambda: "connected_clients:1\r" in self.ask("INFO", "clients"), "quiet server"
        )

    def benchmark(self) -> None:
        """Runs redis-benchmark over commands that allocate in many sizes."""
        call = [harness.program("redis-benchmark"), "-s", SOCKET, "-q", "-n", "20000", "-r", "5000"]
        for size, tests in (("100", "set,get,lpush,lpop,sadd,hset,zadd"), ("3000", "set,mset")):
            outcome = harness.run_program(
                [*call, "-d", size, "-t", tests, "-P", "16"], self._environment, self._sandbox.root
            )
            assert outcome.status == 0, harness.describe(outcome)

    def save_in_background(self) -> None:
        """BGSAVE, waited for."""
        before = self.ask("LASTSAVE")
        # LASTSAVE counts in seconds.
        servers.wait_for(lambda: before != str(int(time.time())), "next second")
        self.ask("BGSAVE")
        servers.wait_for(lambda: self.ask("LASTSAVE") != before, "end of BGSAVE")

    def rewrite_log(self) -> None:
        """BGREWRITEAOF, waited for."""
        self.ask("BGREWRITEAOF")
        # It is put off while a child saves.
        at_rest = ("aof_rewrite_in_progress:0\r", "aof_rewrite_scheduled:0\r")
        servers.wait_for(
            lambda: all(line in self.ask("INFO", "persistence") for line in at_rest),
            "end of BGREWRITEAOF",
        )

    def digest(self) -> str:
        """A digest of all data, whatever order it lies in."""
        return self.ask("DEBUG", "DIGEST")


@contextlib.contextmanager
def _running(sandbox: harness.Sandbox, *options: str) -> Iterator[Server]:
    """A redis-server of the sandbox, which has to end with status 0 and to have said nothing."""
    command = [harness.program("redis-server"), *OPTIONS, *options]
    with servers.serving(command, sandbox.environment(), sandbox.root) as running:
        server = Server(sandbox)
        servers.wait_for(lambda: server.is_ready() or running.has_ended, "start of the server")
        yield server
        server.ask("SHUTDOWN", "NOSAVE")
    log = (sandbox.root / "log").read_text(errors="replace")
    stderr, server.meshed = harness.take_statistics(running.stderr)
    silent = (running.process.returncode, running.stdout, stderr) == (0, b"", b"")
    assert silent, log[-harness.EXCERPT_BYTES :]


def _fill() -> bytes:
    """Commands that write, overwrite with other sizes, and delete: a fragmented heap."""
    generator = random.Random(1)
    lines = []
    for number in range(KEYS):
        lines.append(f"SET k{number} {'v' * generator.randrange(1, 700)}{number}")
        lines.append(f"HSET h{number % 500} f{number} {'w' * generator.randrange(1, 90)}")
        lines.append(f"RPUSH l{number % 300} {generator.random()}")
        lines.append(f"ZADD z{number % 50} {number} m{number}")
    for number in range(0, KEYS, 2):
        lines.append(f"SET k{number} {'x' * generator.randrange(1, 1500)}")
    lines += [f"DEL k{number}" for number in range(KEYS) if number % 5 != 0]
    return "\n".join(lines).encode() + b"\n"


def test_redis(root: pathlib.Path, repeats: int) -> None:
    """The same commands give the same data, live and by way of a dump that another server loads."""
    fill = _fill()

    def scenario(sandbox: harness.Sandbox) -> None:
        with _running(sandbox) as server:
            server.ask("--pipe", stdin=fill)
            sandbox.observe("digest", server.digest().encode())
            server.save_in_background()
            dump = (sandbox.root / "dump.rdb").read_bytes()
            server.benchmark()
            server.ask("FLUSHALL")
            assert server.ask("DBSIZE") == "0"
        sandbox.observe("digest from the dump", _digest_of(root.parent / "reader", dump))

    harness.expect_same(scenario, root, repeats)


def test_save_under_load(root: pathlib.Path, repeats: int) -> None:
    """BGSAVE while a benchmark writes; afterwards a quiet dump holds exactly the live data."""
    for number in range(repeats):
        settings = harness.SETTINGS[number % len(harness.SETTINGS)]
        sandbox = harness.Sandbox(root, harness.library(), settings)
        with _running(sandbox) as server:
            server.ask("--pipe", stdin=_fill())
            load = [harness.program("redis-benchmark"), "-s", SOCKET, "-q", "-r", "100000"]
            with subprocess.Popen(
                [*load, "-n", "150000", "-d", "200", "-t", "set", "-P", "8"],
                cwd=sandbox.root,
                stdout=subprocess.DEVNULL,
            ) as benchmark:
                server.save_in_background()
                assert benchmark.wait(timeout=servers.WAIT_S) == 0
            server.wait_until_alone()
            server.save_in_background()
            expected = server.digest().encode()
        dump = (sandbox.root / "dump.rdb").read_bytes()
        assert _digest_of(root.parent / "reader", dump) == expected


@pytest.mark.parametrize(
    "settings", harness.TIER_SETTINGS, ids=lambda settings: settings["MESH_BARRIER"]
)
def test_saves_and_rewrites_under_load(
    settings: Mapping[str, str], root: pathlib.Path, full: bool
) -> None:
    """Child after child writes dump and log while the parent stores and meshes; both are right."""
    sandbox = harness.Sandbox(root, harness.library(), {**settings, "MALLOCSTATS": "1"})
    load = [harness.program("redis-benchmark"), "-s", SOCKET, "-q", "-r", "50000", "-l"]
    # jemalloc, though replaced, has a thread that blocks all signals: none is meshed by mprotect
    # beside such a thread.
    options = ("--appendonly", "yes", "--appendfsync", "no", "--jemalloc-bg-thread", "no")
    with _running(sandbox, *options) as server:
        server.ask("--pipe", stdin=_fill())
        call = [*load, "-d", "200", "-t", "set,lpush,lpop,hset,zadd", "-P", "4", "-c", "8"]
        with servers.serving(call, {"PATH": "/usr/bin:/bin"}, sandbox.root) as benchmark:
            for _ in range(50 if full else 3):
                server.save_in_background()
                server.rewrite_log()
            assert not benchmark.has_ended, benchmark.stderr
        server.wait_until_alone()
        server.save_in_background()
        expected = server.digest().encode()
        state = server.ask("INFO", "persistence")
        for what in ("rdb_last_bgsave", "aof_last_bgrewrite", "aof_last_write"):
            assert f"{what}_status:ok" in state, state
    print(f"{server.meshed} spans meshed")
    assert not harness.is_mesh() or server.meshed > 0
    dump = (sandbox.root / "dump.rdb").read_bytes()
    assert _digest_of(root.parent / "reader", dump) == expected
    assert _digest_of_log(root.parent / "log_reader", sandbox.root / "appendonlydir") == expected


def _digest_of_log(directory: pathlib.Path, log: pathlib.Path) -> bytes:
    """The digest that a server without the library computes from an append-only log."""
    reader = harness.Sandbox(directory, None, {})
    shutil.copytree(log, reader.root / log.name)
    with _running(reader, "--appendonly", "yes") as server:
        return server.digest().encode()


def _digest_of(directory: pathlib.Path, dump: bytes) -> bytes:
    """The digest that a server without the library computes from a dump."""
    reader = harness.Sandbox(directory, None, {})
    reader.write("dump.rdb", dump)
    with _running(reader) as server:
        return server.digest().encode()
