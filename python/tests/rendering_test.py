"""Tests of results.py, report.py and plot.py on ready-made runs."""

import io
import json
import pathlib

import rich.console

from python.mesh_tools import plot, report, results
from python.tests import fakes


def _three_rounds() -> results.Experiment:
    return fakes.make_comparison(
        [
            fakes.make_run("built-in", 160, 0),
            fakes.make_run("mesh", 110, 0, meshes=9000),
            fakes.make_run("mesh", 130, 1, meshes=8000),
            fakes.make_run("built-in", 170, 1),
            fakes.make_run("built-in", 161, 2),
            fakes.make_run("mesh", 112, 2, meshes=7000),
        ]
    )


def _render(comparison: results.Experiment) -> str:
    console = rich.console.Console(file=io.StringIO(), width=120)
    report.print_report(comparison, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_medians_and_ratios() -> None:
    comparison = _three_rounds()
    assert comparison.allocator_names == ["built-in", "mesh"]
    assert comparison.rounds == 3
    ratio = comparison.ratio("mesh", lambda run: run.settled.physical_bytes)
    assert ratio is not None
    assert abs(ratio - 112 / 161) < 1e-9


def test_a_ratio_to_nothing_is_none() -> None:
    comparison = fakes.make_comparison([fakes.make_run("a", 10)])
    assert comparison.ratio("a", lambda run: 0.0) is None


def test_the_table_shows_figures_with_their_units_and_origin() -> None:
    text = _render(_three_rounds())
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert "112.0" in lines["settled physical memory [MB]"]
    assert "0.70" in lines["ratio"] or "1.00" in lines["ratio"]
    assert "1.12" in lines["physical / in use"]
    assert "1.50" in lines["time to fill [s]"]
    assert "0.06" in lines["a read while compacting [ms]"]
    assert "0.40" in lines["99.9 % below"]
    assert "4.0" in lines["fork of the save [ms]"]
    assert lines["values read back"].count("37,035 right") == 2
    assert "9,000, 8,000, 7,000" in lines["mesh count, at exit"]
    assert lines["dump, loaded elsewhere"].count("same") == 2
    assert "commit 0123456789" in text
    assert "runs per allocator: 3" in text
    assert "Note" not in text


def test_the_table_shouts_when_something_is_wrong() -> None:
    text = _render(
        fakes.make_comparison(
            [
                fakes.make_run("a", 10, wrong=3),
                fakes.make_run("b", 10, reload_matches=False, exact=False),
            ]
        )
    )
    assert "3 of 12,345 WRONG" in text
    assert "DIFFERS" in text
    assert "Note: the kernel let us read the backing only where" in text


def test_right_means_values_and_dump() -> None:
    assert fakes.make_run("a", 1).is_right
    assert not fakes.make_run("a", 1, wrong=1).is_right
    assert not fakes.make_run("a", 1, reload_matches=False).is_right


def test_json_holds_every_run_and_its_samples(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "result.json"
    _three_rounds().write_json(path)
    plain = json.loads(path.read_text())
    assert plain["rounds"] == 3
    assert len(plain["runs"]) == 6
    first = plain["runs"][0]
    assert first["settled"]["physical_bytes"] == 160 << 20
    assert first["series"]["t_ms"] == [0, 1000, 2000]
    assert first["save"]["reload_matches"] is True
    assert plain["runs"][1]["mesh"] == {"meshes": 9000, "meshed_mb": 1.5}


def test_the_picture_is_drawn_and_says_where_it_is_from(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "picture.png"
    plot.draw(_three_rounds(), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) > 20_000
    assert b"commit 0123456789" in content
