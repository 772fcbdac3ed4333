"""postgres under pgbench: a server of many processes that fork, share memory and ask each other.

The whole database, from initdb on, is the work of preloaded programs. The transactions of one
client are the same in every run, and so has to be what they leave behind; the transactions of four
keep an account book whose columns add up. The server will not run as root: root's tests run it as
nobody, who gets the second tier of the write barrier by default.
"""

import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

import pytest

from . import harness, servers

# Rows of a scale of 2: 200,000 accounts, 20 tellers, 2 branches.
SCALE = "2"

# The last tier too: without userfaultfd this is what a container gets.
SETTINGS: Sequence[Mapping[str, str]] = (
    harness.EAGER,
    {},
    {**harness.EAGER, "MESH_BARRIER": "segv"},
)

OPTIONS = (
    *("-c", "listen_addresses=", "-c", "unix_socket_directories=.", "-c", "fsync=off"),
    *("-c", "max_wal_size=64MB", "-c", "checkpoint_timeout=30"),
    *("-c", "jit=off", "-c", "timezone=UTC", "-c", "log_timezone=UTC"),
)

# What one client leaves behind, without the times.
CONTENTS = """
SELECT md5(string_agg(aid || ':' || abalance, ',' ORDER BY aid)) FROM pgbench_accounts;
SELECT md5(string_agg(tid || ':' || tbalance, ',' ORDER BY tid)) FROM pgbench_tellers;
SELECT count(*), sum(delta) FROM pgbench_history;
"""

# Every transaction adds the same amount to an account, a teller and a branch, and writes it down.
BALANCE = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)
AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history);
"""

# Sorts, hashes, aggregates, text and JSON, and functions that catch errors.
QUERIES = """
CREATE TABLE word AS SELECT i AS id, md5(i::text) AS text, i % 997 AS kind
FROM generate_series(1, 60000) AS i;
SELECT md5(string_agg(text, '' ORDER BY text COLLATE "C")) FROM word;
SELECT kind, count(*), max(text) FROM word GROUP BY kind ORDER BY 1 LIMIT 20;
SELECT count(*) FROM word a JOIN word b ON left(a.text, 4) = left(b.text, 4);
SELECT md5(jsonb_agg(jsonb_build_object('id', id, 'text', text))::text) FROM word WHERE id % 3 = 0;
DO $$ BEGIN
  FOR i IN 1..3000 LOOP
    BEGIN PERFORM 1 / (i % 2); EXCEPTION WHEN division_by_zero THEN NULL; END;
  END LOOP;
END $$;
DELETE FROM word WHERE id % 7 <> 0;
VACUUM FULL ANALYZE word;
SELECT count(*), sum(length(text)) FROM word;
"""

# Lines of the server's log that must not be; who asks too early is told so.
WRONG = re.compile(
    "PANIC|FATAL:  (?!the database system is starting up)|ERROR:  (?!division by zero)"
    "|WARNING|terminated by signal|libmesh"
)


def _tool(name: str) -> str:
    """The path of a program of postgres; Debian has a directory for each version."""
    places = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which(name, path=":".join(map(str, [*places, os.environ.get("PATH", "")])))
    if found is None:
        harness.missing(f"{name} is not installed (postgresql)")
    return found or ""


def _as_ordinary_user() -> list[str]:
    """What comes before a command so that it does not run as root."""
    if not harness.is_root():
        return []
    return [harness.program("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


@pytest.fixture
def open_root() -> Iterator[pathlib.Path]:
    """A directory that an ordinary user may enter, which pytest's own are not."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mesh-postgres-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


class Database:
    """A postgres server of a sandbox and its clients, which are preloaded as well."""

    def __init__(self, sandbox: harness.Sandbox) -> None:
        self._sandbox = sandbox
        self._user = _as_ordinary_user()
        if self._user:
            shutil.chown(sandbox.root, "nobody", "nogroup")

    def run(self, name: str, *arguments: str, stdin: bytes = b"") -> harness.Outcome:
        """Runs one of postgres's programs to its end."""
        place = str(self._sandbox.root / "data")
        client = {"PGHOST": place, "PGUSER": "mesh", "PGDATABASE": "postgres"}
        command = [*self._user, _tool(name), *arguments]
        return self._sandbox.run(*command, stdin=stdin, extra=client, observed=False)

    def command(self) -> list[str]:
        """The command of the server itself."""
        return [*self._user, _tool("postgres"), "-D", "data", *OPTIONS]

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        where = ["-h", str(self._sandbox.root / "data"), "-U", "mesh", "-d", "postgres"]
        call = [_tool("pg_isready"), *where]
        outcome = harness.run_program(call, {"PATH": "/usr/bin:/bin"}, self._sandbox.root)
        return outcome.status == 0

    def ask(self, sql: str) -> bytes:
        """The answers to some statements; the first error ends the test."""
        return self.run(
            "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", stdin=sql.encode()
        ).stdout


def _work(sandbox: harness.Sandbox, database: Database) -> None:
    """All that is done to a running server."""
    database.run("pgbench", "-i", "-q", "-s", SCALE)
    database.run("pgbench", "-c", "1", "-t", "500", "--random-seed=7")
    sandbox.observe("contents", database.ask(CONTENTS))
    sandbox.observe("queries", database.ask(QUERIES))
    for protocol in ("simple", "prepared"):
        outcome = database.run("pgbench", "-n", "-c", "4", "-j", "2", "-t", "500", "-M", protocol)
        text = outcome.stdout.decode()
        assert "number of transactions actually processed: 2000/2000" in text, text
        assert re.search(r"number of failed transactions: 0 ", text), text
    database.run("pgbench", "-n", "-C", "-S", "-c", "2", "-t", "50")
    assert database.ask(BALANCE) == b"t\n"
    database.ask("SELECT pg_reload_conf(); CHECKPOINT;")
    dump = database.run("pg_dump", "--schema-only").stdout
    sandbox.observe("schema", re.sub(rb"(?m)^\\(un)?restrict .*\n", b"", dump))


def test_pgbench(open_root: pathlib.Path, repeats: int) -> None:
    """The same transactions leave the same database; books that four clients keep add up."""
    readable = open_root / harness.library().name
    shutil.copy(harness.library(), readable)
    readable.chmod(0o755)

    def scenario(sandbox: harness.Sandbox) -> None:
        database = Database(sandbox)
        database.run("initdb", "-D", "data", "-U", "mesh", "-E", "UTF8", "--locale=C", "-N")
        with servers.serving(database.command(), sandbox.environment(), sandbox.root) as server:
            servers.wait_for(lambda: database.is_ready() or server.has_ended, "start of postgres")
            _work(sandbox, database)
        sandbox.observe("server's status", str(server.process.returncode).encode())
        log = server.stderr.decode()
        wrong = [line for line in log.splitlines() if WRONG.search(line)]
        assert not wrong, wrong

    harness.expect_same(scenario, open_root / "sandbox", repeats, SETTINGS, readable)
