"""docs/api.md says what mesh.h says, and each function of mesh.h is called by a test."""

import os
import pathlib
import re

from docs import api_page

_HEADER = pathlib.Path(os.environ["MESH_H"]).read_text(encoding="utf-8")
_TESTS = pathlib.Path(__file__).parent


def _declared() -> set[str]:
    code = re.sub(r"/\*.*?\*/", "", _HEADER, flags=re.DOTALL)
    code = re.sub(r"typedef [^;{]*;", "", code)
    return set(re.findall(r"\b(mesh_\w+)\(", code))


def test_the_page_is_that_of_the_header() -> None:
    page = pathlib.Path(os.environ["API_PAGE"]).read_text(encoding="utf-8")
    assert page == api_page.text(_HEADER), "run: python3 -m docs.api_page > docs/api.md"


def test_every_function_has_an_entry() -> None:
    entries = [e for section in api_page.sections(_HEADER) for e in section.entries]
    found = [name for entry in entries for name in entry.functions]
    assert len(_declared()) > 20
    assert sorted(found) == sorted(_declared())
    assert all(entry.text for entry in entries)


def test_every_function_is_called_by_a_test() -> None:
    sources = [*_TESTS.glob("*.cc"), *_TESTS.glob("*.c")]
    text = "".join(re.sub(r"//.*", "", path.read_text(encoding="utf-8")) for path in sources)
    missing = {name for name in _declared() if not re.search(rf"\b{name}\(", text)}
    assert not missing


def test_a_header_is_taken_apart() -> None:
    header = (
        "/* Head, by f(x).\n *\n * Rules:\n *   one  a\n *        b\n *   two  c\n */\n"
        "/* ---- Part ---- */\n\n/* Prose. */\n\n/* Makes `x`:\n *\n *   code();\n */\n"
        "MESH_RETURNS_OBJECT void* mesh_a(int a,\n      int b);\ntypedef int mesh_b(int);\n\n"
        "#ifdef __cplusplus\n}\n#endif\n"
    )
    (section,) = api_page.sections(header)
    assert section.title == "Part"
    prose, made = section.entries
    assert prose == api_page.Entry("Prose.", "")
    assert made.functions == ["mesh_a"]
    page = api_page.text(header)
    assert "void* mesh_a(int a, int b);\ntypedef" in page
    assert "```c\ncode();\n```" in page
