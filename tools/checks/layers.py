"""Checks that the rooms include downwards only, and only what their BUILD files declare.

Bazel's visibility stops a declared edge that goes upwards.  What it cannot see with gcc is an
include without a declared edge; this can.  Also: heap-layers must not know Mesh.
"""

import ast
import collections
import dataclasses
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from tools.checks.source_tree import CPP_SUFFIXES, SourceTree

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
_HEAP_LAYERS = "third_party/heap-layers/"
_HEAP_LAYERS_LABEL = "heap-layers//:heap-layers"


@dataclasses.dataclass(frozen=True)
class Include:
    """One #include line."""

    path: str
    line: int
    name: str
    is_quoted: bool

    def finding(self, text: str) -> str:
        return f"{self.path}:{self.line}: {text}"


@dataclasses.dataclass(frozen=True)
class Target:
    """A C++ rule: files as paths from the root, dependencies as labels."""

    label: str
    srcs: frozenset[str]
    hdrs: frozenset[str]
    deps: frozenset[str]
    # Linked whole: it may be wanted for what it defines, such as calls instead of libc's.
    alwayslink: bool = False

    @property
    def files(self) -> frozenset[str]:
        return self.srcs | self.hdrs


def rooms(tree: SourceTree) -> list[str]:
    """The rooms from bottom to top, as src/rooms.bzl lists them."""
    for node in ast.parse(tree.text("src/rooms.bzl")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS":
            return list(ast.literal_eval(node.value))
    raise ValueError("src/rooms.bzl assigns no ROOMS")


def includes(tree: SourceTree, path: str) -> Iterator[Include]:
    for number, line in enumerate(tree.text(path).splitlines(), start=1):
        if match := _INCLUDE.match(line):
            yield Include(path, number, match[2], match[1] == '"')


def query_targets(root: pathlib.Path) -> list[Target]:
    """Asks Bazel for the C++ rules of src and test."""
    xml = subprocess.run(
        ["tools/bazel", "query", "--noshow_progress", "--keep_going", "--output=xml",
         'kind("cc_(library|binary|test) rule", //src/... + //test/...)'],
        cwd=root,
        check=True,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    ).stdout  # fmt: skip
    return parse_targets(xml)


def parse_targets(xml: str) -> list[Target]:
    """Reads the output of `bazel query --output=xml`."""

    def labels(rule: ElementTree.Element, attribute: str) -> frozenset[str]:
        found = rule.findall(f"list[@name='{attribute}']/label")
        return frozenset(e.attrib["value"] for e in found)

    def paths(rule: ElementTree.Element, attribute: str) -> frozenset[str]:
        return frozenset(
            label.removeprefix("//").replace(":", "/").lstrip("/")
            for label in labels(rule, attribute)
        )

    # Bazel 4.2 says XML 1.1, which the parser here does not know.
    root = ElementTree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", xml))
    return [
        Target(
            r.attrib["name"],
            paths(r, "srcs"),
            paths(r, "hdrs") | paths(r, "textual_hdrs"),
            labels(r, "deps"),
            r.find("boolean[@name='alwayslink'][@value='true']") is not None,
        )
        for r in root.iter("rule")
    ]


def check_direction(tree: SourceTree) -> list[str]:
    """Every room is listed, and no file includes a room above its own."""
    order = rooms(tree)
    findings = []
    for path in tree.select(under=("src/",), suffixes=CPP_SUFFIXES):
        room = path.split("/")[1]
        if room not in order:
            findings.append(f"{path}:1: src/{room} is no room of src/rooms.bzl")
            continue
        for include in includes(tree, path):
            if not include.is_quoted:
                continue
            first, _, rest = include.name.partition("/")
            below = rest.split("/")[0]
            if first == "heaplayers":
                continue
            if first != "src" or below not in order:
                findings.append(include.finding(f'"{include.name}" is not a path into a room'))
            elif order.index(below) > order.index(room):
                findings.append(include.finding(f"{room} lies below {below} and may not use it"))
    return findings


def check_heap_layers(tree: SourceTree) -> list[str]:
    """heap-layers includes itself and the system, and never names Mesh."""
    findings = []
    for path in tree.select(under=(_HEAP_LAYERS,), suffixes=CPP_SUFFIXES):
        for include in includes(tree, path):
            if include.is_quoted and not include.name.startswith("heaplayers/"):
                findings.append(include.finding(f'heap-layers may not use "{include.name}"'))
    for path in tree.select(under=(_HEAP_LAYERS,), suffixes=("",)):
        for number, line in enumerate(tree.text(path).splitlines(), start=1):
            if re.search(r"\bmesh\b", line, re.IGNORECASE):
                findings.append(f"{path}:{number}: heap-layers knows nothing of Mesh")
    return findings


def _providers(targets: list[Target]) -> dict[str, set[str]]:
    """For each header the labels of the targets that offer it."""
    by_header: dict[str, set[str]] = collections.defaultdict(set)
    for target in targets:
        for header in target.hdrs:
            by_header[header].add(target.label)
    return by_header


def _check_target(
    tree: SourceTree, target: Target, by_header: dict[str, set[str]], to_include: set[str]
) -> list[str]:
    findings = []
    used: set[str] = set()
    has_heap_layers = any(d.endswith(_HEAP_LAYERS_LABEL) for d in target.deps)
    for path in sorted(target.files & set(tree.paths)):
        for include in includes(tree, path):
            if include.name.startswith("heaplayers/") and not has_heap_layers:
                findings.append(include.finding(f"{target.label} lacks @heap-layers in deps"))
            if not include.name.startswith("src/"):
                continue
            offered = by_header.get(include.name, set())
            used |= offered
            if include.name not in target.files and not offered & target.deps:
                wanted = " or ".join(sorted(offered)) or "a target with this header"
                findings.append(include.finding(f"{target.label} lacks {wanted} in deps"))
    # A target without sources of its own only puts libraries together.
    for label in sorted(target.deps & to_include - used) if target.srcs else []:
        if label.startswith("//src/"):
            findings.append(f"{target.label}: includes nothing of {label}, which deps names")
    return findings


def check_declared(tree: SourceTree, targets: list[Target]) -> list[str]:
    """Includes and `deps` agree, and every C++ file of src belongs to a target."""
    by_header = _providers(targets)
    to_include = {t.label for t in targets if t.hdrs and not t.alwayslink}
    findings = [f for t in targets for f in _check_target(tree, t, by_header, to_include)]
    known = {f for t in targets for f in t.files}
    for path in tree.select(under=("src/",), suffixes=CPP_SUFFIXES):
        if path not in known:
            findings.append(f"{path}:1: belongs to no target")
    return findings


def check(tree: SourceTree) -> list[str]:
    """All of the above on a work tree."""
    return (
        check_direction(tree)
        + check_heap_layers(tree)
        + check_declared(tree, query_targets(tree.root))
    )
