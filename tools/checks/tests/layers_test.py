"""The layer check finds includes that go up, sideways, or past the BUILD files."""

import pathlib

import pytest

from tools.checks import layers
from tools.checks.source_tree import SourceTree

_FILES = {
    "src/rooms.bzl": 'ROOMS = [\n    "base",\n    "os",\n    "arena",\n]\n',
    "src/base/units.h": "",
    "src/os/map.h": '#include "src/base/units.h"\n',
    "src/arena/arena.cc": '#include "src/os/map.h"\n#include "heaplayers/a.h"\n',
    "third_party/heap-layers/include/heaplayers/a.h": '#include "heaplayers/b.h"\n',
}
# Label, srcs, hdrs, deps; a label that ends in "_whole" is linked whole.
_Rule = tuple[str, list[str], list[str], list[str]]

_BASE: _Rule = ("//src/base:base", [], ["//src/base:units.h"], [])
_OS: _Rule = ("//src/os:os", [], ["//src/os:map.h"], ["//src/base:base"])
_ARENA: _Rule = (
    "//src/arena:arena",
    ["//src/arena:arena.cc"],
    [],
    ["//src/os:os", "@heap-layers//:heap-layers"],
)


def _tree(root: pathlib.Path, changes: dict[str, str]) -> SourceTree:
    for path, text in {**_FILES, **changes}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return SourceTree.of_directory(root)


def _targets(*rules: _Rule) -> list[layers.Target]:
    """Through the XML that Bazel prints, so that its reader is tested too."""

    def attribute(name: str, labels: list[str]) -> str:
        return (
            f'<list name="{name}">' + "".join(f'<label value="{x}"/>' for x in labels) + "</list>"
        )

    body = "".join(
        f'<rule class="cc_library" name="{name}">'
        + attribute("srcs", srcs)
        + attribute("hdrs", hdrs)
        + attribute("deps", deps)
        + f'<boolean name="alwayslink" value="{str(name.endswith("_whole")).lower()}"/>'
        + "</rule>"
        for name, srcs, hdrs, deps in rules
    )
    xml = f'<?xml version="1.1" encoding="UTF-8"?><query version="2">{body}</query>'
    return layers.parse_targets(xml)


def test_a_clean_tree_has_no_findings(tmp_path: pathlib.Path) -> None:
    tree = _tree(tmp_path, {})
    assert layers.check_direction(tree) == []
    assert layers.check_heap_layers(tree) == []
    assert layers.check_declared(tree, _targets(_BASE, _OS, _ARENA)) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("src/base/units.h", '#include "src/os/map.h"\n', "base lies below os"),
        ("src/os/map.h", '#include "map_impl.h"\n', "not a path into a room"),
        ("src/cellar/a.h", "", "src/cellar is no room"),
    ],
)
def test_direction(tmp_path: pathlib.Path, path: str, text: str, expected: str) -> None:
    findings = layers.check_direction(_tree(tmp_path, {path: text}))
    assert len(findings) == 1
    assert expected in findings[0]


@pytest.mark.parametrize("line", ['#include "src/base/units.h"', "// Made for Mesh."])
def test_heap_layers_stands_alone(tmp_path: pathlib.Path, line: str) -> None:
    path = "third_party/heap-layers/include/heaplayers/a.h"
    findings = layers.check_heap_layers(_tree(tmp_path, {path: line + "\n"}))
    assert len(findings) == 1
    assert findings[0].startswith(f"{path}:1: heap-layers")


def test_an_undeclared_include_is_found(tmp_path: pathlib.Path) -> None:
    text = '#include "src/os/map.h"\n#include "src/base/units.h"\n#include "heaplayers/a.h"\n'
    tree = _tree(tmp_path, {"src/arena/arena.cc": text})
    assert layers.check_declared(tree, _targets(_BASE, _OS, _ARENA)) == [
        "src/arena/arena.cc:2: //src/arena:arena lacks //src/base:base in deps"
    ]


def test_a_dependency_linked_whole_needs_no_include(tmp_path: pathlib.Path) -> None:
    whole: _Rule = ("//src/os:calls_whole", [], ["//src/os:calls.h"], [])
    arena = (*_ARENA[:3], [*_ARENA[3], "//src/os:calls_whole"])
    assert layers.check_declared(_tree(tmp_path, {}), _targets(_BASE, _OS, whole, arena)) == []


def test_an_unused_dependency_is_found(tmp_path: pathlib.Path) -> None:
    arena = (*_ARENA[:3], [*_ARENA[3], "//src/base:base"])
    assert layers.check_declared(_tree(tmp_path, {}), _targets(_BASE, _OS, arena)) == [
        "//src/arena:arena: includes nothing of //src/base:base, which deps names"
    ]


def test_a_missing_heap_layers_dependency_is_found(tmp_path: pathlib.Path) -> None:
    arena = (*_ARENA[:3], ["//src/os:os"])
    assert layers.check_declared(_tree(tmp_path, {}), _targets(_BASE, _OS, arena)) == [
        "src/arena/arena.cc:2: //src/arena:arena lacks @heap-layers in deps"
    ]


def test_a_file_without_a_target_is_found(tmp_path: pathlib.Path) -> None:
    tree = _tree(tmp_path, {"src/os/orphan.cc": ""})
    assert layers.check_declared(tree, _targets(_BASE, _OS, _ARENA)) == [
        "src/os/orphan.cc:1: belongs to no target"
    ]
