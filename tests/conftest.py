"""Setup of all tests. Float64 is not switched on here: the library has to manage its precision itself."""

from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from hypothesis import HealthCheck, settings

from tests.reference import ReferenceCase, solve_all

# Every compiled program takes hundreds of mappings, and 65,530 is the usual limit.
MAPPINGS, MOST_MAPPINGS = Path("/proc/self/maps"), 25_000

# Examples are derived from the test itself, so that every run checks the same ones.
_REPRODUCIBLE = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=25, **_REPRODUCIBLE)
settings.register_profile("thorough", max_examples=500, **_REPRODUCIBLE)


def pytest_configure(config: pytest.Config) -> None:
    is_thorough = config.option.markexpr.strip() == "slow"
    settings.load_profile("thorough" if is_thorough else "default")
    # A command run in this process would switch the folder of compiled programs on for all tests after it.
    jax.config.update("jax_enable_compilation_cache", False)


@pytest.fixture(autouse=True)
def precision_is_left_alone():
    """JAX's global precision is the same before and after every test."""
    assert not jax.config.jax_enable_x64
    yield
    assert not jax.config.jax_enable_x64


@pytest.fixture(autouse=True, scope="module")
def compiled_programs_stay_few():
    """Forget compiled programs before there are more mappings of memory than a process of Linux may have."""
    yield
    if MAPPINGS.exists() and len(MAPPINGS.read_text().splitlines()) > MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def reference() -> dict[str, ReferenceCase]:
    return solve_all()


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture
def command_line(monkeypatch, capsys):
    """Make a function that runs a command line in this process and returns exit code, output and errors."""

    def bind(name: str, main: Callable[[], None]) -> Callable[..., tuple[int, str, str]]:
        def run(*arguments: object) -> tuple[int, str, str]:
            monkeypatch.setattr("sys.argv", [name, *map(str, arguments)])
            code = 0
            try:
                main()
            except SystemExit as stop:
                code = stop.code or 0
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return run

    return bind
