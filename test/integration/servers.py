"""Servers that a test starts, talks to over loopback or a socket file, and ends by their process.

Nothing of a server outlives the test: its files lie in the sandbox, and all its processes are in a
session of their own, which is killed if the server does not end when it is told to.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

# Longest that a server may take to do what it is told [s]. Far more than any needs: machines that
# test are slow and busy.
WAIT_S = 300.0


@dataclasses.dataclass
class Server:
    """A running server; status and output are there once `serving` has left its block."""

    process: subprocess.Popen[bytes]
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def has_ended(self) -> bool:
        """Whether its first process is gone."""
        return self.process.poll() is not None

    def reload(self) -> None:
        """Sends SIGHUP to its first process."""
        self.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def serving(
    command: Sequence[str | pathlib.Path],
    environment: Mapping[str, str],
    directory: pathlib.Path,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[Server]:
    """Runs a server for the length of the block; the block tells it to end, or `stop` does.

    Raises: AssertionError: it has not ended WAIT_S after it was told to.
    """
    # Files: nobody reads a pipe while the block lasts, and a full one stops who writes.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        server = Server(process)
        try:
            yield server
            # Told by its own means, a server may already be on its way.
            if process.poll() is None:
                process.send_signal(stop)
            process.wait(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{command[0]} goes on after it was told to end") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            server.stdout, server.stderr = _content(stdout), _content(stderr)


def _content(file: IO[bytes]) -> bytes:
    """All that was written to a file."""
    file.seek(0)
    return file.read()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits up to WAIT_S; AssertionError after that."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {WAIT_S:.0f} s in vain for: {what}")


@contextlib.contextmanager
def own_port() -> Iterator[int]:
    """A port of the loopback interface that nobody else gets while the block lasts.

    It is bound here, and not listened to: who asks for SO_REUSEPORT too, as the same user, may
    listen to it beside us, whenever that is.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
