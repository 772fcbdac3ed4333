"""Tests that pages of docs say what the tables of the code say."""

import os
import pathlib
import re

from docs import statistics_page
from python.mesh_tools import cli

_DOCS = pathlib.Path(os.environ["DOCS"]).parent
_OPTIONS = pathlib.Path(os.environ["OPTIONS_DEF"]).read_text()


def test_statistics_page_is_that_of_the_table() -> None:
    page = (_DOCS / "statistics.md").read_text()
    assert page == statistics_page.text(), "run: python3 -m docs.statistics_page"


def test_tuning_has_every_option_with_its_default() -> None:
    rows = re.findall(r'^MESH_OPTION\(\s*([\w* ]+), \w+, "(\w+)",\s*(\w+),.*?\n?.*?"(.*?)",',
                      _OPTIONS, re.MULTILINE)  # fmt: skip
    assert len(rows) == len(re.findall(r"^MESH_OPTION\(", _OPTIONS, re.MULTILINE))
    page = (_DOCS / "tuning.md").read_text()
    for kind, name, default, choices in rows:
        shown = default
        if kind.startswith("const char"):
            shown = "none"
        elif "|" in choices:
            shown = choices.split("|")[int(default)]
        elif not default.isdigit():
            shown = r"\d+"  # A constant of the code.
        assert re.search(rf"^\| `{name}` \| {shown} \|", page, re.MULTILINE), (name, shown)


def test_man_page_has_every_command() -> None:
    page = (pathlib.Path(os.environ["MESH_MAN_PAGE"])).read_text()
    for name in cli.COMMANDS:
        escaped = name.replace("-", "\\-")
        assert f".SS mesh {escaped}\n" in page
    assert not re.search(r"^\.(?!TH|SH|SS|B|BR|TP|PP|nf|fi)\S+", page, re.MULTILINE)
