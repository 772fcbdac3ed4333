"""The n-th system call from each call site of the library is refused, in redis-server and nginx.

Whatever is refused, what a server keeps and answers is right; or it says that there is no memory:
redis-server by ending, as it does wherever malloc gives it none, nginx by refusing the request.
"""

import contextlib
import hashlib
import http.client
import io
import os
import pathlib
import re
import signal
import socket
from collections.abc import Iterator, Sequence

import pytest

from . import harness, refused_calls, servers

# Frequent passes, and a line about them at the end.
SETTINGS = {"MESH_PERIOD_MS": "1", "MESH_CPU_PERCENT": "100", "MALLOCSTATS": "1"}
SOCKET = "s"
# Calls without which there is no memory at all: mmap, mprotect.
MEMORY_CALLS = (9, 10)
# Longest that a server may take to answer [s]. One that could make no worker never does.
ANSWER_S = 60.0

REFUSED = b"refused"
# Of the status of an answer by HTTP: the server could not.
ERRORS_FROM = 500
ENDS_MUTE = (1, 128 + signal.SIGSEGV)

# How the servers say that they had no memory, or could make no thread or process.
NO_MEMORY = re.compile(
    rb"Out Of Memory|Cannot allocate memory|Can't save in background|malloc\(\d+\) failed"
    rb"|Can't initialize Background Jobs|Resource temporarily unavailable"
)
# How they say that something else is wrong.
WRONG = re.compile(rb"mesh:|exited on signal|crashed by signal|bug report|[Cc]orrupt|[Cc]hecksum")

# So many that it is meshed without waiting for it.
KEYS = 16000
# Ways in which nginx is asked for a page; connections open at one time.
ENCODINGS = ("identity", "gzip")
CONNECTIONS = 300
SIZES = (20, 1500, 4100, 70_000)
CONFIGURATION = """
daemon off; worker_processes 1; pid nginx.pid; error_log log notice; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  connection_pool_size 256; request_pool_size 512; client_header_buffer_size 512;
  gzip on; gzip_min_length 100; gzip_types text/plain;
  server {{ listen unix:s; root files; }}
}}
"""


class Server(refused_calls.Player):
    """A server in one tier; a subclass says how it is started, spoken to and ended."""

    def __init__(self, root: pathlib.Path, barrier: str) -> None:
        super().__init__(root)
        self._settings = {"MESH_BARRIER": barrier, **SETTINGS}
        # Digests of what is answered, one after the other.
        self._expected: list[bytes] = []
        self._answered: list[bytes] = []
        self._meshed = 0
        wrong = self.play(refused_calls.NOTHING, 0, 0)
        assert not wrong, wrong
        assert self._answered, "nothing was answered"
        assert self._meshed > 0, "nothing was meshed"
        self._expected = self._answered

    def play(self, site: refused_calls.Site, first: int, count: int) -> str:
        self._answered = []
        sandbox = harness.Sandbox(self.root, None, {})
        command = [*self.refusing(site, first, count), *self._command(sandbox)]
        environment = sandbox.environment(self._settings)
        # What is sent a signal where the server goes on is what refuses its calls.
        with servers.serving(command, environment, sandbox.root) as running:
            servers.wait_for(lambda: self._is_ready() or running.has_ended, "start of the server")
            with contextlib.suppress(OSError, EOFError, http.client.HTTPException):
                self._talk()
                servers.wait_for(lambda: running.has_ended, "end of the server")
        refused_calls.need_listener(running.process.returncode)
        log = sandbox.root / "log"
        text = running.stdout + running.stderr + (log.read_bytes() if log.exists() else b"")
        said, self._meshed = harness.take_statistics(text)
        return self._judge(site, running.process.returncode, said)

    def _judge(self, site: refused_calls.Site, status: int, said: bytes) -> str:
        """What is wrong with a server that ended so; "" if nothing is."""
        text = f"status {status}, {len(self._answered)} answers: {said.decode(errors='replace')}"
        answers = zip(self._answered, self._expected, strict=False)
        if any(mine not in (right, REFUSED) for mine, right in answers):
            return f"wrong answers, {text}"
        if WRONG.search(said):
            return text
        is_complete = status == 0 and len(self._answered) >= len(self._expected)
        # Without any memory it cannot even say so; redis-server dies of SIGSEGV when it tries.
        is_mute = site.number in MEMORY_CALLS and status in ENDS_MUTE and not said
        if is_mute or (is_complete and REFUSED not in self._answered) or NO_MEMORY.search(said):
            return ""
        return text

    def _command(self, sandbox: harness.Sandbox) -> Sequence[str]:
        """The server's command; writes what it needs."""
        raise NotImplementedError

    def _talk(self) -> None:
        """Asks, adds to what was answered, and tells the server to end.

        Raises: OSError, EOFError, HTTPException: the server is not there, or has hung up.
        """
        raise NotImplementedError

    def _is_ready(self) -> bool:
        """Whether it takes connections."""
        try:
            with self._connected():
                return True
        except OSError:
            return False

    @contextlib.contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """A connection. A socket's path may have 107 bytes only: it goes by a descriptor's."""
        directory = os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(ANSWER_S)
                connection.connect(f"/proc/self/fd/{directory}/{SOCKET}")
                yield connection
        finally:
            os.close(directory)


