"""nginx under wrk: a master with workers that serve files, compress, proxy and cache.

What is served is compared byte for byte before, during and after the load; the configuration is
loaded anew while it lasts, so that old workers leave and new ones come. wrk is preloaded as well.
"""

import hashlib
import pathlib
import random
import re
import signal
import time
import urllib.request
from collections.abc import Mapping

import pytest

from . import harness, servers

# Small as a header, around a page, larger than every size class, and text that compresses.
SIZES = (20, 1500, 4100, 70_000, 900_000)

# Everything below the sandbox; the second server stands for what a proxy has behind it.
CONFIGURATION = """
daemon off; worker_processes 2; pid nginx.pid; error_log error.log notice;
{user}
events {{ worker_connections 1024; }}
http {{
  access_log access.log; default_type text/plain; keepalive_requests 50;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_cache_path cache keys_zone=kept:1m max_size=10m;
  connection_pool_size 256; request_pool_size 512; client_header_buffer_size 512;
  proxy_buffers 32 1k; proxy_buffer_size 1k; proxy_busy_buffers_size 4k;
  gzip on; gzip_min_length 100; gzip_types text/plain;
  server {{
    listen 127.0.0.1:{port} reuseport; root files; autoindex on;
    location /proxied/ {{ proxy_pass http://unix:behind.socket:/; }}
    location /cached/ {{
      proxy_pass http://unix:behind.socket:/; proxy_cache kept; proxy_cache_valid 200 1s;
    }}
    location /headers {{ add_header X-Agent "$http_user_agent"; return 200 "$request_id\\n"; }}
  }}
  server {{ listen unix:behind.socket; root files; gzip off; }}
}}
"""

# Lines of the server's log that must not be.
WRONG = re.compile(r"\[(?:warn|error|crit|alert|emerg)\]|exited on signal")

# wrk asks for them in turn.
SCRIPT = """
local paths = { %s }
local i = 0
request = function()
  i = i %% #paths + 1
  return wrk.format("GET", paths[i], { ["Accept-Encoding"] = i %% 2 == 0 and "gzip" or "identity" })
end
"""


class Web:
    """A running nginx of a sandbox."""

    def __init__(self, sandbox: harness.Sandbox, port: int) -> None:
        self._sandbox = sandbox
        self.port = port
        generator = random.Random(1)
        words = [f"word{generator.randrange(2000)}" for _ in range(200_000)]
        text = " ".join(words)
        for size in SIZES:
            sandbox.write(f"files/{size}.txt", text[:size])
        self.paths = [
            f"{place}{size}.txt" for place in ("/", "/proxied/", "/cached/") for size in SIZES
        ]
        user = "user root;" if harness.is_root() else ""
        sandbox.write("nginx.conf", CONFIGURATION.format(port=port, user=user))
        sandbox.write(
            "paths.lua", SCRIPT % ", ".join(f'"{path}"' for path in [*self.paths, "/headers"])
        )

    def command(self) -> list[str]:
        """The command of the server."""
        root = str(self._sandbox.root)
        return [harness.program("nginx"), "-p", root, "-c", "nginx.conf", "-e", "error.log"]

    def get(self, path: str, encoding: str = "identity") -> bytes:
        """What is answered, as it comes over the wire."""
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, headers={"Accept-Encoding": encoding})
        with urllib.request.urlopen(request, timeout=servers.WAIT_S) as answer:
            content: bytes = answer.read()
        return content

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self.get("/headers"))
        except OSError:
            return False

    def observe(self, when: str) -> None:
        """All pages, plain and compressed."""
        for path in self.paths:
            for encoding in ("identity", "gzip"):
                digest = hashlib.sha256(self.get(path, encoding)).hexdigest()
                self._sandbox.observe(f"{encoding} {path} {when}", digest.encode())


def _load(sandbox: harness.Sandbox, web: Web, running: servers.Server, seconds: int) -> None:
    """Runs wrk for some seconds, while the configuration is loaded anew every half second."""
    url = f"http://127.0.0.1:{web.port}/"
    # wrk's own time-out is only counted, and a machine may be slow.
    call = ["-t2", "-c120", f"-d{seconds}s", "--timeout", "300s", "-s", "paths.lua", url]
    with servers.serving(
        [harness.program("wrk"), *call], sandbox.environment(), sandbox.root
    ) as load:
        while not load.has_ended:
            time.sleep(0.5)
            running.reload()
    stderr, _ = harness.take_statistics(load.stderr)
    text = load.stdout.decode()
    assert (load.process.returncode, stderr) == (0, b""), text
    done = re.search(r"(\d+) requests in", text)
    assert done is not None and int(done[1]) > 0, text
    assert "Non-2xx" not in text, text
    # Old workers close idle connections, which wrk counts as errors of reading.
    errors = re.search(r"Socket errors: connect (\d+),", text)
    assert errors is None or errors[1] == "0", text


@pytest.mark.parametrize("settings", harness.TIER_SETTINGS, ids=lambda it: it["MESH_BARRIER"])
def test_wrk(settings: Mapping[str, str], root: pathlib.Path, full: bool) -> None:
    """Every answer is right, no worker dies, and the log knows nothing but starts and ends."""
    counts: list[int] = []

    def work(sandbox: harness.Sandbox, web: Web) -> servers.Server:
        # Told to end by SIGTERM, a worker that takes a second gets SIGKILL.
        with servers.serving(
            web.command(), sandbox.environment(), sandbox.root, signal.SIGQUIT
        ) as running:
            servers.wait_for(lambda: web.is_ready() or running.has_ended, "start of nginx")
            web.observe("before")
            _load(sandbox, web, running, 60 if full else 3)
            web.observe("after")
        return running

    def scenario(sandbox: harness.Sandbox) -> None:
        with servers.own_port() as port:
            running = work(sandbox, Web(sandbox, port))
        sandbox.observe("status", str(running.process.returncode).encode())
        sandbox.observe("output", running.stdout + running.stderr)
        # Its standard error is the log from the moment that it has read the configuration.
        log, meshed = harness.take_statistics((sandbox.root / "error.log").read_bytes())
        wrong = [line for line in log.decode().splitlines() if WRONG.search(line)]
        assert not wrong, wrong
        counts.append(meshed)

    harness.expect_same(scenario, root, 1, [{**settings, "MALLOCSTATS": "1"}])
    print(f"{counts[-1]} spans meshed")
    assert not harness.is_mesh() or counts[-1] > 0
