"""Cells depend on the code of measures and Gaussianizers that are registered from outside of the package."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax.estimate import gaussianize
from pid_jax.pid import registry
from pid_jax.runtime.processes import ALONE
from pid_jax.settings.estimate import NoCorrection, NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula
from pid_jax.study.cache import open_cache
from pid_jax.study.closure import describe_definition
from pid_jax.study.model import StudyModel
from pid_jax.study.prepare import prepare_together
from pid_jax.study.spec import StudySpec
from tests.study_stores import make_store

CODE = """
from dataclasses import dataclass
from pid_jax.estimate.gaussianizer import GaussianizerRecord, Latents
from pid_jax.pid.measure import Measure, Redundancy
from pid_jax.pid.mmi import mmi_of
from pid_jax.settings.gaussianize import Gaussianizer

@dataclass(frozen=True)
class Mine(Redundancy):
    pass

@dataclass(frozen=True)
class Map(Gaussianizer):
    pass

def solve(whitened):
    return mmi_of(whitened)

def fit(reduced, settings, options):
    return Latents.of(settings, 1.0 * reduced)

MEASURE = Measure(settings=Mine, name="mine", label="Mine", solve=solve)
RECORD = GaussianizerRecord(name="map", label="Map", default=Map(), fit=fit)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return StudyModel(name="m", baseline=make_store(tmp_path_factory.mktemp("store") / "b", layers=1, count=60))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write the module of a user, load it, and register what it defines in place of what was."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else a change within a second is not seen

    def from_text(text: str):
        (tmp_path / "users_own.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop("users_own", None)
        users = importlib.import_module("users_own")
        monkeypatch.setitem(registry.MEASURES, "mine", users.MEASURE)
        monkeypatch.setitem(gaussianize.GAUSSIANIZERS, "map", users.RECORD)
        return users

    yield from_text
    sys.modules.pop("users_own", None)


def spec_of(users, gaussianizer=None) -> StudySpec:
    pid = PIDSpec(NoReduction(), users.Map() if gaussianizer is None else gaussianizer)
    return StudySpec(
        pid=replace(pid, bias_correction=NoCorrection()),
        measures=(users.Mine(),),
        replicates=0,
        compared=(),
        compared_measures=(),
    )


def digests(model, spec) -> Mapping[tuple[str, int], str]:
    (ready,), lines = prepare_together([model], spec, 0, (), ALONE)
    assert not lines
    return ready.digests


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return mmi_of(whitened)", "return mmi_of(mmi_of(whitened))"),
        ("1.0 * reduced", "2.0 * reduced"),
        ("solve=solve", "solve=mmi_of"),
        ("import mmi_of", "import mmi_of as _other, mmi_of"),
        ("fit=fit", "fit=fit, is_ranked=True"),
    ],
)
def test_other_code_under_the_same_names_makes_other_cells(model, load, old, new):
    before = digests(model, spec_of(load(CODE)))
    assert digests(model, spec_of(load(CODE))) == before
    after = digests(model, spec_of(load(CODE.replace(old, new))))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_cells_without_registered_code_do_not_depend_on_it(model, load):
    spec = StudySpec(replicates=0, compared=(), compared_measures=())
    before = digests(model, spec)
    load(CODE)
    assert digests(model, spec) == before


def test_no_cells_are_kept_for_code_that_cannot_be_read(load, tmp_path, monkeypatch):
    users, lines = load(CODE), []
    cell = xr.Dataset({"x": 1.0})
    open_cache(tmp_path, spec_of(users), lines.append).write("kept", cell)
    assert not lines
    monkeypatch.setitem(registry.MEASURES, "mine", replace(users.MEASURE, solve=partial(users.solve)))
    cache = open_cache(tmp_path, spec_of(users, Copula()), lines.append)
    cache.write("not kept", cell)
    assert [path.stem for path in tmp_path.glob("*.nc")] == ["kept"]
    assert cache.read("kept") is None
    (line,) = lines
    assert "measure 'mine'" in line
    open_cache(None, spec_of(users), lines.append)
    assert len(lines) == 1


def defined_in_no_module(x):
    return x


defined_in_no_module.__module__ = "typed_in"


@pytest.mark.parametrize(
    "function",
    [
        partial(np.add, 1),
        np.add,
        jax.vmap(np.add),
        (lambda number: lambda x: x + number)(2),
        lambda x, number=np.ones(2): x + number,
        "".join,
        defined_in_no_module,
    ],
)
def test_what_the_text_of_a_module_does_not_determine_has_no_description(function):
    assert describe_definition(function) is None


def test_descriptions_tell_functions_apart():
    first = lambda x: x + 1  # noqa: E731
    second = lambda x: x + 2  # noqa: E731
    described = [describe_definition(one) for one in (first, second, jax.jit(first), StudySpec)]
    assert described[0] == described[2] != described[1]
    assert described[-1] == ["pid_jax.study.spec.StudySpec"]
