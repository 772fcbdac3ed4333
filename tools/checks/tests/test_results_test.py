"""The counter of test cases counts passes, failures, crashes and repeated attempts."""

import json
import pathlib

from tools.checks import test_results

_XML = """<testsuites><testsuite>
<testcase name="good" status="run"/>
<testcase name="bad" status="run"><failure message="1 != 2"/></testcase>
<testcase name="skipped"><skipped/></testcase>
<testcase name="disabled" status="notrun"/>
</testsuite></testsuites>"""
_GOOD_XML = '<testsuite><testcase name="good"/></testsuite>'


def _event(directory: pathlib.Path, label: str, status: str, xml: str | None, attempt: int) -> str:
    outputs = []
    if xml is not None:
        path = directory / f"{label.replace('/', '_')}-{attempt}.xml"
        path.write_text(xml)
        outputs.append({"name": "test.xml", "uri": path.as_uri()})
    return json.dumps(
        {
            "id": {"testResult": {"label": label, "run": 1, "shard": 1, "attempt": attempt}},
            "testResult": {"status": status, "testActionOutput": outputs},
        }
    )


def test_cases_are_counted(tmp_path: pathlib.Path) -> None:
    lines = [json.dumps({"id": {"progress": {}}}), _event(tmp_path, "//a", "FAILED", _XML, 1)]
    assert test_results.count_events(lines) == test_results.Counts(1, 1)


def test_a_crash_is_a_failure(tmp_path: pathlib.Path) -> None:
    lines = [
        _event(tmp_path, "//crashed", "FAILED", _GOOD_XML, 1),
        _event(tmp_path, "//timed_out", "TIMEOUT", None, 1),
    ]
    assert test_results.count_events(lines) == test_results.Counts(1, 2)


def test_the_last_attempt_counts(tmp_path: pathlib.Path) -> None:
    lines = [
        _event(tmp_path, "//a", "FAILED", _XML, 1),
        _event(tmp_path, "//a", "PASSED", _GOOD_XML, 2),
    ]
    assert test_results.count_events(lines) == test_results.Counts(1, 0)
