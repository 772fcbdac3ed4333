"""Tests of allocators.py: environments, peers from the command line, Mesh's exit report."""

import pathlib

import pytest

from python.mesh_tools import allocators

_REPORT = """some line of the program
MESH COUNT:         12345
Meshed MB (total):  48.2
Meshed pages HWM:   9000
MH Alloc Count:     1
"""


def test_mesh_report_is_found_among_other_lines() -> None:
    assert allocators.parse_mesh_report(_REPORT) == allocators.MeshReport(12345, 48.2)
    assert allocators.parse_mesh_report("MH Alloc Count: 3\n") is None


def test_the_last_report_counts() -> None:
    child = "MESH COUNT: 7\nMeshed MB (total): 1.0\n"
    assert allocators.parse_mesh_report(child + _REPORT) == allocators.MeshReport(12345, 48.2)


def test_only_what_is_asked_for_is_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "something.so")
    assert "LD_PRELOAD" not in allocators.builtin().make_environment()
    assert allocators.glibc().make_environment()["LD_PRELOAD"] == "libc.so.6"
    environment = allocators.mesh(pathlib.Path("/x/libmesh.so")).make_environment()
    assert environment["LD_PRELOAD"] == "/x/libmesh.so"
    assert environment["MALLOCSTATS"] == "1"


def test_a_level_of_hardening_is_mesh_by_another_name() -> None:
    plain = allocators.mesh(pathlib.Path("libmesh.so"))
    hardened = allocators.hardened(plain, 3)
    assert (hardened.name, hardened.preload) == ("mesh-3", plain.preload)
    assert hardened.environment == {**plain.environment, "MESH_SECURE": "3"}


def test_peers(tmp_path: pathlib.Path) -> None:
    library = tmp_path / "lib.so"
    library.touch()
    assert allocators.parse_peer(f"mine={library}").preload == str(library)
    assert allocators.parse_peer("activedefrag").active_defrag
    for bad in ("mine", "mine=", "=lib.so", f"mine={library}.1"):
        with pytest.raises(allocators.PeerError):
            allocators.parse_peer(bad)


def test_libraries_are_found_where_the_loader_looks() -> None:
    assert allocators.find_library("libc.so.6") is not None
    assert allocators.find_library("libnosuch.so.9") is None
