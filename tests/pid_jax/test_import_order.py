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
# A room may import from those before it.
ROOMS = (
    "runtime",
    "gaussian",
    "pid",
    "settings",
    "normality",
    "reduce",
    "flow",
    "decompose",
    "discrete",
    "bias",
    "estimate",
    "categorical",
    "inference",
    "stream",
    "testing",
    "store",
    "study",
    "plot",
    "report",
    "cli",
)
# Rooms of PyTorch: those before it, and the store.
EXTRACTION_ROOMS = ("errors", "datasets", "scenes", "model", "passes", "tiny", "proof", "run", "api", "cli")


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


def room_of(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("module", CORE | EXTRACTION)
def test_imports_go_one_way(module):
    package = module.split(".")[0]
    rooms = ROOMS if package == "pid_jax" else EXTRACTION_ROOMS
    own = rooms.index(room_of(module))
    for name in (CORE | EXTRACTION)[module]:
        if name.startswith(f"{package}."):
            assert rooms.index(room_of(name)) <= own, f"{module} imports {name}, whose room comes after its own"
            is_console = name.startswith("pid_jax.runtime.console")
            assert not is_console or room_of(module) == "cli" or module == name, f"{module} talks to the user"


def test_imports_have_no_circle():
    modules = {*CORE, *EXTRACTION}
    graph = {name: found & modules - {name} for name, found in (CORE | EXTRACTION).items()}
    assert list(TopologicalSorter(graph).static_order())


def test_the_house_stays_low():
    """Floors are counted from the rooms that import no other."""
    below = {room: set() for room in ROOMS}
    for module, names in CORE.items():
        below[room_of(module)] |= {room_of(name) for name in names if name.startswith("pid_jax.") and name in CORE}
    floors: dict[str, int] = {}
    for room in ROOMS:
        floors[room] = 1 + max((floors[other] for other in below[room] - {room}), default=0)
    assert len(ROOMS) <= 20
    assert max(floors.values()) <= 13, floors


@pytest.mark.parametrize("module", CORE)
def test_pid_jax_knows_nothing_of_the_other_half(module):
    tops = {name.split(".")[0] for name in CORE[module]}
    reads_its_files = {"torch"} if module == "pid_jax.store.formats.torch_file" else set()
    assert not tops & {"torch", "torchvision", "transformers", "PIL", "extraction"} - reads_its_files


@pytest.mark.parametrize("module", EXTRACTION)
def test_extraction_meets_pid_jax_in_the_store_only(module):
    names = EXTRACTION[module]
    allowed = ("pid_jax.store", "pid_jax.runtime.console", "pid_jax.runtime.files", "pid_jax.runtime.launch")
    assert {name for name in names if name == "pid_jax" or name.startswith("pid_jax.")} <= {
        name for name in names if name.startswith(allowed)
    }
    assert not {name.split(".")[0] for name in names} & {"jax", "jaxlib", "xarray"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pid_jax.store.store", ("jax", "torch", "xarray")),
        ("extraction.cli.main", ("jax", "torch", "transformers")),
        ("pid_jax.estimate.samples", ("torch", "transformers", "matplotlib", "extraction", "flax", "optax", "distrax")),
        ("pid_jax.inference.posterior", ("numpyro",)),
        ("pid_jax.cli.main", ("jax", "torch", "matplotlib")),
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
    with pytest.raises(AttributeError, match="nonsense"):
        _ = pid_jax.nonsense
