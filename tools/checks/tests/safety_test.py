"""The check of docs/safety.md finds tests that are not there."""

import pathlib

import pytest

from tools.checks import safety
from tools.checks.source_tree import SourceTree

_CC = "TEST(Plain, Works) {}\nTEST_P(Many,\n       Work) {}\n"
_PY = 'ROWS = ("ending", "null")\ndef test_rows(row: str) -> None:\n'


def _findings(root: pathlib.Path, page: str) -> list[str]:
    """What the check says of a page in a tree with two test files."""
    for path, text in {
        "docs/safety.md": page,
        "test/room/plain_test.cc": _CC,
        "test/integration/rows_test.py": _PY,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return safety.check(SourceTree.of_directory(root))


@pytest.mark.parametrize(
    "reference",
    [
        "`plain_test.cc::Plain.Works`",
        "`plain_test.cc::Many.Work`",
        "`rows_test.py::test_rows`",
        "`rows_test.py::test_rows[ending-null]`",
    ],
)
def test_finds_what_is_there(tmp_path: pathlib.Path, reference: str) -> None:
    assert _findings(tmp_path, f"| 1 | a failure | {reference} |\n") == []


@pytest.mark.parametrize(
    "reference",
    [
        "`plain_test.cc::Plain.Wor`",
        "`other_test.cc::Plain.Works`",
        "`rows_test.py::test_row`",
        "`rows_test.py::test_rows[ending-other]`",
    ],
)
def test_misses_what_is_not(tmp_path: pathlib.Path, reference: str) -> None:
    findings = _findings(tmp_path, f"| 1 | a failure | {reference} |\n")
    assert findings == [f"docs/safety.md:1: there is no test {reference}"]


def test_every_row_names_a_test(tmp_path: pathlib.Path) -> None:
    findings = _findings(tmp_path, "| n | failure | test |\n|---|---|---|\n| 1 | a | none |\n")
    assert findings == ["docs/safety.md:3: failure 1 names no test"]
