"""The Rust crates: their own tests with each set of features, the packaged crates elsewhere, and a
published program on Mesh.
"""

import json
import os
import pathlib
import random
import shutil
import sys
import tarfile
from collections.abc import Mapping

import pytest

from test.integration import cargo, harness

# With each of these the library is built anew. Without features it comes from Bazel, installed.
FEATURES = (("interpose", "allocator-api2"), ("override", "local-dynamic-tls", "secure"))
ALL_FEATURES = ((), *FEATURES)

VERSION = "0.1.0"


@pytest.fixture(name="root")
def _root(tmp_path: pathlib.Path) -> pathlib.Path:
    # Other users run programs there.
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_uid == os.getuid() and directory != pathlib.Path("/"):
            directory.chmod(directory.stat().st_mode | 0o755)
    return tmp_path


@pytest.fixture(name="installed", scope="session")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment in which the crates link installed libraries."""
    directory = tmp_path_factory.mktemp("lib")
    for name in ("MESH_LIB", "MESH_LIB_API", "MESH_LIB_LATE"):
        library = pathlib.Path(os.environ[name]).resolve(strict=True)
        (directory / library.name).symlink_to(library)
    (directory / "libmesh.so.1").symlink_to("libmesh.so")
    return {"MESH_SYS_LIB_DIR": str(directory), "LD_LIBRARY_PATH": str(directory)}


@pytest.fixture(name="build", params=ALL_FEATURES, ids=",".join)
def _build(request: pytest.FixtureRequest, installed: Mapping[str, str]) -> cargo.Build:
    """The crates with each set of features; without any, on the installed libmesh-api.a."""
    if request.param == ():
        return cargo.Build((), "installed", installed)
    return cargo.Build(request.param, "", {})


def test_cargo_test(build: cargo.Build) -> None:
    passed = cargo.run_tests(build, "--workspace")
    assert passed >= 10, passed


def test_installed_libmesh_so(installed: Mapping[str, str]) -> None:
    """It is malloc, too."""
    build = cargo.Build(("override",), "installed", installed)
    passed = cargo.run_tests(build, "--package=mesh-sys")
    assert passed >= 5, passed


@pytest.mark.parametrize("tier", ["userfault", "userfault_user", "segv", "single", "none"])
def test_compacts_in_each_tier(build: cargo.Build, tier: str, root: pathlib.Path) -> None:
    """The program knows where it has to be meshed, and where it cannot be."""
    program = cargo.test_program(build, "compaction")
    outcome = harness.run_program([program], cargo.environment({"MESH_BARRIER": tier}), root)
    assert outcome.status == 0, harness.describe(outcome)


def test_compacts_as_ordinary_user(build: cargo.Build, root: pathlib.Path) -> None:
    if not harness.is_root():
        pytest.skip("runs as an ordinary user anyway")
    copy = root / "compaction"
    copy.write_bytes(cargo.test_program(build, "compaction").read_bytes())
    copy.chmod(0o755)
    as_nobody = [harness.program("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    outcome = harness.run_program([*as_nobody, copy], cargo.environment({}), root)
    assert outcome.status == 0, harness.describe(outcome)


_PLUGIN = """
use mesh_alloc::{stats, Mesh};

#[global_allocator]
static GLOBAL: Mesh = Mesh;

/// Spans meshed of a heap full of holes, made by a thread of its own.
#[no_mangle]
pub extern "C" fn meshed_spans() -> u64 {
    let kept = std::thread::spawn(|| {
        let all: Vec<Box<[u8; 64]>> = (0..100_000).map(|i| Box::new([i as u8; 64])).collect();
        let mut state = 1u64;
        let mut is_kept = |_: &Box<[u8; 64]>| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % 10 == 0
        };
        let kept: Vec<_> = all.into_iter().filter(|object| is_kept(object)).collect();
        kept
    });
    let kept = kept.join().unwrap();
    mesh_alloc::collect(true);
    assert!(kept.iter().all(|object| object[0] == object[63] && mesh_alloc::is_in_heap(&**object)));
    stats::Statistics::now().mesh_count
}
"""

# A program that has no room left for it: threads are there, and it was loaded by dlopen.
_PLUGIN_HOST = """
import ctypes, sys, threading
is_over = threading.Event()
threading.Thread(target=is_over.wait).start()
plugin = ctypes.CDLL(sys.argv[1])
plugin.meshed_spans.restype = ctypes.c_uint64
meshed = [0]
def call():
    meshed[0] = plugin.meshed_spans()
