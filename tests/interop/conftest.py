"""The interpreter with the other tools."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--interop", default=None, metavar="PYTHON", help="interpreter of tests/interop/requirements.txt")
