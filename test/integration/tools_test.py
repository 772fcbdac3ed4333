"""sqlite3, jq and xz: tools that read much and allocate in very different patterns."""

import json
import pathlib
import random

from . import harness

_SQL = """
.bail on
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, score REAL, body TEXT);
CREATE INDEX by_name ON item (name, score);
WITH RECURSIVE n(i, x) AS (
  SELECT 1, 7 UNION ALL SELECT i + 1, (x * 1103515245 + 12345) & 2147483647 FROM n WHERE i < 150000)
INSERT INTO item SELECT i, 'name' || (x % 5000), x / 7.0, substr(hex(x) || hex(i * x), 1, x % 60)
FROM n;
SELECT count(*), sum(length(body)), round(sum(score)) FROM item;
DELETE FROM item WHERE id % 3 = 0;
UPDATE item SET body = body || name || body WHERE id % 7 = 1;
SELECT name, count(*), max(score), group_concat(substr(body, 1, 3), '.')
FROM item GROUP BY name ORDER BY 2 DESC, 1 LIMIT 50;
SELECT a.id, b.id FROM item a JOIN item b ON a.name = b.name AND a.id < b.id
ORDER BY a.score + b.score, 1, 2 LIMIT 100;
CREATE TABLE words AS SELECT DISTINCT substr(body, 2, 4) AS word FROM item ORDER BY 1;
SELECT count(*), min(word), max(word) FROM words;
VACUUM;
PRAGMA integrity_check;
.dump words
"""

_JQ = """
group_by(.kind)
| map({kind: .[0].kind, count: length, total: (map(.value) | add),
       tags: (map(.tags[]) | unique | .[:9]), last: (sort_by(.value, .id) | last)})
"""


def test_sqlite(root: pathlib.Path, repeats: int) -> None:
    """An in-memory database: many inserts, index, update, delete, joins, dump."""
    sqlite = harness.program("sqlite3")
    harness.expect_same(
        lambda box: _only_run(box, sqlite, ":memory:", stdin=_SQL.encode()), root, repeats
    )


def test_jq(root: pathlib.Path, repeats: int) -> None:
    """A JSON document of some MB parsed, grouped, sorted and printed."""
    jq = harness.program("jq")
    generator = random.Random(1)
    items = [
        {
            "id": number,
            "kind": f"kind{generator.randrange(50)}",
            "value": generator.randrange(10**6),
            "tags": [f"t{generator.randrange(900)}" for _ in range(generator.randrange(6))],
        }
        for number in range(30000)
    ]
    document = json.dumps(items).encode()

    def scenario(sandbox: harness.Sandbox) -> None:
        sandbox.run(jq, _JQ, stdin=document)
        sandbox.run(jq, "-c", ".[] | select(.value % 100 == 1)", stdin=document)
        sandbox.run(jq, ".", stdin=document[:-1], status=None)

    harness.expect_same(scenario, root, repeats)


def test_xz(root: pathlib.Path, repeats: int) -> None:
    """Compressed by two threads in blocks, and back."""
    xz = harness.program("xz")
    generator = random.Random(1)
    words = [f"word{generator.randrange(3000)} " for _ in range(400000)]
    data = "".join(words).encode()

    def scenario(sandbox: harness.Sandbox) -> None:
        packed = sandbox.run(xz, "-2", "-T2", "--block-size=700KiB", "-c", stdin=data).stdout
        assert sandbox.run(xz, "-dc", "-T2", stdin=packed).stdout == data

    harness.expect_same(scenario, root, repeats)


def _only_run(sandbox: harness.Sandbox, *command: str, stdin: bytes) -> None:
    sandbox.run(*command, stdin=stdin)
