"""The exports check finds surplus, missing and versioned names, and foreign libraries."""

import pathlib
import subprocess

import pytest

from tools.checks import exports


@pytest.fixture
def library(tmp_path: pathlib.Path) -> pathlib.Path:
    """A library that exports malloc and mesh_mallctl and needs libc."""
    return _compile(tmp_path, 'extern "C" { void malloc() {} void mesh_mallctl() {} }')


def _compile(directory: pathlib.Path, source: str, *options: str) -> pathlib.Path:
    path = directory / "lib.so"
    (directory / "lib.cc").write_text(source)
    subprocess.run(
        ["g++", "-shared", "-fPIC", "-fno-builtin", "-Wl,--as-needed", "-o", str(path),
         str(directory / "lib.cc"), *options],
        check=True,
    )  # fmt: skip
    return path


def test_the_documented_names_pass(library: pathlib.Path) -> None:
    assert exports.check_exports(library, {"malloc"}) == []
    assert exports.check_needs(library) == []


def test_a_missing_name_is_found(library: pathlib.Path) -> None:
    findings = exports.check_exports(library, {"malloc", "free"})
    assert findings == ["free: documented, but not exported"]


def test_a_surplus_name_is_found(library: pathlib.Path) -> None:
    assert exports.check_exports(library, set()) == ["malloc: exported, but not documented"]


def test_a_versioned_name_is_found(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "named.map"
    script.write_text("MESH_1 { global: malloc; local: *; };\n")
    versioned = _compile(tmp_path, 'extern "C" void malloc() {}', f"-Wl,--version-script={script}")
    findings = exports.check_exports(versioned, {"malloc", "MESH_1"})
    assert any(f.startswith("malloc@") for f in findings)


def test_the_cxx_runtime_is_found(tmp_path: pathlib.Path) -> None:
    source = "#include <string>\nvoid f(std::string& s) { s.append(1000, 'x'); }"
    findings = exports.check_needs(_compile(tmp_path, source))
    assert "NEEDED libstdc++.so.6: only libc is allowed" in findings
    assert any("GLIBCXX" in f for f in findings)


def test_the_documented_list_is_read() -> None:
    names = exports.documented_names()
    assert {"malloc", "posix_memalign", "_Znwm"} <= names
    assert not any(n.startswith("#") for n in names)
