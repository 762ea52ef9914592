"""Imports go one way, the two halves of the project meet on disk only, and each half starts without the other's."""

import ast
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pid_jax

ROOT = Path(pid_jax.__file__).parent.parent
# A module may import what stands in its own group or before it.
ORDER = (
    {"arrays", "forks"},
    {
        "status",
        "precision",
        "threads",
        "progress",
        "checks",
        "atomic",
        "by_type",
        "compilation_cache",
        "launch",
        "side_by_side",
        "dataset_file",
        "named_key",
        "array_files",
        "rank_noise",
    },
    {"layout", "processes", "blocks"},
    {"moments", "gaussianizers", "resampling", "likelihoods"},
    {"block_sums", "device_moments"},
    {"spec", "gaussian"},
    {"pid", "reduce", "flow"},
    {"flow_fit", "flow_input", "fit_loops"},
    {"fit"},
    {"compare", "refit", "cross_fit", "diagnose", "discrete_values"},
    {"result_dataset"},
    {"result"},
    {"covariances"},
    {"decompose", "spectrum", "coupling", "union"},
    {"rank_errors", "usable"},
    {"bias", "gaussianize"},
    {"after_ranks"},
    {"estimate_reduced"},
    {"estimate"},
    {"stream"},
    {"inference"},
    {"testing"},
    {"manifest", "storage", "container", "store_readout", "targets"},
    {"shard"},
    {"store_readout_file"},
    {"gather", "verify"},
    {"store"},
    {"store_merge", "store_info", "target_reader", "store_blocks"},
    {"scores"},
    {"study"},
    {"metrics"},
    {"multiverse"},
    {"study_config"},
    {"full_study"},
    {"plot"},
    {"report"},
    {"demo"},
    {"console", "cli"},
)
# Members of a group that do not know each other.
APART = (
    ORDER[1],
    {"spec", "gaussian"},
    {"pid", "reduce", "flow"},
    {"flow_fit", "flow_input", "fit_loops"},
    {"compare", "refit", "cross_fit", "diagnose", "discrete_values"},
    {"decompose", "spectrum", "coupling", "union"},
    {"bias", "gaussianize"},
    {"manifest", "storage", "container", "store_readout", "targets"},
    {"gather", "verify"},
    {"store_merge", "store_info", "target_reader", "store_blocks"},
    {"block_sums", "device_moments"},
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> set[str]:
    """Full names of all modules imported anywhere in a file, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imports_of(package: str) -> dict[str, set[str]]:
    return {module_name(path): imported_names(path) for path in sorted((ROOT / package).rglob("*.py"))}


CORE = {name: found for name, found in imports_of("pid_jax").items() if name != "pid_jax"}
EXTRACTION = {name: found for name, found in imports_of("extraction").items() if name != "extraction"}


def part_of(name: str) -> str:
    return name.split(".")[1]


def rank(part: str) -> int:
    ranks = [i for i, group in enumerate(ORDER) if part in group]
    assert ranks, f"pid_jax.{part} has no place in the order of imports"
    return ranks[0]


def inner(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("pid_jax.")}


@pytest.mark.parametrize("module", CORE)
def test_imports_go_one_way(module):
    part = part_of(module)
    for other in {part_of(name) for name in inner(CORE[module])}:
        assert rank(other) <= rank(part), f"{module} imports pid_jax.{other}, which comes after it"
        is_apart = other != part and any({part, other} <= group for group in APART)
        assert not is_apart, f"{module} imports pid_jax.{other}, and neither may know the other"
        assert other != "console" or part in ("cli", "console"), f"{module} talks to the user; only cli modules may"


def test_imports_have_no_circle():
    modules = {*CORE, *EXTRACTION}
    graph = {name: found & modules - {name} for name, found in (CORE | EXTRACTION).items()}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", CORE)
def test_pid_jax_knows_nothing_of_the_other_half(module):
    tops = {name.split(".")[0] for name in CORE[module]}
    assert not tops & {"torch", "torchvision", "transformers", "PIL", "extraction"}


@pytest.mark.parametrize("module", EXTRACTION)
def test_extraction_meets_pid_jax_in_the_store_only(module):
    names = EXTRACTION[module]
    allowed = ("pid_jax.store", "pid_jax.storage", "pid_jax.console", "pid_jax.atomic", "pid_jax.launch")
    assert {name for name in names if name == "pid_jax" or name.startswith("pid_jax.")} <= {
        name for name in names if name.startswith(allowed)
    }
    assert not {name.split(".")[0] for name in names} & {"jax", "jaxlib", "xarray"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pid_jax.store", ("jax", "torch", "xarray")),
        ("extraction.cli", ("jax", "torch", "transformers")),
        ("pid_jax.estimate", ("torch", "transformers", "matplotlib", "extraction", "flax", "optax", "distrax")),
        ("pid_jax.inference.posterior", ("numpyro",)),
        ("pid_jax.cli", ("jax", "torch", "matplotlib")),
    ],
)
def test_importing_a_module_does_not_load(module, absent):
    code = f"import sys, {module}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_public_name_resolves_to_its_home():
    for name in pid_jax.__all__:
        value = getattr(pid_jax, name)
        assert value.__name__ == name
        assert value.__module__.startswith("pid_jax.")
    assert set(pid_jax.__all__) <= set(dir(pid_jax))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = pid_jax.nonsense
