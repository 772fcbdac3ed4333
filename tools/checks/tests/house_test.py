"""The house rules find what they forbid, and nothing in a clean tree."""

import pathlib

import pytest

from tools.checks import house
from tools.checks.source_tree import SourceTree

_CLEAN = {
    "src/arena/README.md": "# arena\n",
    "src/arena/arena.cc": "// Keeps spans.\nint kX = 1;\n",
    "third_party/heap-layers/README.md": "# heap-layers\n",
}


def _tree(root: pathlib.Path, files: dict[str, str]) -> SourceTree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return SourceTree.of_directory(root)


def test_a_clean_tree_has_no_findings(tmp_path: pathlib.Path) -> None:
    assert house.check(_tree(tmp_path, _CLEAN)) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("src/arena/a.cc", "// Does.\n// TO" + "DO: more\n", "src/arena/a.cc:2: TO" + "DO"),
        ("docs/a.md", "see /wor" + "k/main\n", "docs/a.md:1: '/wor" + "k/'"),
        ("Makefile", "pip install --inde" + "x-url=x\n", "Makefile:1: '--inde"),
        ("src/arena/long.cc", "// Long.\n" * 401, "src/arena/long.cc:1: 401 lines"),
        ("src/arena/bare.h", "int x;\n", "src/arena/bare.h:1: does not begin"),
        ("src/newroom/a.h", "// Fine.\n", "src/newroom: has no README.md"),
    ],
)
def test_finds(tmp_path: pathlib.Path, path: str, text: str, expected: str) -> None:
    findings = house.check(_tree(tmp_path, {**_CLEAN, path: text}))
    assert len(findings) == 1
    assert findings[0].startswith(expected)


def test_a_reason_excuses_a_long_file(tmp_path: pathlib.Path) -> None:
    text = "// Longer than 400 lines: one table.\n" + "// row\n" * 500
    assert house.check(_tree(tmp_path, {**_CLEAN, "src/arena/t.h": text})) == []
