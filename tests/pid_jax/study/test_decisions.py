"""The models' own decisions in a study: against `decision_pid`, resumed, and with stores that cannot be used."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax import decision_pid, read_decision
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.runtime.processes import ALONE
from pid_jax.runtime.progress import no_progress
from pid_jax.study.decide import run_decisions
from pid_jax.study.decision_results import load_decision, save_decision
from pid_jax.study.model import StudyModel
from pid_jax.study.scores import named_key
from pid_jax.study.spec import StudySpec
from tests.study_stores import CUT, DECIDED, add_readout, make_decision, make_store

SEED = 3


def run(models, cells=None, spec=None, told=None):
    tell = [] if told is None else told
    options = {"spec": spec or StudySpec(), "seed": SEED, "cells": cells, "processes": ALONE}
    return run_decisions(models, progress=no_progress, tell=tell.append, **options)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Task "a" has the gold answers yes and no, task "b" yes and one that is no candidate."""
    folder = tmp_path_factory.mktemp("stores")

    def answer(i):
        return ("yes" if i % 3 else "no") if i % 2 == 0 else ("yes" if i % 3 else "perhaps")

    baseline = add_readout(make_store(folder / "b", gold=answer, predicted=answer))
    decision = tuple(make_decision(folder / kept, kept, baseline, 0.5) for kept in DECIDED)
    return StudyModel(name="m", baseline=baseline, decision=decision)


@pytest.fixture(scope="module")
def found(model, tmp_path_factory):
    cells = tmp_path_factory.mktemp("cells")
    return *run([model], cells), cells


@pytest.mark.slow
def test_it_is_the_decision_of_each_task(model, found):
    decision, _, _ = found
    own = read_decision(model.baseline, *model.decision, task="a")
    key = named_key(jax.random.key(SEED), "a")
    assert decision["task"].values.tolist() == ["a"]
    for answer in ("model", "gold"):
        cell = decision.sel(model="m", task="a", answer=answer)
        expected = decision_pid(own, answer=answer, level=0.95, key=key)
        for name in ATOMS:
            assert float(cell[name]) == getattr(expected.atoms, name)[0]
            assert float(cell[f"{name}_lower"]) == getattr(expected.lower, name)[0]
            assert float(cell[f"pointwise_{name}"].mean("sample")) == pytest.approx(float(cell[name]), abs=1e-6)
        for name in INFORMATION:
            assert float(cell[name]) == getattr(expected.information, name)[0]
        assert float(cell.target_entropy) == expected.entropy[0]
    assert decision["sample"].values.tolist() == own.ids.tolist()
    assert decision["question"].values[0] == f"question {own.ids[0]}?"


@pytest.mark.slow
def test_a_task_without_candidates_is_one_line(found):
    decision, lines, _ = found
    (line,) = lines
    assert "'m'" in line
    assert "about b" in line
    assert json.loads(decision.attrs["problems"]) == lines


@pytest.mark.slow
def test_it_resumes_and_a_damaged_cell_is_made_again(model, found):
    decision, _, cells = found
    for is_damaged in (False, True):
        if is_damaged:
            (file,) = cells.glob("*.nc")
            file.write_bytes(file.read_bytes()[:-40])
        told = []
        again, _ = run([model], cells, told=told)
        xr.testing.assert_identical(again, decision)
        assert len(told) == (not is_damaged)


@pytest.mark.slow
def test_other_levels_and_samples_are_other_cells(model, found):
    decision, _, cells = found
    before = len([*cells.glob("*.nc")])
    narrow, _ = run([model], cells, StudySpec(level=0.5))
    fewer, _ = run([model], cells, StudySpec(keep="correct"))
    assert len([*cells.glob("*.nc")]) == before + 2
    assert (narrow.synergy_upper < decision.synergy_upper).all()
    np.testing.assert_array_equal(narrow.synergy, decision.synergy)
    assert fewer.sizes["sample"] == sum(i % 10 != 0 for i in range(0, 120, 2))


@pytest.mark.slow
def test_it_survives_a_file(found, tmp_path):
    decision = found[0]
    loaded = load_decision(save_decision(decision, tmp_path / "decision.nc"))
    for name in decision.variables:
        np.testing.assert_array_equal(loaded[name], decision[name], err_msg=str(name))


def _without(model, **changes):
    decision, lines = run([dataclasses.replace(model, **changes)], spec=StudySpec(tasks=("a",)))
    assert decision is None
    (line,) = lines
    assert line.startswith("model 'm'")
    return line


def test_stores_that_cannot_be_used_are_one_line(model, tmp_path):
    question, image = model.decision
    assert "question absent" in _without(model, decision=(question,))
    assert "image absent" in _without(model, decision=(image,))
    knockout = make_store(tmp_path / "k", CUT)
    assert str(knockout.path) in _without(model, decision=(question, image, knockout))
    part = make_decision(tmp_path / "part", "image", model.baseline, only=[0])
    assert str(part.path) in _without(model, decision=(question, part))
    bare = make_store(tmp_path / "bare")  # no readout
    assert "readout" in _without(model, baseline=bare)


def test_a_damaged_shard_is_one_line(model, tmp_path):
    image = make_decision(tmp_path / "image", "image", model.baseline)
    shard = sorted((tmp_path / "image").glob("shard-*"))[0]
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(bytes(content))
    assert "shard" in _without(model, decision=(model.decision[0], image))


def test_a_model_without_decisions_has_none(model):
    assert run([dataclasses.replace(model, decision=())]) == (None, [])
