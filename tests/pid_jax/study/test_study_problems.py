"""What goes wrong in one place of a study is named in one line, and the rest goes on."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax.pid.broja import BROJA
from pid_jax.settings.estimate import OAS, PCA, PIDSpec
from pid_jax.settings.gaussianize import Copula, NoGaussianization
from pid_jax.store import ActivationStore
from pid_jax.store.targets import LogitLens
from pid_jax.study import cache, make
from pid_jax.study.model import StudyModel
from pid_jax.study.results import load_study, one_model, save_study
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec
from tests.study_stores import CUT, EARLY, make_store

SPEC = StudySpec(
    pid=PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula()),
    compared=(),
    compared_measures=(),
    replicates=0,
    measures=(BROJA(),),
)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("b") / "b")


def rewrite(store, path, change):
    """Copy a store, with columns and tensors of every shard changed."""
    old = store.manifest
    contents = {}
    for index in range(old.shard_count):
        rows = np.isin(store.ids, store.shard_ids(index))
        tensors = {}
        for name in old.tensors:
            layer, role = name.split("/")
            tensors[name] = store.read(role=role, layer=layer if layer == "norm" else int(layer))[rows]
        contents[index] = change(list(store.header(index).columns), tensors)
    manifest = dataclasses.replace(old, tensors=tuple(contents[0][1]))
    copy = ActivationStore.create(path, manifest)
    for index, (columns, tensors) in contents.items():
        copy.write_shard(index, store.shard_ids(index), columns, tensors)
    return ActivationStore.open(path)


def damage(store, place):
    """Change one byte of the second shard."""
    path = sorted(Path(store.path).glob("shard-*"))[1]
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(content)
    return ActivationStore.open(store.path)


@pytest.mark.slow
def test_damaged_states_of_a_knockout_leave_out_its_cells(baseline, tmp_path):
    broken, whole = damage(make_store(tmp_path / "k", CUT), -1), make_store(tmp_path / "e", EARLY)
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(broken, whole))], spec=SPEC)
    assert found.cell.isel(model=0, task=0).values.tolist() == ["done", "failed", "done"]
    problem = found.problem.sel(model="m", task="a", condition="image-question@all").item()
    assert "shard-00001.safetensors is damaged" in problem
    assert "\n" not in problem


@pytest.mark.slow
def test_a_knockout_with_a_damaged_header_is_left_out(baseline, tmp_path):
    broken = damage(make_store(tmp_path / "k", CUT), 100)
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(broken,))], spec=SPEC)
    assert found.condition.values.tolist() == ["baseline"]
    (line,) = json.loads(found.attrs["problems"])
    assert "is left out: Shard" in line


def test_a_shard_that_is_deleted_while_a_study_runs(baseline, tmp_path):
    """Headers are read before the first cell; the states are gone when they are wanted."""
    gone = make_store(tmp_path / "k", CUT)
    assert gone.headers
    sorted(Path(gone.path).glob("shard-*"))[1].unlink()
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(gone,))], spec=SPEC)
    assert found.cell.isel(model=0, task=0).values.tolist() == ["done", "failed"]
    problem = found.problem.sel(model="m", task="a", condition="image-question@all").item()
    assert "shard-00001.safetensors is missing" in problem


def test_cells_that_another_run_makes_meanwhile_are_shared(baseline, tmp_path, monkeypatch):
    models, lines, solved = [StudyModel(name="m", baseline=baseline)], [], []
    one = run_study(models, spec=SPEC, cells=tmp_path / "one")
    solve = make.solve_cell

    def slow(*given):
        solved.append(given)
        shutil.copytree(tmp_path / "one", tmp_path / "two", dirs_exist_ok=True)
        return solve(*given)

    monkeypatch.setattr(make, "solve_cell", slow)
    two = run_study(models, spec=SPEC, cells=tmp_path / "two", tell=lines.append)
    assert len(solved) == 1
    assert [line for line in lines if "another run" in line]
    xr.testing.assert_identical(one, two)


@pytest.mark.slow
def test_damaged_states_of_a_baseline_leave_out_the_model(baseline, tmp_path):
    other = StudyModel(name="n", baseline=damage(make_store(tmp_path / "b"), -1))
    found = run_study([StudyModel(name="m", baseline=baseline), other], spec=SPEC)
    assert found.cell.values.tolist() == [[["done"], ["done"]], [["failed"], ["failed"]]]


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("is_knockout", [True, False])
def test_states_that_are_not_finite_are_no_states(baseline, tmp_path, value, is_knockout):
    """NaN would become zero information, and infinity a rank. Most samples of task a have none here."""

    def spoil(columns, tensors):
        tensors["001/image"] = tensors["001/image"].copy()
        tensors["001/image"][2:40:2, 1] = value
        return columns, tensors

    good = make_store(tmp_path / "k", CUT)
    bad = rewrite(good if is_knockout else baseline, tmp_path / "bad", spoil)
    pair = (baseline, bad) if is_knockout else (bad, good)
    found = run_study([StudyModel(name="m", baseline=pair[0], knockouts=pair[1:])], spec=SPEC)
    assert found.cell.values.tolist() == [[["done" if is_knockout else "failed", "failed"], ["done", "done"]]]
    problem = found.problem.sel(model="m", task="a", condition="image-question@all").item()
    assert "bad, image at layer 1: " in problem
    assert "samples have NaN or infinite states" in problem


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("is_knockout", [True, False])
def test_few_samples_that_are_not_finite_are_left_out_everywhere(baseline, tmp_path, value, is_knockout):
    """Row 2 of every shard is of task a."""

    def spoil(columns, tensors):
        tensors["001/image"] = tensors["001/image"].copy()
        tensors["001/image"][2, 1] = value
        return columns, tensors

    knockout = make_store(tmp_path / "k", CUT)
    bad = rewrite(knockout if is_knockout else baseline, tmp_path / "bad", spoil)
    pair = (baseline, bad) if is_knockout else (bad, knockout)
    cells = tmp_path / "cells"
    found, again = (
        run_study([StudyModel(name="m", baseline=pair[0], knockouts=pair[1:])], spec=SPEC, cells=cells)
        for _ in range(2)
    )
    lost = frozenset(baseline.manifest.ids[2::50])
    whole = [StudyModel(name="m", baseline=baseline, knockouts=(knockout,), excluded=lost)]
    wanted = run_study(whole, spec=SPEC)
    assert found.n_samples.values.tolist() == wanted.n_samples.values.tolist() == [[57, 60]]
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        np.testing.assert_array_equal(found[name].values, wanted[name].values)
        np.testing.assert_array_equal(again[name].values, wanted[name].values)
    (line,) = json.loads(found.attrs["problems"])
    assert "'m'" in line
    assert "'002' and 2 more" in line
    assert "image at layer 1" in line


def test_a_constant_target_predicts_nothing(baseline, tmp_path):
    def level(columns, tensors):
        is_a = np.array([row["task"] == "a" for row in columns])
        tensors["norm/last"] = np.where(is_a[:, None], np.float32(1), tensors["norm/last"])
        return columns, tensors

    found = run_study([StudyModel(name="m", baseline=rewrite(baseline, tmp_path / "b", level))], spec=SPEC)
    assert found.cell.values.tolist() == [[["failed"], ["done"]]]
    assert "the target is the same in all samples" in found.problem.sel(task="a").item()


@pytest.mark.parametrize("name", ["task", "gold", "correct"])
def test_columns_that_are_missing(baseline, tmp_path, name):
    def drop(columns, tensors):
        return [{key: value for key, value in row.items() if key != name} for row in columns], tensors

    knockout = rewrite(make_store(tmp_path / "k", CUT), tmp_path / "c", drop)
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(knockout,))], spec=SPEC)
    assert f"has no column {name}: a study needs task, gold, correct" in json.loads(found.attrs["problems"])[0]
    with pytest.raises(ValueError, match=f"nothing to study.* has no column {name}"):
        run_study([StudyModel(name="m", baseline=rewrite(baseline, tmp_path / "d", drop))], spec=SPEC)


def test_roles_that_a_knockout_lacks(baseline, tmp_path):
    def drop(columns, tensors):
        return columns, {name: values for name, values in tensors.items() if not name.endswith("question")}

    knockout = rewrite(make_store(tmp_path / "k", CUT), tmp_path / "c", drop)
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(knockout,))], spec=SPEC)
    assert "roles ('image', 'last'), the baseline has" in json.loads(found.attrs["problems"])[0]


def test_roles_that_nobody_has(baseline):
    with pytest.raises(ValueError, match="source_2_role is 'suffix'"):
        run_study([StudyModel(name="m", baseline=baseline)], spec=dataclasses.replace(SPEC, source_2_role="suffix"))


def test_conditions_without_a_name(baseline, tmp_path):
    nameless = {key: value for key, value in CUT.items() if key != "name"}
    knockout = make_store(tmp_path / "k", nameless)
    found = run_study([StudyModel(name="m", baseline=baseline, knockouts=(knockout,))], spec=SPEC)
    assert found.condition.values.tolist() == ["baseline", "unnamed"]
    with pytest.raises(ValueError, match=r"'baseline'.*'unnamed'"):
        run_study([StudyModel(name="m", baseline=make_store(tmp_path / "b", {}))], spec=SPEC)


@pytest.mark.parametrize(
    "error", [np.linalg.LinAlgError("x"), MemoryError(), FloatingPointError("x"), jax.errors.JaxRuntimeError("x\ny")]
)
def test_whatever_a_cell_fails_by_is_its_own(baseline, monkeypatch, error):
    solve = make.solve_cell

    def refuse(data, *others):
        monkeypatch.setattr(make, "solve_cell", solve)
        raise error

    monkeypatch.setattr(make, "solve_cell", refuse)
    found = run_study([StudyModel(name="m", baseline=baseline)], spec=SPEC)
    assert found.cell.values.tolist() == [[["failed"], ["done"]]]
    problem = found.problem.sel(task="a").item()
    assert problem
    assert "\n" not in problem


@pytest.mark.slow
def test_shrunk_covariances_need_no_more_samples_than_there_are(tmp_path):
    few = StudyModel(name="m", baseline=make_store(tmp_path / "b", count=14))
    with pytest.raises(ValueError, match=r"7 samples, and .* need at least 10"):
        run_study([few], spec=SPEC)
    found = run_study([few], spec=dataclasses.replace(SPEC, pid=dataclasses.replace(SPEC.pid, covariance=OAS())))
    assert (found.cell == "done").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ()}, r"StudySpec\(tasks=...\) needs at least one name"),
        ({"measures": (BROJA(), BROJA(rank_cut=1e-9))}, r"StudySpec\(measures=...\) needs each kind once"),
        (
            {"compared": (NoGaussianization(), Copula(tie_tolerance=0.1))},
            r"needs each kind once, .* got \['Copula', 'NoGaussianization', 'Copula'\]",
        ),
    ],
)
def test_what_results_could_not_tell_apart(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SPEC, **change)


def test_a_map_is_not_compared_with_itself(baseline):
    spec = dataclasses.replace(SPEC, compared=(Copula(), NoGaussianization()))
    found = run_study([StudyModel(name="m", baseline=baseline)], spec=spec)
    assert found.gaussianizer.values.tolist() == ["Copula", "NoGaussianization"]


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70, True])
def test_seeds_that_are_no_seeds(baseline, seed):
    with pytest.raises(ValueError, match=r"seed must be a whole number from 0 to 2\*\*32 - 1, got"):
        run_study([StudyModel(name="m", baseline=baseline)], spec=SPEC, seed=seed)


def test_models_with_other_layers_keep_theirs(baseline, tmp_path):
    def rename(columns, tensors):
        return columns, {name.replace("001/", "002/"): values for name, values in tensors.items()}

    other = StudyModel(name="n", baseline=rewrite(baseline, tmp_path / "b", rename))
    both = run_study([StudyModel(name="m", baseline=baseline), other], spec=SPEC)
    assert both.layer.values.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(both.depth, [[0, 1, np.nan], [0, np.nan, 1]])
    assert one_model(both, "n").layer.values.tolist() == [0, 2]
    assert np.isfinite(one_model(both, "n").unique_1).all()


def test_a_lens_needs_a_layer(tmp_path):
    only = StudyModel(name="m", baseline=make_store(tmp_path / "b", layers=1))
    with pytest.raises(ValueError, match=r"layers.*\(0,\)"):
        run_study([only], spec=dataclasses.replace(SPEC, target=LogitLens()))


def test_every_changed_byte_of_a_cell_is_seen(baseline, tmp_path):
    models = [StudyModel(name="m", baseline=baseline)]
    run_study(models, spec=dataclasses.replace(SPEC, tasks=("a",)), cells=tmp_path)
    (path,) = tmp_path.glob("*.nc")
    content, cells = path.read_bytes(), cache.CellCache(tmp_path)
    (digest,) = [xr.load_dataset(path, engine="scipy").attrs["cell"]]
    assert cells.read(digest) is not None
    for place in np.random.default_rng(0).integers(0, len(content), 50):
        changed = bytearray(content)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        assert cells.read(digest) is None
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert cells.read(digest) is None
    other = "0" * len(digest)
    (tmp_path / f"{other[:32]}.nc").write_bytes(content)
    assert cells.read(other) is None


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of h5netcdf, which closes such files twice
def test_damaged_results_are_refused_in_one_way(baseline, tmp_path):
    path = save_study(run_study([StudyModel(name="m", baseline=baseline)], spec=SPEC), tmp_path / "r.nc")
    content, refused = path.read_bytes(), 0
    for place in np.random.default_rng(0).integers(0, len(content), 20):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            load_study(path)
        except ValueError:
            refused += 1
    assert refused > 3


def test_other_code_makes_new_cells(baseline, tmp_path, monkeypatch):
    models, one = [StudyModel(name="m", baseline=baseline)], dataclasses.replace(SPEC, tasks=("a",))
    run_study(models, spec=one, cells=tmp_path)
    monkeypatch.setattr(cache, "_numerics_digest", lambda modules: "other")
    run_study(models, spec=one, cells=tmp_path)
    assert len(list(tmp_path.glob("*.nc"))) == 2
