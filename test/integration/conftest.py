"""Fixtures of the integration tests: how often, how long, and where."""

import pathlib
import resource

import pytest


def pytest_configure() -> None:
    """Programs that are meant to crash leave no core behind; a test about cores raises this."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the tests."""
    parser.addoption(
        "--repeats",
        type=int,
        default=2,
        help="preloaded runs of each scenario, in a row (bazel test --test_arg=--repeats=20)",
    )
    parser.addoption(
        "--full", action="store_true", help="whole suites, for minutes or hours, instead of a slice"
    )
    parser.addoption(
        "--modules", default="", help="modules of CPython's suite to run alone, with commas between"
    )
    parser.addoption(
        "--endurance-seconds", type=int, default=3, help="length of the run under compaction"
    )
    parser.addoption("--seed", type=int, default=1, help="seed of the run under compaction")


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> int:
    """Preloaded runs of each scenario."""
    return int(request.config.getoption("--repeats"))


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether a suite is to run as a whole."""
    return bool(request.config.getoption("--full"))


@pytest.fixture
def modules(request: pytest.FixtureRequest) -> list[str]:
    """Modules of a suite to run, all that are meant to be if empty."""
    return [name for name in str(request.config.getoption("--modules")).split(",") if name]


@pytest.fixture
def endurance_seconds(request: pytest.FixtureRequest) -> int:
    """Length of the run under compaction [s]."""
    return int(request.config.getoption("--endurance-seconds"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Seed of the run under compaction."""
    return int(request.config.getoption("--seed"))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """The sandbox directory of the running test."""
    return tmp_path / "sandbox"
