"""docs/safety.md names tests: each of them is there, and each failure in its table has one.

A test is named as `file::name`, with the name of the file alone:
  `fork_test.cc::ForkTest.ManyGenerations`      a TEST, TEST_F or TEST_P
  `fork_failures_test.py::test_fork_is_silent`  a function
  `situations_test.py::test_situation[ending-null]`  the same with words that its table holds
"""

import re

from tools.checks.source_tree import SourceTree

_PAGE = "docs/safety.md"
_TEST_ROOTS = ("test/", "tools/")
_REFERENCE = re.compile(r"`(?P<file>[\w.]+)::(?P<name>[\w./]+)(?:\[(?P<words>[^\]`]+)\])?`")
# A row of the table of failures: "| 7 | what | tests |".
_ROW = re.compile(r"\| (?P<number>\d+) \|.*\|(?P<tests>[^|]*)\|$")


def _holds(text: str, file: str, name: str, words: str) -> bool:
    """Whether a test file defines the test."""
    if file.endswith(".py"):
        is_defined = re.search(rf"^def {re.escape(name)}\(", text, re.MULTILINE) is not None
        return is_defined and all(f'"{word}"' in text for word in words.split("-") if word)
    suite, _, case = name.partition(".")
    pattern = rf"^TEST(_F|_P)?\({re.escape(suite)},\s*{re.escape(case)}\)"
    return re.search(pattern, text, re.MULTILINE) is not None


def check(tree: SourceTree) -> list[str]:
    """Tests that the page names and nobody wrote; rows that name none."""
    if _PAGE not in tree.paths:
        return []
    findings = []
    paths = {p.rpartition("/")[2]: p for p in tree.select(under=_TEST_ROOTS, suffixes=("",))}
    for number, line in enumerate(tree.text(_PAGE).splitlines(), start=1):
        for match in _REFERENCE.finditer(line):
            path = paths.get(match["file"])
            if path and _holds(tree.text(path), match["file"], match["name"], match["words"] or ""):
                continue
            findings.append(f"{_PAGE}:{number}: there is no test {match[0]}")
        row = _ROW.match(line)
        if row and not _REFERENCE.search(row["tests"]):
            findings.append(f"{_PAGE}:{number}: failure {row['number']} names no test")
    return findings
