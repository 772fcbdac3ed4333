"""Fixtures of the integration tests: how often, and where."""

import pathlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --repeats."""
    parser.addoption(
        "--repeats",
        type=int,
        default=2,
        help="preloaded runs of each scenario, in a row (bazel test --test_arg=--repeats=20)",
    )


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> int:
    """Preloaded runs of each scenario."""
    return int(request.config.getoption("--repeats"))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """The sandbox directory of the running test."""
    return tmp_path / "sandbox"
