"""Tests that pages of docs say what the tables of the code say."""

import os
import pathlib
import re

from docs import statistics_page
from python.mesh_tools import cli, options_table

_DOCS = pathlib.Path(os.environ["DOCS"]).parent
_OPTIONS = pathlib.Path(os.environ["OPTIONS_DEF"]).read_text()
_LIMITS = pathlib.Path(os.environ["LIMITS_H"]).read_text()
# Type, variable, default, choices, sentence in its pieces.
_ROW = re.compile(
    r'^MESH_OPTION\(\s*([\w* ]+), \w+, "(\w+)", (\w+),\s*[^,]+,\s*[^,]+,\s*"(.*?)",'
    r'\s*((?:"[^"]*"\s*)+)\)',
    re.MULTILINE,
)


def test_statistics_page_is_that_of_the_table() -> None:
    page = (_DOCS / "statistics.md").read_text()
    assert page == statistics_page.text(), "run: python3 -m docs.statistics_page"


def test_options_are_those_of_the_library() -> None:
    found = _ROW.findall(_OPTIONS)
    assert len(found) == len(re.findall(r"^MESH_OPTION\(", _OPTIONS, re.MULTILINE))
    names = [option.variable for option in options_table.OPTIONS]
    assert names == [row[1] for row in found], "put the row into python/mesh_tools/options_table.py"
    for option, (kind, name, default, choices, sentence) in zip(
        options_table.OPTIONS, found, strict=True
    ):
        assert option.variable == name
        assert option.sentence == "".join(re.findall(r'"([^"]*)"', sentence))
        if choices:
            assert option.takes == choices.replace("|", ", ")
            assert option.default == choices.split("|")[int(default)]
        elif kind.startswith("const char"):
            assert option.default == "none"
        else:
            # A name is a constant of src/config/limits.h.
            value = re.search(rf"\b{default} = (\d+);", _LIMITS)
            assert option.default == (default if value is None else value[1])


def test_tuning_has_every_option_with_its_default() -> None:
    page = (_DOCS / "tuning.md").read_text()
    for option in options_table.OPTIONS:
        row = f"| `{option.variable}` | {option.default} |"
        assert row in page, f"docs/tuning.md has no row of {option.variable}"


def test_man_page_has_every_command() -> None:
    page = (pathlib.Path(os.environ["MESH_MAN_PAGE"])).read_text()
    for name in cli.COMMANDS:
        escaped = name.replace("-", "\\-")
        assert f".SS mesh {escaped}\n" in page
    assert not re.search(r"^\.(?!TH|SH|SS|B|BR|TP|PP|nf|fi)\S+", page, re.MULTILINE)