class Redis(Server):
    """Fills, thins out, saves in a child, and reads what the child has saved."""

    OPTIONS = (
        *("--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no"),
        *("--logfile", "log", "--enable-debug-command", "yes"),
    )

    def _command(self, sandbox: harness.Sandbox) -> Sequence[str]:
        return [harness.program("redis-server"), *self.OPTIONS]

    def _talk(self) -> None:
        with self._connected() as connection, connection.makefile("rwb") as stream:

            def ask(*commands: str) -> list[bytes]:
                stream.write("".join(f"{command}\r\n" for command in commands).encode())
                stream.flush()
                return [_reply(stream) for _ in commands]

            ask(*(f"SET k{i} {i % 10}{'v' * (20 + i * 7919 % 700)}" for i in range(KEYS)))
            ask(*(f"DEL k{i}" for i in range(KEYS) if i % 8 != 0))
            # Passes begin when memory is asked for.
            for _ in range(4):
                ask(*(f"SET t{i} {'t' * (i * 7919 % 700)}" for i in range(KEYS // 4)))
                ask(*(f"DEL t{i}" for i in range(KEYS // 4)))
            ask("BGSAVE")
            servers.wait_for(
                lambda: b"rdb_bgsave_in_progress:0" in ask("INFO persistence")[0], "end of BGSAVE"
            )
            is_saved = b"rdb_last_bgsave_status:ok" in ask("INFO persistence")[0]
            if is_saved and (self.root / "dump.rdb").exists():
                ask("DEBUG RELOAD NOSAVE")
            ask(*(f"SET k{i} {'w' * (i % 900)}" for i in range(0, KEYS, 16)))
            for answer in ask(*(f"GET k{i}" for i in range(KEYS)), "DBSIZE"):
                self._answered.append(hashlib.sha256(answer).digest())
            stream.write(b"SHUTDOWN NOSAVE\r\n")
            stream.flush()


class Nginx(Server):
    """Serves pages over many connections, and loads its configuration anew in between."""

    def _command(self, sandbox: harness.Sandbox) -> Sequence[str]:
        for size in SIZES:
            sandbox.write(f"files/{size}.txt", "".join(f"{i % 997} " for i in range(size))[:size])
        user = "user root;" if harness.is_root() else ""
        sandbox.write("nginx.conf", CONFIGURATION.format(user=user))
        return [harness.program("nginx"), "-p", str(self.root), "-c", "nginx.conf", "-e", "log"]

    def _is_ready(self) -> bool:
        # Its process number is the last thing that it writes.
        pid = self.root / "nginx.pid"
        return super()._is_ready() and pid.exists() and pid.stat().st_size > 0

    def _talk(self) -> None:
        master = int((self.root / "nginx.pid").read_text())
        self._ask_for_pages(CONNECTIONS)
        os.kill(master, signal.SIGHUP)
        self._ask_for_pages(CONNECTIONS)
        os.kill(master, signal.SIGQUIT)

    def _ask_for_pages(self, connections: int) -> None:
        """Asks for all pages by so many connections at one time; every eighth then stays open.

        What is left of their memory can be meshed while more are asked for, one after the other.
        """
        with contextlib.ExitStack() as kept:
            with contextlib.ExitStack() as left:
                for i in range(connections):
                    self._ask_for_page(i, kept if i % 8 == 0 else left)
            for i in range(len(SIZES) * len(ENCODINGS)):
                with contextlib.ExitStack() as left:
                    self._ask_for_page(i, left)

    def _ask_for_page(self, number: int, stack: contextlib.ExitStack) -> None:
        """Asks for a page by a connection of its own, which is left to `stack`."""
        client = http.client.HTTPConnection("localhost")
        client.sock = stack.enter_context(self._connected())
        path = f"/{SIZES[number % len(SIZES)]}.txt"
        encoding = ENCODINGS[number // len(SIZES) % len(ENCODINGS)]
        client.request("GET", path, headers={"Accept-Encoding": encoding})
        answer = client.getresponse()
        content = hashlib.sha256(answer.read()).digest()
        self._answered.append(REFUSED if answer.status >= ERRORS_FROM else content)


def _reply(stream: io.BufferedRWPair) -> bytes:
    """One answer of a redis-server, be it a line or a text."""
    line = stream.readline()
    if not line:
        raise EOFError
    return line if line[:1] != b"$" or line == b"$-1\r\n" else stream.read(int(line[1:]) + 2)


@pytest.mark.parametrize("barrier", refused_calls.BARRIERS)
@pytest.mark.parametrize("server", [Redis, Nginx])
def test_refused_calls_of_every_site(
    server: type[Server],
    barrier: str,
    root: pathlib.Path,
    full: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the first time on; with --full, in every tier, and the first, second, fourth call..."""
    if barrier != "auto" and not full:
        pytest.skip("only with --full")
    if server is Redis and barrier == "segv":
        pytest.skip("its jemalloc, though replaced, has a thread that blocks all signals")
    player = server(root, barrier)
    most = 20 if full else 0
    numbers = {
        site: [1 << i for i in range(most) if 1 << i <= site.calls] for site in player.sites()
    }
    done = refused_calls.play_all(player, numbers)
    with capsys.disabled():
        print(f"{server.__name__}, {barrier}: {done}")
