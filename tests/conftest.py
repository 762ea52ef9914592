"""Setup of all tests. Float64 is not switched on here: the library has to manage its precision itself."""

import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

# For every program that it loads from disk, XLA reports features as missing which it made up itself. Before JAX.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.reference import ReferenceCase, solve_all

# Every compiled program takes hundreds of mappings, and 65,530 is the usual limit.
MAPPINGS, MOST_MAPPINGS = Path("/proc/self/maps"), 25_000
# Most programs of the fast tier run once: optimizing them takes longer than they do.
UNOPTIMIZED = "--xla_backend_optimization_level=0"
SHORTEST_COMPILATION_SECONDS = 0.1
OUT_OF_TIME = "not started: the time given by --stop-after is over"

# Examples are derived from the test itself, so that every run checks the same ones.
_REPRODUCIBLE = {"deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.too_slow]}
_STARTED = pytest.StashKey[float]()
EXAMPLES = {"fast": 5, "slow": 25, "long": 500}
for _tier, _count in EXAMPLES.items():
    settings.register_profile(_tier, max_examples=_count, **_REPRODUCIBLE)


def pytest_addoption(parser: pytest.Parser) -> None:
    help_ = "start no test later than this, in minutes; the number of tests left is reported"
    parser.addoption("--stop-after", type=float, default=None, metavar="MINUTES", help=help_)


def tier_of(config: pytest.Config) -> str:
    chosen = config.option.markexpr.strip()
    return chosen if chosen in ("slow", "long") else "fast"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STARTED] = time.monotonic()
    settings.load_profile(tier_of(config))
    # Before JAX has a backend; processes that tests start inherit it.
    flags = os.environ.get("XLA_FLAGS", "")
    if tier_of(config) == "fast" and UNOPTIMIZED.partition("=")[0] not in flags:  # a level that was chosen counts
        os.environ["XLA_FLAGS"] = f"{flags} {UNOPTIMIZED}".strip()
    if not hasattr(config, "workerinput"):
        _share_programs(config)


def _share_programs(config: pytest.Config) -> None:
    """Keep compiled programs in a folder for this run, its workers and the processes that they start."""
    folder = tempfile.mkdtemp(prefix="pid_jax-programs-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    chosen = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": SHORTEST_COMPILATION_SECONDS,
    }
    for name, value in chosen.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what `fast_cases` leaves out as slow, and in the slow tier what is in every tier, with more examples."""
    seen: Counter[str] = Counter()
    for item in items:
        name = item.nodeid.split("[")[0]
        seen[name] += 1
        mark = item.get_closest_marker("fast_cases")
        is_again = item.get_closest_marker("every_tier") or is_hypothesis_test(getattr(item, "obj", None))
        is_again = is_again and not item.get_closest_marker("long") and tier_of(config) == "slow"
        if (mark and seen[name] > mark.args[0]) or is_again:
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.option.stop_after
    if minutes is not None and time.monotonic() - item.config.stash[_STARTED] > 60 * minutes:
        pytest.skip(OUT_OF_TIME)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    left = sum(OUT_OF_TIME in str(report.longrepr) for report in skipped)
    if left:
        terminalreporter.write_line(f"{left} tests {OUT_OF_TIME}")


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
def compiled(caplog) -> Iterator[Callable[[], list[str]]]:
    """Make a function that returns the programs that JAX compiled since it was called last."""
    caplog.set_level(logging.WARNING)

    def programs() -> list[str]:
        found = [line for line in caplog.messages if line.startswith("Finished XLA compilation")]
        caplog.clear()
        return found

    with jax.log_compiles():
        yield programs


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