thread = threading.Thread(target=call)
thread.start()
thread.join()
is_over.set()
print(meshed[0])
"""


def test_plugin(root: pathlib.Path, installed: Mapping[str, str]) -> None:
    """A Rust library that Python loads late, with Mesh inside of it alone."""
    cargo.fetch()
    sources = root / "src"
    sources.mkdir()
    (sources / "lib.rs").write_text(_PLUGIN)
    (root / "Cargo.toml").write_text(
        '[package]\nname = "plugin"\nversion = "1.0.0"\nedition = "2021"\n[workspace]\n'
        '[lib]\ncrate-type = ["cdylib"]\n'
        f'[dependencies.mesh-alloc]\npath = "{cargo.WORKSPACE}/mesh-alloc"\n'
        'features = ["local-dynamic-tls"]\n'
    )
    (root / "Cargo.lock").write_bytes((cargo.WORKSPACE / "Cargo.lock").read_bytes())
    extra = {**installed, "RUSTFLAGS": "-C link-arg=-Wl,-z,nodelete"}
    cargo.run("build", "--offline", directory=root, extra=extra)
    plugin = root / "target" / "debug" / "libplugin.so"
    outcome = harness.run_program(
        [sys.executable, "-c", _PLUGIN_HOST, plugin], cargo.environment({}), root
    )
    assert outcome.status == 0, harness.describe(outcome)
    # Without privileges there is no meshing beside threads.
    if harness.is_root():
        assert int(outcome.stdout) >= 100, harness.describe(outcome)
    shutil.rmtree(root / "target")


# A library that has a thread before the program's first constructor.
_EARLY_THREAD = """
#include <pthread.h>
#include <unistd.h>
static void* wait_for_ever(void* none) { for (;;) pause(); return none; }
__attribute__((constructor)) static void begin(void) {
  pthread_t thread;
  pthread_create(&thread, 0, wait_for_ever, 0);
}
"""


def test_earlier_threads_cost_the_lower_tiers(root: pathlib.Path) -> None:
    """A call that began before the program's functions were in force was never published."""
    program = cargo.test_program(cargo.Build(FEATURES[0], "", {}), "compaction")
    (root / "early.c").write_text(_EARLY_THREAD)
    library = root / "early.so"
    compiled = harness.run_program(
        [harness.program("cc"), "-shared", "-fPIC", "-pthread", "early.c", "-o", library],
        cargo.environment({}),
        root,
    )
    assert compiled.status == 0, harness.describe(compiled)
    for tier in ("segv", "userfault_user"):
        extra = {"MESH_BARRIER": tier, "UNPUBLISHED": "1", "LD_PRELOAD": str(library)}
        outcome = harness.run_program([program], cargo.environment(extra), root)
        assert outcome.status == 0, harness.describe(outcome)
        assert b"tier none" in outcome.stdout


def _unpack(crate: str, root: pathlib.Path) -> None:
    """Packages a crate and unpacks it in `root`, as its users get it."""
    patch = f'patch.crates-io.mesh-sys.path="{cargo.WORKSPACE}/mesh-sys"'
    cargo.run(
        "--config", patch, "package", "--offline", "--allow-dirty", "--no-verify",
        f"--package={crate}",
    )  # fmt: skip
    package = cargo.TARGET / "package" / f"{crate}-{VERSION}.crate"
    with tarfile.open(package) as archive:
        assert all(member.isfile() for member in archive.getmembers())
        archive.extractall(root)
    (root / f"{crate}-{VERSION}").rename(root / crate)


