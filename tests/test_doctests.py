"""Examples in docstrings, and sessions on pages of the documentation, give what they say."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("quickstart.md",)
SESSION = re.compile(r"```pycon\n(.*?)```", re.DOTALL)
# Whoever calls these finds an example in the docstring. `fit_flow` has one in docs/flows.md: it takes long to compile.
FUNCTIONS = (
    "bootstrap_pid",
    "compare_pid",
    "estimate_pid",
    "gaussian_pid",
    "gaussian_union",
    "mutual_information",
    "optimal_coupling",
    "permutation_test",
    "pid_broja",
    "pid_mmi",
    "posterior_pid",
    "samples_needed",
    "stream_moments",
    "stream_pid",
    "unique_spectrum",
    "use_devices",
)


def modules_with_examples() -> list[str]:
    paths = [path for package in ("pid_jax", "extraction") for path in sorted((ROOT / package).rglob("*.py"))]
    having = [path.relative_to(ROOT) for path in paths if ">>> " in path.read_text(encoding="utf-8")]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in having]


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_a_module_run(name):
    done = doctest.testmod(import_module(name))
    assert done.attempted
    assert not done.failed


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_sessions_of_a_page_run(page):
    """They build on each other."""
    text = "\n\n".join(SESSION.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
    session = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert session.examples
    assert not doctest.DocTestRunner().run(session).failed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_has_an_example(name):
    pid_jax = import_module("pid_jax")
    assert "Example:" in getattr(pid_jax, name).__doc__
