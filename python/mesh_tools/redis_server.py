"""Starts a redis-server of our own in a directory of its own, and stops exactly that one."""

import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from types import TracebackType

from . import allocators, resp

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 60.0
_POLL_S = 0.02
_LOG_TAIL_LINES = 5


class ServerFailed(Exception):
    """A redis-server did not start, did not answer, or ended in an unexpected way."""


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A running redis-server; a context manager that ends it and removes its directory.

    Args:
        executable: path of redis-server.
        allocator: what it runs on.
        settings: configuration, name to value, on top of: 127.0.0.1 only, no automatic saves.
        dump: a dump to load at start, copied; None to start empty.

    Raises:
        ServerFailed: it did not come up.
    """

    def __init__(
        self,
        executable: str,
        allocator: allocators.Allocator,
        settings: dict[str, str] | None = None,
        dump: pathlib.Path | None = None,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="mesh-redis-")
        self.directory = pathlib.Path(self._scratch.name)
        self.port = free_port()
        if dump is not None:
            shutil.copy(dump, self.dump_path)
        configuration = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self.directory),
            **(settings or {}),
        }
        command = [executable]
        for name, value in configuration.items():
            command += [f"--{name}", value]
        self._stderr_path = self.directory / "stderr"
        with (self.directory / "log").open("wb") as log, self._stderr_path.open("wb") as errors:
            self._process = subprocess.Popen(
                command, env=allocator.make_environment(), stdout=log, stderr=errors
            )
        try:
            self._wait_until_loaded()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self._process.pid

    @property
    def dump_path(self) -> pathlib.Path:
        """Where BGSAVE writes."""
        return self.directory / "dump.rdb"

    def connect(self) -> resp.Connection:
        """Returns a new connection."""
        return resp.Connection(self.port)

    def shutdown(self) -> str:
        """Ends the server in order (so that exit handlers run); returns what it wrote to stderr.

        Raises:
            ServerFailed: it did not end, or not with status 0.
        """
        connection = self.connect()
        try:
            connection.command("SHUTDOWN", "NOSAVE")
        except (resp.ServerError, OSError):
            pass  # The answer is that the connection closes.
        finally:
            connection.close()
        try:
            status = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"did not end within {_STOP_TIMEOUT_S:.0f} s") from error
        if status != 0:
            raise self._failure(f"ended with status {status}")
        return self._stderr_path.read_text(errors="replace")

    def close(self) -> None:
        """Ends the server whatever state it is in, and removes its directory."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._scratch.cleanup()

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, what: str) -> ServerFailed:
        log = (self.directory / "log").read_text(errors="replace").splitlines()
        errors = self._stderr_path.read_text(errors="replace").splitlines()
        tail = "\n  ".join([*log[-_LOG_TAIL_LINES:], *errors[-_LOG_TAIL_LINES:]])
        return ServerFailed(f"redis-server {what}\n  {tail}")

    def _wait_until_loaded(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._failure(f"ended at start with status {self._process.returncode}")
            if self._is_loaded():
                return
            time.sleep(_POLL_S)
        raise self._failure(f"did not answer within {_START_TIMEOUT_S:.0f} s")

    def _is_loaded(self) -> bool:
        try:
            connection = self.connect()
        except OSError:
            return False
        try:
            return connection.info("persistence").get("loading") == "0"
        finally:
            connection.close()
