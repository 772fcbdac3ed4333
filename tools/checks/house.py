"""House rules that no off-the-shelf linter knows: marks, paths, lengths, heads, READMEs."""

import re

from tools.checks.source_tree import CPP_SUFFIXES, SourceTree

_CODE = (*CPP_SUFFIXES, ".py", ".bzl")
_CODE_ROOTS = ("src/", "python/", "test/", "tools/", "third_party/")

# A longer file says "longer than 400 lines" and why in its first comment.
_MAX_LINES = 400
_HEAD_LINES = 15
_LENGTH_REASON = re.compile(r"longer than 400 lines", re.IGNORECASE)

# Written so that this file does not match itself.
_UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b")
_FOREIGN = re.compile(
    r"(?<![\w.])/(wor[k]|far[m]|roo[t]|home/\w+)/"  # a path of one machine
    r"|--(extra-)?inde[x]-url|\bpyp[i]\.org|pythonhoste[d]|^deb +htt[p]"  # a package registry
)


def check_marks(tree: SourceTree) -> list[str]:
    """No unfinished marks in code."""
    return [
        f"{path}:{number}: {match[0]} in the code; finish it or open an issue"
        for path in tree.select(under=_CODE_ROOTS, suffixes=_CODE)
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if (match := _UNFINISHED.search(line))
    ]


def check_foreign(tree: SourceTree) -> list[str]:
    """No path of one machine and no registry address in any tracked text."""
    return [
        f"{path}:{number}: {match[0]!r} belongs to one machine or to a package registry"
        for path in tree.select(suffixes=("",))
        for number, line in enumerate(tree.text(path).splitlines(), start=1)
        if (match := _FOREIGN.search(line))
    ]


def check_length(tree: SourceTree) -> list[str]:
    """Files stay readable at one sitting."""
    findings = []
    for path in tree.select(under=_CODE_ROOTS, suffixes=_CODE):
        lines = tree.text(path).splitlines()
        if len(lines) > _MAX_LINES and not _LENGTH_REASON.search("\n".join(lines[:_HEAD_LINES])):
            findings.append(f"{path}:1: {len(lines)} lines, and no reason in the first comment")
    return findings


def check_heads(tree: SourceTree) -> list[str]:
    """Every C++ file of src begins with a comment that says what it is for."""
    return [
        f"{path}:1: does not begin with a comment"
        for path in tree.select(under=("src/",), suffixes=CPP_SUFFIXES)
        if not tree.text(path).startswith(("//", "/*"))
    ]


def check_readmes(tree: SourceTree) -> list[str]:
    """Every room has a README.md."""
    rooms = {"third_party/heap-layers"}
    rooms |= {"/".join(p.split("/")[:2]) for p in tree.paths if re.match(r"src/[^/]+/", p)}
    return [
        f"{room}: has no README.md"
        for room in sorted(rooms)
        if f"{room}/README.md" not in tree.paths
    ]


def check(tree: SourceTree) -> list[str]:
    """All of the above."""
    return (
        check_marks(tree)
        + check_foreign(tree)
        + check_length(tree)
        + check_heads(tree)
        + check_readmes(tree)
    )
