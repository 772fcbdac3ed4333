"""The real programs of the benchmark suite: what they run on, made here, the same every time.

Each function writes its inputs to a scratch directory and returns a command; `scale` sets how much
there is to do, 1.0 being about half a second. Nothing is measured here.
"""

import dataclasses
import json
import pathlib
import random
from collections.abc import Callable, Mapping

# What a program is given, by its name in the table of bench_catalog.
MakeCommand = Callable[[pathlib.Path, float], "Command"]


@dataclasses.dataclass(frozen=True)
class Command:
    """A program to run; `stdin` names a file, `units` is None where the program reports its own."""

    arguments: list[str]
    stdin: pathlib.Path | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    units: float | None = None


_PYTHON_JSON = """
import json, sys
record = {"id": 0, "name": "x" * 20, "tags": ["a", "bb", "ccc"] * 3, "nested": {"k": [1.5] * 10}}
for i in range(int(sys.argv[1])):
    text = json.dumps([dict(record, id=j, name=f"name {i} {j}") for j in range(1000)])
    assert len(json.loads(text)) == 1000
"""

_PYTHON_DICT = """
import sys
table = {}
for i in range(int(sys.argv[1])):
    for j in range(20000):
        table[f"key {j * 7919 % 30011}"] = (i, j, str(j))
    for key in list(table)[::3]:
        del table[key]
assert len(table) > 10000
"""

_LUA = """
local kept = {}
for i = 1, tonumber(arg[1]) do
  local words = {}
  for j = 1, 2000 do words[#words + 1] = "word" .. (i * j % 4999) end
  kept[i % 50] = { text = table.concat(words, " "), words = words }
end
"""

_PERL = """
my %seen;
for my $i (1 .. $ARGV[0]) {
  my $line = join ' ', map { 'w' . ($i * $_ % 997) } 1 .. 200;
  $seen{$_}{$i % 500} .= $i for split / /, $line;
  delete $seen{'w' . ($i % 997)};
}
"""


def python_json(scratch: pathlib.Path, scale: float) -> Command:
    """JSON written and read by Python; all of its objects come from malloc."""
    del scratch
    return _python(_PYTHON_JSON, 40 * scale)


def python_dict(scratch: pathlib.Path, scale: float) -> Command:
    """A dictionary of strings and tuples that is filled and thinned out."""
    del scratch
    return _python(_PYTHON_DICT, 25 * scale)


def _python(script: str, rounds: float) -> Command:
    units = max(1, round(rounds))
    # Without this Python would serve its objects from arenas of its own.
    return Command(
        ["python3", "-S", "-c", script, str(units)],
        environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"},
        units=units,
    )


def lua(scratch: pathlib.Path, scale: float) -> Command:
    """Tables and strings of Lua, of which the last fifty are kept."""
    path = scratch / "bench.lua"
    path.write_text(_LUA)
    units = max(1, round(2000 * scale))
    return Command(["lua5.4", str(path), str(units)], units=units)


def perl(scratch: pathlib.Path, scale: float) -> Command:
    """Hashes of hashes of strings that grow."""
    path = scratch / "bench.pl"
    path.write_text(_PERL)
    units = max(1, round(4000 * scale))
    return Command(["perl", str(path), str(units)], units=units)


def sqlite(scratch: pathlib.Path, scale: float) -> Command:
    """A database in memory: inserts, an index, updates, deletes, joins."""
    rows = max(100, round(150_000 * scale))
    path = scratch / "bench.sql"
    path.write_text(
        "PRAGMA cache_size = -200000;\n"
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, v TEXT);\n"
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})\n"
        "  INSERT INTO t SELECT i, i * 7919 % 10007, 'value ' || i || hex(i) FROM n;\n"
        "CREATE INDEX by_k ON t(k);\n"
        "UPDATE t SET v = v || ' longer than before' WHERE id % 3 = 0;\n"
        "DELETE FROM t WHERE id % 4 = 1;\n"
        "SELECT count(*), sum(length(v)) FROM t;\n"
        "SELECT k, group_concat(v) FROM t GROUP BY k ORDER BY length(group_concat(v)) LIMIT 3;\n"
    )
    return Command(["sqlite3", ":memory:"], stdin=path, units=rows)


def compile_cxx(scratch: pathlib.Path, scale: float) -> Command:
    """g++ on a source with many instantiations of the standard library."""
    count = max(1, round(8 * scale))
    functions = "".join(
        f"struct K{i} {{ int v; bool operator<(const K{i}& o) const {{ return v < o.v; }} }};\n"
        f"int f{i}() {{ std::map<K{i}, std::vector<std::string>> m; m[{{{i}}}].push_back("
        f'"x"); std::vector<K{i}> s{{{{1}}}}; std::sort(s.begin(), s.end()); return m.size(); }}\n'
        for i in range(count)
    )
    path = scratch / "bench.cc"
    path.write_text(
        "#include <algorithm>\n#include <map>\n#include <string>\n#include <vector>\n" + functions
    )
    return Command(
        ["g++", "-std=c++20", "-O0", "-c", str(path), "-o", str(scratch / "bench.o")], units=1
    )


def z3(scratch: pathlib.Path, scale: float) -> Command:
    """Linear integer constraints: a square of numbers with distinct sums, solved some times."""
    side, rounds = 5, max(1, round(150 * scale))
    numbers = random.Random(1)
    names = [f"x{i}" for i in range(side * side)]
    lines = [f"(declare-const {name} Int)" for name in names]
    lines += [f"(assert (and (< 0 {name}) (< {name} 100)))" for name in names]
    lines.append(f"(assert (distinct {' '.join(names)}))")
    for _ in range(rounds):
        row_sum = numbers.randrange(100, 180)
        lines.append("(push)")
        for row in range(side):
            line = " ".join(names[row * side : (row + 1) * side])
            lines.append(f"(assert (= {row_sum} (+ {line})))")
        lines += ["(check-sat)", "(pop)"]
    path = scratch / "bench.smt2"
    path.write_text("\n".join(lines) + "\n")
    return Command(["z3", str(path)], units=rounds)


def jq(scratch: pathlib.Path, scale: float) -> Command:
    """Records read, grouped and summed."""
    records = max(10, round(40_000 * scale))
    path = scratch / "bench.json"
    path.write_text(
        json.dumps(
            [
                {"key": f"k{i * 7919 % 997}", "value": i, "text": "t" * (i % 40)}
                for i in range(records)
            ]
        )
    )
    query = "group_by(.key) | map({key: .[0].key, n: length, sum: (map(.value) | add)})"
    return Command(["jq", "-c", query, str(path)], units=records)
