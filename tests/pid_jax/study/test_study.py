"""A study is what `estimate_pid` says, cell by cell, with its labels; what cannot be used is named and left out."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.spectrum import unique_spectrum
from pid_jax.estimate.samples import estimate_pid
from pid_jax.inference.comparison import compare_pid
from pid_jax.pid.broja import BROJA
from pid_jax.pid.mmi import MMI
from pid_jax.settings.estimate import OAS, PCA, NoCorrection, NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula, NoGaussianization
from pid_jax.store import NORM
from pid_jax.study import make
from pid_jax.study.cell import draw_weights, mean_of_replicates
from pid_jax.study.model import StudyModel
from pid_jax.study.results import load_study, one_model, save_study
from pid_jax.study.run import run_study, run_targets
from pid_jax.study.spec import StudySpec, target_name
from tests.study_results import planted
from tests.study_stores import CUT, EARLY, LAYERS, make_store

ATOMS = ("redundancy", "unique_1", "unique_2", "synergy")
SPEC = StudySpec(
    pid=PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula()),
    compared=(NoGaussianization(),),
    compared_measures=(BROJA(), MMI()),
    replicates=100,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return StudyModel(
        name="m",
        baseline=make_store(folder / "b"),
        knockouts=(make_store(folder / "k", CUT, seed=1), make_store(folder / "e", EARLY, seed=2)),
    )


@pytest.fixture(scope="module")
def results(model):
    return run_study([model], spec=SPEC)


def states_of(store, task):
    rows = store.columns["task"] == task
    sources = [np.stack([store.read(role=r, layer=i)[rows] for i in range(LAYERS)]) for r in ("image", "question")]
    return sources, store.read(role="last", layer=NORM)[rows]


def assert_same(cell, expected):
    for name in ATOMS:
        np.testing.assert_allclose(cell[name], getattr(expected.atoms, name), atol=1e-10)
    np.testing.assert_allclose(cell.i_12, expected.information.i_12, atol=1e-10)


def test_labels_are_those_of_the_documented_schema(results):
    sizes = {
        "model": 1,
        "task": 2,
        "condition": 3,
        "measure": 2,
        "layer": LAYERS,
        "gaussianizer": 2,
        "compared_measure": 2,
        "direction": 2,
        "source_direction": 3,
    }
    assert dict(results.sizes) == sizes | {"quantity": 7, "source": 2, "replicate": 100}
    assert results.task.values.tolist() == ["a", "b"]
    assert results.condition.values.tolist() == ["baseline", "image-question@all", "image-question@0-0"]
    assert results.edges.values.tolist() == ["", "image-question", "image-question"]
    assert results.window.values.tolist() == ["", "all", "0-0"]
    assert results.cut_last.values.tolist() == [[-1, 1, 0]]
    assert results.depth.values.tolist() == [[0, 1]]
    assert (results.cell == "done").all()
    known = planted()
    assert {name: v.dims for name, v in results.variables.items()} == {n: v.dims for n, v in known.variables.items()}
    assert set(known.attrs) == set(results.attrs)
    for name, variable in results.data_vars.items():
        assert variable.attrs.get("units") == known[name].attrs.get("units"), name


def test_conditions_hold_what_is_read_of_them(results):
    """All layers of the baseline and the layer after a cut for claims, and spectra of the baseline for chance."""
    one = results.isel(model=0)
    assert np.isfinite(one.by_measure_synergy.sel(condition="baseline")).all()
    early = np.isfinite(one.by_measure_synergy.sel(condition="image-question@0-0"))
    np.testing.assert_array_equal(early.all(("task", "compared_measure")), [False, True])
    assert one.by_measure_unique_1.sel(condition="image-question@all").isnull().all()  # which has no layer after it
    for name in ("gain_1", "gain_2", "source_correlation"):
        assert np.isfinite(one[name].sel(condition="baseline")).all()
        assert one[name].isel(condition=slice(1, None)).isnull().all()
    assert one.dims_1.values.tolist() == [[3, -1, -1]] * 2


@pytest.mark.slow
@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_cells_of_the_baseline_are_what_estimate_pid_says(model, results, redundancy):
    sources, target = states_of(model.baseline, "b")
    spec = dataclasses.replace(SPEC.pid, redundancy=redundancy, bias_correction=NoCorrection())
    expected = estimate_pid(*sources, target, spec=spec, key=jax.random.key(0))
    plain = dataclasses.replace(SPEC, pid=dataclasses.replace(SPEC.pid, bias_correction=NoCorrection()), replicates=0)
    cell = one_model(run_study([model], spec=plain), "m").sel(task="b", condition="baseline")
    assert_same(cell.sel(measure=type(redundancy).__name__.lower()), expected)
    np.testing.assert_allclose(cell.explained_variance_2, expected.explained_variance[:, 1], atol=1e-10)
    np.testing.assert_allclose(cell.explained_variance_target, expected.explained_variance[:, 2], atol=1e-10)
    spectrum = unique_spectrum(expected.cov, expected.dims)
    np.testing.assert_allclose(cell.spectrum_1, -np.sort(-spectrum.unique_1, axis=-1), atol=1e-10)
    corrected = results.sel(model="m", task="b", condition="baseline", measure=type(redundancy).__name__.lower())
    assert ((corrected.unique_1_lower <= corrected.unique_1) & (corrected.unique_1 <= corrected.unique_1_upper)).all()


@pytest.mark.slow
def test_knockouts_are_projected_on_the_components_of_the_baseline(model):
    """With covariances the choice of axes within the subspace does not matter, the subspace does."""
    pid = dataclasses.replace(SPEC.pid, gaussianize=NoGaussianization(), bias_correction=NoCorrection())
    results = run_study([model], spec=dataclasses.replace(SPEC, pid=pid, replicates=0))
    (baseline, baseline_target), (sources, target) = (states_of(store, "b") for store in model.stores[:2])
    scores = [
        np.stack([svd_scores(*pair, 3) for pair in zip(*both, strict=True)])
        for both in zip(baseline, sources, strict=True)
    ]
    target_scores = svd_scores(baseline_target, target, 2)
    unreduced = dataclasses.replace(pid, reduction=NoReduction())
    expected = estimate_pid(*scores, target_scores, spec=unreduced, key=jax.random.key(0))
    cell = results.sel(model="m", task="b", condition="image-question@all", measure="broja")
    assert_same(cell, expected)
    kept = [s.var(axis=0).sum() / x.var(axis=0).sum() for s, x in zip(scores[0], sources[0], strict=True)]
    np.testing.assert_allclose(cell.explained_variance_1, kept, rtol=1e-6)
    assert (results.reduction_angle_1 == 0).all()
    assert "components of the baseline" in results.attrs["reduction"]
    assert "difference" not in results
    assert "added_p" not in results


def svd_scores(fitted, applied, dim):
    fitted, applied = fitted.astype(np.float64), applied.astype(np.float64)
    axes = np.linalg.svd(fitted - fitted.mean(axis=0), full_matrices=False)[2][:dim]
    return (applied - fitted.mean(axis=0)) @ axes.T


@pytest.mark.slow
def test_no_reduction_takes_the_states_as_they_are(model):
    pid = dataclasses.replace(SPEC.pid, reduction=NoReduction(), bias_correction=NoCorrection())
    results = run_study([model], spec=dataclasses.replace(SPEC, pid=pid, replicates=0))
    sources, target = states_of(model.knockouts[0], "b")
    expected = estimate_pid(*sources, target, spec=pid, key=jax.random.key(0))
    assert_same(results.sel(model="m", task="b", condition="image-question@all", measure="broja"), expected)
    assert (results.explained_variance_1 == 1).all()
    assert results.attrs["reduction"] == "none"


@pytest.mark.slow
def test_differences_are_those_of_compare_pid(model, results):
    """Behind ranks, on the components of the baseline."""
    (before, before_target), (after, after_target) = (states_of(store, "b") for store in model.stores[:2])
    pair = ((*before, before_target[None].repeat(LAYERS, 0)), (*after, after_target[None].repeat(LAYERS, 0)))
    expected = compare_pid(*pair, spec=SPEC.pid, key=jax.random.key(1), resamples=400)
    cell = results.sel(model="m", task="b", condition="image-question@all")
    for name in (*ATOMS, "i_12"):
        found = cell.sel(quantity=name)
        np.testing.assert_allclose(found.difference, getattr(expected.difference, name), atol=0.1)
        wide = found.difference_upper - found.difference_lower
        np.testing.assert_allclose(wide, getattr(expected.upper, name) - getattr(expected.lower, name), rtol=0.35)
        np.testing.assert_allclose(found.difference, (found.difference_lower + found.difference_upper) / 2, atol=1e-12)
    assert results.difference.sel(condition="baseline").isnull().all()
    others = results.isel(condition=slice(1, None))
    assert (others.difference_p.where(others.difference_family_wise <= 0.05, 0) <= 0.05).all()
    baseline = results.sel(condition="baseline")
    assert ((baseline.added_p > 0) & (baseline.added_p <= baseline.added_family_wise)).all()
    assert others.added_p.isnull().all()
    assert results.attrs["estimator"] == "Copula"


def test_replicates_scatter_around_the_estimate(results):
    cell = results.sel(condition="baseline")
    for name in ATOMS:
        own = cell[name].sel(measure="broja")
        np.testing.assert_allclose(cell[f"replicate_{name}"].mean("replicate"), own, atol=1e-5)
    reach = (cell.unique_1_upper - cell.unique_1_lower).sel(measure="broja") / 2 / 1.645
    ratio = cell.replicate_unique_1.std("replicate") / reach
    assert ((ratio > 0.5) & (ratio < 2)).all()


@pytest.mark.slow
def test_shrunk_covariances_are_not_tested(model):
    pid = dataclasses.replace(SPEC.pid, covariance=OAS())
    results = run_study([model], spec=dataclasses.replace(SPEC, pid=pid))
    assert "replicate_unique_1" not in results
    assert "difference" not in results
    assert np.isfinite(results.unique_1).all()


def test_weights_depend_on_the_sample_alone():
    whole = draw_weights(["a", "b", "c"], 500, seed=0)
    assert whole.shape == (500, 3)
    np.testing.assert_allclose(whole.sum(axis=1)[whole.sum(axis=1) > 0], 3)
    raw = draw_weights([str(i) for i in range(2000)], 200, seed=0)
    assert raw.mean() == pytest.approx(1)
    assert raw.var() == pytest.approx(1, abs=0.02)
    some = draw_weights([str(i) for i in range(0, 2000, 2)], 200, seed=0)
    assert np.corrcoef(some[0], raw[0, ::2])[0, 1] > 0.999
    assert abs(np.corrcoef(draw_weights(["a"] * 3 + ["b"], 200, seed=1).T)[0, 3]) < 0.99
    assert not np.array_equal(raw, draw_weights([str(i) for i in range(2000)], 200, seed=1))


def test_accuracy_of_replicates_leaves_out_what_has_no_answer():
    values, weights = np.array([1.0, 0.0, np.nan]), np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
    np.testing.assert_allclose(mean_of_replicates(values, weights), [0.5, 1.0, np.nan])


def test_answers(results):
    assert results.n_samples.values.tolist() == [[60, 60]]
    np.testing.assert_allclose(results.accuracy.sel(condition="baseline"), [[0.8, 1.0]])
    entropy = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)
    np.testing.assert_allclose(results.answer_entropy, entropy)
    np.testing.assert_allclose(results.majority_rate, 2 / 3)
    spread = results.replicate_accuracy.sel(task="a", condition="baseline").std().item()
    assert spread == pytest.approx(np.sqrt(0.8 * 0.2 / 60), rel=0.3)


@pytest.mark.slow
def test_keep_correct(model):
    kept = run_study([model], spec=dataclasses.replace(SPEC, keep="correct"))
    assert kept.n_samples.sel(task="a").item() == 48
    assert (kept.accuracy.sel(condition="baseline") == 1).all()


def test_round_trip(results, tmp_path):
    save_study(results, tmp_path / "r.nc")
    loaded = load_study(tmp_path / "r.nc")
    assert loaded.attrs == results.attrs
    for name in results.variables:
        np.testing.assert_array_equal(loaded[name], results[name], err_msg=name)


def test_foreign_files(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_study(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("x")
    with pytest.raises(ValueError, match="no netCDF file"):
        load_study(tmp_path / "text.nc")


class StoppedError(Exception):
    pass


def test_a_study_that_was_stopped_makes_the_missing_cells_only(model, results, tmp_path, monkeypatch):
    made, solve = [], make.solve_cell

    def counted(*arguments):
        if len(made) == 4:
            raise StoppedError
        made.append(1)
        return solve(*arguments)

    monkeypatch.setattr(make, "solve_cell", counted)
    with pytest.raises(StoppedError):
        run_study([model], spec=SPEC, cells=tmp_path)
    assert len(list(tmp_path.glob("*.nc"))) == 4
    next(iter(sorted(tmp_path.glob("*.nc")))).write_bytes(b"damaged")
    monkeypatch.setattr(make, "solve_cell", lambda *arguments: made.append(1) or solve(*arguments))
    again = run_study([model], spec=SPEC, cells=tmp_path)
    assert len(made) == 4 + 3
    xr.testing.assert_identical(again, results)
    run_study([model], spec=SPEC, cells=tmp_path)
    assert len(made) == 7


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 6),
        ({"tasks": ("b",)}, 3),
        ({"keep": "correct"}, 3),  # all answers of task b are correct: its samples stay the same
        ({"replicates": 101}, 0),
        ({"compared": ()}, 6),  # compared in files of their own
    ],
)
def test_cells_are_used_again_where_nothing_they_depend_on_changed(model, tmp_path, monkeypatch, change, kept):
    run_study([model], spec=SPEC, cells=tmp_path)
    solve, made = make.solve_cell, []
    monkeypatch.setattr(make, "solve_cell", lambda *arguments: made.append(1) or solve(*arguments))
    cells = run_study([model], spec=dataclasses.replace(SPEC, **change), cells=tmp_path).cell.size
    assert cells - len(made) == kept


def test_results_are_told_before_what_takes_longest(model, results, tmp_path):
    told = []
    target = SPEC.target
    found = run_targets([model], (target,), spec=SPEC, found_some=lambda *one: told.append(one), cells=tmp_path)
    ((studies, missing),) = told
    (early,), (whole,) = (list(one.values()) for one in (studies, found))
    assert missing == ["the comparison with NoGaussianization()"]
    assert "compared_unique_1" not in early.results
    late = [name for name in whole.results if str(name).startswith("compared_")]
    xr.testing.assert_identical(early.results, whole.results.drop_vars([*late, "gaussianizer"]))
    again = run_targets([model], (target,), spec=SPEC, found_some=lambda *one: told.append(one), cells=tmp_path)
    xr.testing.assert_identical(again[target_name(target)].results, whole.results)
    assert len(told) == 1  # all was there


def test_a_study_that_was_stopped_while_gaussianizers_are_compared_resumes(model, results, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(make, "compare_gaussianizers", stop)
        with pytest.raises(KeyboardInterrupt):
            run_study([model], spec=SPEC, cells=tmp_path)
    lines = []
    monkeypatch.setattr(make, "solve_cell", lambda *arguments: pytest.fail("cells are there"))
    xr.testing.assert_identical(run_study([model], spec=SPEC, cells=tmp_path, tell=lines.append), results)
    assert not any("another run" in line for line in lines)


def test_gaussianizers_are_compared_in_the_baseline_alone(results):
    is_known = np.isfinite(results["compared_unique_1"]).any(("model", "task", "gaussianizer", "layer"))
    assert is_known.values.tolist() == [True, False, False]


@pytest.mark.slow
def test_another_seed_or_other_bytes_make_new_cells(model, tmp_path, monkeypatch):
    solve, made = make.solve_cell, []
    monkeypatch.setattr(make, "solve_cell", lambda *arguments: made.append(1) or solve(*arguments))
    run_study([model], spec=SPEC, cells=tmp_path)
    run_study([model], spec=SPEC, cells=tmp_path, seed=1)
    assert len(made) == 12
    other = dataclasses.replace(model, knockouts=(make_store(tmp_path / "k", CUT, seed=3), model.knockouts[1]))
    run_study([other], spec=SPEC, cells=tmp_path)
    assert len(made) == 14  # those of the changed knockout


@pytest.mark.slow
def test_models_of_different_depth_stand_side_by_side(model, results, tmp_path):
    settings = {"model": {"name": "n"}, "data": {"reader": "r"}, "versions": {}}
    deep = StudyModel(
        name="deep",
        baseline=make_store(tmp_path / "b", settings=settings, layers=3, seed=5),
        knockouts=(make_store(tmp_path / "k", CUT | {"last": 2}, settings=settings, layers=3, seed=6),),
    )
    both = run_study([model, deep], spec=SPEC)
    assert both.sizes["layer"] == 3
    assert both.cell.sel(model="deep").values.tolist() == [["done", "done", "absent"]] * 2
    assert both.cut_last.values.tolist() == [[-1, 1, 0], [-1, 2, -1]]
    np.testing.assert_array_equal(both.depth, [[0, 1, np.nan], [0, 0.5, 1]])
    assert (both.status.sel(model="m", layer=2) == -1).all()
    alone = one_model(both, "m")
    assert alone.sizes["layer"] == 2
    for name in ("unique_1", "replicate_synergy", "difference_upper", "i_12"):
        np.testing.assert_array_equal(alone[name], results[name].isel(model=0))
    assert one_model(both, "deep").condition.values.tolist() == ["baseline", "image-question@all"]
    with pytest.raises(ValueError, match=r"\['m', 'deep'\].*'x'"):
        one_model(both, "x")


def test_stores_that_do_not_belong_are_named_and_left_out(model, results, tmp_path):
    other = {"model": {"name": "other"}, "data": {"reader": "r"}, "versions": {"torch": "0"}}
    fewer = make_store(tmp_path / "f", CUT | {"name": "image-last@all"}, count=100)
    foreign = make_store(tmp_path / "o", CUT | {"name": "question-last@all"}, settings=other)
    unfinished = make_store(tmp_path / "u", CUT | {"name": "suffix-last@all"}, only=[0])
    mixed = dataclasses.replace(model, knockouts=(*model.knockouts, fewer, foreign, model.knockouts[0], unfinished))
    found = run_study([mixed], spec=SPEC)
    lines = json.loads(found.attrs["problems"])
    wanted = ("20 of 120 ids", "model.name: 'm' in the baseline, 'other' here", "is 'image-question@all' already")
    assert len(lines) == 4
    for line, part in zip(lines, (*wanted, "2 of 3 shards are missing"), strict=True):
        assert part in line
        assert line.startswith("model 'm': ")
        assert "\n" not in line
    xr.testing.assert_identical(found.assign_attrs(problems="[]"), results)


@pytest.mark.slow
def test_tasks_that_cannot_be_studied_are_named_and_the_rest_goes_on(tmp_path):
    baseline = make_store(tmp_path / "b", gold=lambda i: "yes" if i % 2 else ["no", "yes"][i % 4 == 0])
    found = run_study([StudyModel(name="m", baseline=baseline)], spec=SPEC)
    assert found.cell.values.tolist() == [[["done"], ["failed"]]]
    assert "all 60 gold answers are 'yes'" in found.problem.sel(task="b").item()
    assert np.isfinite(found.unique_1.sel(task="a")).all()
    assert found.unique_1.sel(task="b").isnull().all()
    wide = dataclasses.replace(SPEC, pid=PIDSpec(reduction=PCA(dim=(6, 6, 40)), gaussianize=Copula()), keep="correct")
    with pytest.raises(ValueError, match=r"48 of 60 samples are answered correctly, and .* need at least 54"):
        run_study(
            [StudyModel(name="m", baseline=make_store(tmp_path / "c"))], spec=dataclasses.replace(wide, tasks=("a",))
        )


def test_a_cell_that_cannot_be_decomposed_is_named(model, monkeypatch):
    solve, calls = make.solve_cell, []

    def refuse(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("5 samples are too few.")
        return solve(*arguments)

    monkeypatch.setattr(make, "solve_cell", refuse)
    found = run_study([model], spec=SPEC)
    assert (found.cell == "failed").sum() == 1
    assert found.problem.sel(task="a", condition="image-question@all").item() == "5 samples are too few."
    assert found.difference.sel(task="a", condition="image-question@all").isnull().all()


def test_nothing_to_study(model, tmp_path):
    with pytest.raises(ValueError, match="There is nothing to study"):
        run_study([], spec=SPEC)
    swapped = StudyModel(name="m", baseline=model.knockouts[0])
    with pytest.raises(ValueError, match="'image-question@all'"):
        run_study([swapped], spec=SPEC)
    with pytest.raises(ValueError, match=r"\['m'\]"):
        run_study([model, model], spec=SPEC)
    with pytest.raises(ValueError, match=r"tasks.*\['a', 'b'\].*\['c'\]"):
        run_study([model], spec=dataclasses.replace(SPEC, tasks=("c",)))
    unanswered = StudyModel(name="m", baseline=make_store(tmp_path / "g", gold=lambda i: ""))
    with pytest.raises(ValueError, match='keep="correct"'):
        run_study([unanswered], spec=dataclasses.replace(SPEC, keep="correct"))


@pytest.mark.parametrize(("field", "value"), [("keep", "wrong"), ("measures", ()), ("replicates", 5)])
def test_bad_settings(field, value):
    with pytest.raises(ValueError, match=rf"StudySpec\({field}="):
        StudySpec(**{field: value})


@pytest.mark.slow
def test_tasks_are_chosen_by_name(model, results):
    chosen = run_study([model], spec=dataclasses.replace(SPEC, tasks=("b",)))
    np.testing.assert_array_equal(chosen.synergy.sel(task="b"), results.synergy.sel(task="b"))
    assert chosen.sizes["task"] == 1
