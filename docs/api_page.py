"""Writes docs/api.md to stdout, from the public header.

    python3 -m docs.api_page > docs/api.md

A test compares the page with what this writes, so that the header and the page say the same.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

HEADER = pathlib.Path("src/libmesh/mesh/mesh.h")

_HEAD = """\
# Mesh's C API

Written by `docs/api_page.py` from `src/libmesh/mesh/mesh.h`, which is installed as `mesh/mesh.h`.
For C++ there is `mesh/mesh.hpp` over it: `mesh::allocator<T>` for containers, `mesh::heap`, and
`mesh::heap_resource` for `std::pmr`. [examples](examples) has programs of both kinds.
"""

_SECTION = re.compile(r"/\* ---- (.*) ---- \*/\n")
_ATTRIBUTES = re.compile(r"MESH_RETURNS_\w+ ")
_FUNCTION = re.compile(r"\b(mesh_\w+)\(")
_CODE = re.compile(r"\bNULL\b|\berrno\b|\b(?:mesh_)?\w+\([\w&* ,]*\)|\bmesh_\w+\b|\bE[A-Z]{4,}\b")


class Entry(NamedTuple):
    """What the header says under one comment: prose alone, or declarations with it."""

    text: str
    code: str

    @property
    def functions(self) -> list[str]:
        """Names of the functions that are declared, not those of types of functions."""
        code = re.sub(r"typedef [^;{]*;", "", self.code)
        return _FUNCTION.findall(code)


class Section(NamedTuple):
    """A part of the header."""

    title: str
    entries: list[Entry]


def _comment_text(comment: str) -> str:
    """Returns a comment without its marks; what is set in deeper than the rest stays so."""
    lines = comment.strip().removeprefix("/*").removesuffix("*/").split("\n")
    return "\n".join(re.sub(r"^ \* ?", "", line).rstrip() for line in lines).strip()


def _entries(part: str) -> Iterator[Entry]:
    for block in re.split(r"\n\s*\n(?=/\*)", part.strip()):
        end = block.index("*/") + 2
        yield Entry(_comment_text(block[:end]), block[end:].strip())


def sections(header: str) -> list[Section]:
    """Takes the header apart.

    Args:
        header: its text.

    Returns:
        The parts under `/* ---- TITLE ---- */`, with what is declared there.
    """
    body = header[: header.rindex("#ifdef __cplusplus")]
    parts = _SECTION.split(body)[1:]
    return [
        Section(title, list(_entries(text)))
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def _marked(text: str) -> str:
    """Returns prose as Markdown: names in code type, what is set in as it stands."""
    paragraphs = []
    for paragraph in re.split(r"\n *\n", text):
        is_as_is = all(line.startswith("  ") for line in paragraph.split("\n"))
        if is_as_is:
            paragraphs.append("```c\n" + re.sub(r"(?m)^  ", "", paragraph) + "\n```")
            continue
        # What is in quotes of code already stays.
        pieces = paragraph.split("`")
        pieces[::2] = [_CODE.sub(lambda m: f"`{m.group()}`", piece) for piece in pieces[::2]]
        pieces[1::2] = [f"`{piece}`" for piece in pieces[1::2]]
        paragraphs.append("".join(pieces))
    return "\n\n".join(paragraphs)


def _declarations(code: str) -> str:
    """Returns declarations without attributes, those of functions in a line each."""
    plain = _ATTRIBUTES.sub("", code)
    return plain if "{" in plain else re.sub(r"([,(])\n +", r"\1 ", plain).replace("( ", "(")


def _rules(header: str) -> str:
    """Returns what the head of the header says for all functions, its table as a list."""
    text = _comment_text(header[: header.index("*/") + 2])
    prose, _, rules = text.partition("\n  ")
    items: list[str] = []
    for line in rules.split("\n"):
        word, _, rest = line.strip().partition("  ")
        if line.startswith("           ") or not rest:
            items[-1] += " " + line.strip()
        else:
            items.append(f"- **{word}**: {rest.strip()}")
    marked = [item[: item.index(":")] + _marked(item[item.index(":") :]) for item in items]
    return _marked(prose) + "\n\n" + "\n".join(marked) + "\n"


def text(header: str) -> str:
    """Returns the page, given the header's text."""
    lines = [_HEAD, _rules(header)]
    for section in sections(header):
        lines.append(f"## {section.title}\n")
        for entry in section.entries:
            if entry.code:
                lines.append(f"```c\n{_declarations(entry.code)}\n```\n")
            lines.append(_marked(entry.text) + "\n")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text(HEADER.read_text(encoding="utf-8")), end="")
