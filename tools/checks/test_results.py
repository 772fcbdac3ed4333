"""Counts the test cases of a Bazel run: prints "PASSED FAILED".

    python3 tools/checks/test_results.py EVENTS

EVENTS is what `bazel test --build_event_json_file` wrote.  Only the standard library is used:
this runs outside of Bazel.
"""

import dataclasses
import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as ElementTree


@dataclasses.dataclass
class Counts:
    passed: int = 0
    failed: int = 0

    def add(self, other: "Counts") -> None:
        self.passed += other.passed
        self.failed += other.failed


def count_cases(xml: str) -> Counts:
    """Counts one test.xml of GoogleTest, pytest or Bazel; skipped cases are left out."""
    counts = Counts()
    for case in ElementTree.fromstring(xml).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            counts.failed += 1
        elif case.find("skipped") is None and case.get("status") != "notrun":
            counts.passed += 1
    return counts


def count_target(status: str, outputs: dict[str, pathlib.Path]) -> Counts:
    """Counts one target; if it failed without a failed case (a crash), that is one more."""
    counts = Counts()
    try:
        counts = count_cases(outputs["test.xml"].read_text())
    except (KeyError, OSError, ElementTree.ParseError):
        counts.passed = 1 if status == "PASSED" else 0
    if status not in ("PASSED", "FLAKY") and counts.failed == 0:
        counts.failed = 1
    return counts


def count_events(lines: list[str]) -> Counts:
    """Adds up all targets; of several attempts at one the last counts."""
    last: dict[str, Counts] = {}
    for line in lines:
        event = json.loads(line)
        identity = event.get("id", {}).get("testResult")
        if identity is None or "testResult" not in event:
            continue
        result = event["testResult"]
        outputs = {
            output["name"]: pathlib.Path(
                urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            )
            for output in result.get("testActionOutput", [])
        }
        key = f"{identity['label']} {identity.get('run')} {identity.get('shard')}"
        last[key] = count_target(result.get("status", "NO_STATUS"), outputs)
    total = Counts()
    for counts in last.values():
        total.add(counts)
    return total


if __name__ == "__main__":
    result = count_events(pathlib.Path(sys.argv[1]).read_text().splitlines())
    print(result.passed, result.failed)
