"""redis-server: fill, overwrite, delete, benchmark, BGSAVE under load; the dump read elsewhere."""

import contextlib
import pathlib
import random
import subprocess
import time
from collections.abc import Callable, Iterator

from . import harness

KEYS = 20000

# Relative to the server's directory: a UNIX socket's path may have 107 bytes only.
SOCKET = "s"

# The port stays closed: tests may run beside each other, and need no network.
OPTIONS = (
    *("--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"),
    *("--logfile", "log", "--enable-debug-command", "yes", "--maxmemory", "200mb"),
)


class Server:
    """A running redis-server of a sandbox, and its client."""

    def __init__(self, sandbox: harness.Sandbox) -> None:
        self._sandbox = sandbox
        self._client = harness.program("redis-cli")
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
        _wait_for(lambda: "connected_clients:1\r" in self.ask("INFO", "clients"), "quiet server")

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
        _wait_for(lambda: before != str(int(time.time())), "next second")
        self.ask("BGSAVE")
        _wait_for(lambda: self.ask("LASTSAVE") != before, "end of BGSAVE")

    def digest(self) -> str:
        """A digest of all data, whatever order it lies in."""
        return self.ask("DEBUG", "DIGEST")


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits up to a minute; AssertionError after that."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited for a minute in vain for: {what}")


@contextlib.contextmanager
def _running(sandbox: harness.Sandbox) -> Iterator[Server]:
    """A redis-server of the sandbox, which has to end with status 0 and to have said nothing."""
    with subprocess.Popen(
        [harness.program("redis-server"), *OPTIONS],
        cwd=sandbox.root,
        env=sandbox.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            server = Server(sandbox)
            _wait_for(
                lambda: server.is_ready() or process.poll() is not None, "start of the server"
            )
            yield server
            server.ask("SHUTDOWN", "NOSAVE")
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    log = (sandbox.root / "log").read_text(errors="replace")
    assert (process.returncode, stdout, stderr) == (0, b"", b""), log[-harness.EXCERPT_BYTES :]


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
                assert benchmark.wait(timeout=100) == 0
            server.wait_until_alone()
            server.save_in_background()
            expected = server.digest().encode()
        dump = (sandbox.root / "dump.rdb").read_bytes()
        assert _digest_of(root.parent / "reader", dump) == expected


def _digest_of(directory: pathlib.Path, dump: bytes) -> bytes:
    """The digest that a server without the library computes from a dump."""
    reader = harness.Sandbox(directory, None, {})
    reader.write("dump.rdb", dump)
    with _running(reader) as server:
        return server.digest().encode()