def test_packages_build_elsewhere_and_statically(root: pathlib.Path) -> None:
    """No file of the repository is needed, and no shared library at run time."""
    cargo.fetch()
    for crate in ("mesh-sys", "mesh-alloc"):
        _unpack(crate, root)
        assert (root / crate / "LICENSE").stat().st_size > 10_000
        assert (root / crate / "README.md").stat().st_size > 500
    (root / "Cargo.toml").write_text(
        '[workspace]\nmembers = ["mesh-sys", "mesh-alloc"]\n'
        '[patch.crates-io]\nmesh-sys = { path = "mesh-sys" }\n'
    )
    (root / "Cargo.lock").write_bytes((cargo.WORKSPACE / "Cargo.lock").read_bytes())
    machine = os.uname().machine
    outcome = cargo.run(
        "test", "--offline", "--package=mesh-alloc", "--test=compaction", "--features=override",
        f"--target={machine}-unknown-linux-gnu",
        directory=root,
        extra={"RUSTFLAGS": "-C target-feature=+crt-static"},
    )  # fmt: skip
    assert b"alone: " in outcome.stdout, harness.describe(outcome)
    programs = [path for path in root.glob("target/*/debug/deps/compaction-*") if path.suffix == ""]
    assert len(programs) == 1
    # The name of a loader, which a program with shared libraries needs.
    assert b"/ld-linux" not in programs[0].read_bytes()
    shutil.rmtree(root / "target")


def _install_jaq(root: pathlib.Path, extra: Mapping[str, str], *options: str) -> pathlib.Path:
    """Builds jaq as it is published, and returns the program."""
    arguments = [
        "install", "jaq", "--version=3.1.2", "--locked", "--debug", "--no-track", "--force",
        f"--root={root}", f"--target-dir={cargo.TARGET / 'jaq'}",
    ]  # fmt: skip
    for offline in (["--offline"], []):
        outcome = cargo.run(*options, *arguments, *offline, extra=extra, must_succeed=False)
        if outcome.status == 0:
            return root / "bin" / "jaq"
    harness.missing("jaq cannot be built: " + harness.describe(outcome))
    raise AssertionError


def _documents() -> bytes:
    """Arrays of objects as JSON, with texts of 40 characters."""
    generator = random.Random(1)
    lines = []
    for document in range(30):
        ids = range(document * 2000, document * 2000 + 2000)
        objects = [f'{{"id":{i},"name":"{generator.getrandbits(160):040x}"}}' for i in ids]
        lines.append(f"[{','.join(objects)}]\n")
    return "".join(lines).encode()


# Reads everything, keeps the one in sixteen whose name begins with an "a", and goes on for a while.
_FILTER = (
    "[inputs[]] | map(select((.name | explode | .[0]) == 97)) | "
    "length, (map(.id) | add), (reduce range(300000) as $i (0; . + $i)), ."
)


def test_published_program(root: pathlib.Path, installed: Mapping[str, str]) -> None:
    """jaq, with Mesh in the place of the allocator it comes with: same output, and compacted."""
    if cargo.rust_version() < (1, 70):
        pytest.skip("jaq 3.1.2 needs Rust 1.70")
    plain = _install_jaq(root / "plain", {})
    patch = f'--config=patch.crates-io.mimalloc.path="{cargo.WORKSPACE}/jaq"'
    on_mesh = _install_jaq(root / "mesh", installed, patch)
    statistics = root / "statistics.json"
    mesh_environment = {
        "MESH_PERIOD_MS": "10",
        "MESH_CPU_PERCENT": "100",
        "MESH_STATS_FILE": str(statistics),
    }
    outcomes = [
        harness.run_program(
            [program, "-n", "-c", _FILTER], cargo.environment(extra), root, _documents()
        )
        for program, extra in ((plain, {}), (on_mesh, mesh_environment))
    ]
    assert [outcome.status for outcome in outcomes] == [0, 0], list(map(harness.describe, outcomes))
    assert outcomes[0].stdout == outcomes[1].stdout
    assert outcomes[0].stdout.startswith(b"3")
    found = json.loads(statistics.read_bytes())
    print({name: found[name] for name in ("mesh_count", "meshed_pages_hwm", "physical_bytes")})
    assert found["meshed_pages_hwm"] >= 256
