"""A small pipelining Redis client on hiredis: connect, commands, encoded batches, INFO.

Thread rule: one connection belongs to one thread.
"""

import dataclasses
import socket
from collections.abc import Callable, Iterable
from typing import Any

import hiredis

_RECEIVE_BYTES = 1 << 16


class ServerError(Exception):
    """The server answered with an error, or closed the connection."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Commands encoded ahead of time, so that encoding is not part of the measured time."""

    payload: bytes
    commands: int


def encode_command(*words: str | bytes | int) -> bytes:
    """Returns one command as the bytes to send."""
    # hiredis types the argument as a tuple of exactly one word, and the result not at all.
    encoded: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return encoded


class Connection:
    """One connection to a server on 127.0.0.1.

    Args:
        port: TCP port of the server.
        timeout_s: longest wait for one answer [s].

    Raises:
        OSError: nothing listens there.
    """

    def __init__(self, port: int, timeout_s: float = 60) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def close(self) -> None:
        """Closes the connection."""
        self._socket.close()

    def command(self, *words: str | bytes | int) -> Any:
        """Sends one command and returns its reply (bytes, int, list or None).

        Raises:
            ServerError: the reply is an error.
        """
        self._socket.sendall(encode_command(*words))
        return self._next_reply()

    def send(self, payload: bytes) -> None:
        """Sends encoded commands without waiting for the replies."""
        self._socket.sendall(payload)

    def expect_ok(self, count: int) -> None:
        """Reads `count` replies, each of which must be OK.

        Raises:
            ServerError: one of them is something else.
        """
        for _ in range(count):
            reply = self._next_reply()
            if reply != b"OK":
                raise ServerError(f"expected OK, the server said {reply!r}")

    def _next_reply(self) -> Any:
        reply = self._reader.gets()
        while reply is False:
            received = self._socket.recv(_RECEIVE_BYTES)
            if not received:
                raise ServerError("the server closed the connection")
            self._reader.feed(received)
            reply = self._reader.gets()
        if isinstance(reply, hiredis.ReplyError):
            raise ServerError(f"the server said: {reply}")
        return reply

    def info(self, section: str) -> dict[str, str]:
        """Returns one section of INFO, field to value."""
        return parse_info(self.command("INFO", section).decode())


def parse_info(text: str) -> dict[str, str]:
    """Reads the reply of INFO: `field:value` lines, comments begin with #."""
    fields = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if separator and not line.startswith("#"):
            fields[name] = value
    return fields


def insert(
    connection: Connection,
    batches: Iterable[Batch],
    on_batch: Callable[[int], None],
) -> None:
    """Sends all batches, each before the replies of the one before it are read.

    Args:
        on_batch: called with the number of commands whose replies have arrived.

    Raises:
        ServerError: a command failed.
    """
    waiting = 0
    for batch in batches:
        connection.send(batch.payload)
        if waiting:
            connection.expect_ok(waiting)
            on_batch(waiting)
        waiting = batch.commands
    if waiting:
        connection.expect_ok(waiting)
        on_batch(waiting)
