"""Programs that are linked with Mesh in different ways, each of which compacts its heap."""

import os
import pathlib
import shutil
import subprocess

import pytest

_PLACES = {name: pathlib.Path(os.environ[name]).absolute() for name in ("PLUGIN", "LIBMESH")}


def _run(variable: str, *arguments: str) -> str:
    program = pathlib.Path(os.environ[variable]).absolute()
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("variable", ["STATIC_C", "STATIC_CXX", "WHOLLY_STATIC_C"])
def test_a_static_program_compacts(variable: str) -> None:
    assert "pages meshed" in _run(variable)


def test_a_library_that_is_loaded_late_compacts() -> None:
    assert _run("HOST", str(_PLACES["PLUGIN"])).count("pages meshed") == 4


def _has_static_tls(library: pathlib.Path) -> bool:
    found = subprocess.run(
        ["readelf", "-d", library], capture_output=True, text=True, timeout=60, check=True
    )
    return "STATIC_TLS" in found.stdout


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
def test_only_the_preloaded_library_has_static_thread_local_storage() -> None:
    assert _has_static_tls(_PLACES["LIBMESH"])
    assert not _has_static_tls(_PLACES["PLUGIN"])
