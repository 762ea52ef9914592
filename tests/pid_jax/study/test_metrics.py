"""Metrics of a study: exact values on planted curves, laws, and what is not there."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.fingerprint import POINTS
from pid_jax.study.metrics.trajectory import METRICS
from pid_jax.study.results import load_study, save_study
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

SHARES = [name for name, metric in METRICS.items() if "share" in name]
SCALE_FREE = [name for name, metric in METRICS.items() if metric.unit != "nats"]


def value(results: xr.Dataset, name: str, model: int = 0, task: int = 0) -> float:
    return float(results["metric"].isel(model=model, task=task).sel(metric_name=name))


def scaled(results: xr.Dataset, factor: float) -> xr.Dataset:
    names = [f"{kind}{name}" for kind in ("", "replicate_") for name in ATOMS]
    return results.assign({name: results[name] * factor for name in names})


def without_noise(**options) -> xr.Dataset:
    return planted(noise=0.0, replicates=20, **options)


def of_curves(curves: dict[str, list[float]]) -> xr.Dataset:
    """Make a study of one model, task and condition with the given curves."""
    layers = len(curves["redundancy"])
    results = without_noise(models={"one": layers - 1}, tasks=("t",), cuts={})
    return results.assign(
        {
            f"{kind}{name}": xr.zeros_like(results[f"{kind}{name}"])
            + xr.DataArray(np.asarray(curve, float), dims="layer")
            for name, curve in curves.items()
            for kind in ("", "replicate_")
        }
    )


HAND = {
    "redundancy": [1.0, 1.0, 1.0, 1.0, 1.0],
    "unique_1": [2.0, 4.0, 3.0, 1.0, 0.5],
    "unique_2": [1.0, 0.5, 1.0, 2.0, 6.5],
    "synergy": [0.0, 0.5, 0.0, 0.0, 2.0],
}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("peak_layer", 1.0),
        ("peak_depth", 0.25),
        ("peak_vision", 4.0),
        ("final_vision", 0.5),
        ("decay", 0.875),
        ("half_depth", 2.5 / 4),
        ("onset_depth", (3 + 1.5 / 4.5) / 4),
        ("vision_share_first", 0.5),
        ("vision_share_early", 9.0 / 15.0),
        ("language_share_first", 0.25),
        ("language_share_middle", 0.2),
        ("language_share_last", 0.65),
        ("language_share_gain", 0.45),
        ("redundancy_share_last", 0.1),
        ("synergy_share_last", 0.2),
        ("synergy_share_largest", 0.2),
        ("information_first", 4.0),
        ("information_last", 10.0),
    ],
)
def test_metrics_of_curves_by_hand(name, wanted):
    results = add_metrics(of_curves(HAND)).isel(model=0).sel(metric_name=name)
    for end in ("", "_lower", "_upper"):
        assert float(results[f"metric{end}"].isel(task=0)) == pytest.approx(wanted), end
        assert float(results[f"overall_metric{end}"]) == pytest.approx(wanted), end


def test_every_metric_is_tested_by_hand():
    tested = {case[0] for mark in test_metrics_of_curves_by_hand.pytestmark for case in mark.args[1]}
    assert tested == set(METRICS)


def test_effects_by_hand():
    results = add_metrics(planted(noise=1e-5, replicates=20))
    one = results.isel(model=0, task=1)
    for condition in (1, 2, 3):
        layer = int(one["cut_last"][condition]) + 1
        atoms = one.isel(measure=0)[list(ATOMS)]
        change = atoms.isel(condition=condition) - atoms.isel(condition=0)
        effect = one["effect"][condition]
        assert float(effect.sel(effect_name="trapped_vision")) == pytest.approx(float(change["unique_1"][layer]))
        assert float(effect.sel(effect_name="trapped_vision_final")) == pytest.approx(float(change["unique_1"][8]))
        assert float(effect.sel(effect_name="compensatory_synergy")) == pytest.approx(float(change["synergy"][layer]))
        cost = sum(float(change[name][layer]) for name in ATOMS)
        assert float(effect.sel(effect_name="information_cost")) == pytest.approx(cost)
        assert float(effect.sel(effect_name="accuracy_change")) == pytest.approx(-0.1)
    assert np.isnan(results["effect"].isel(condition=0)).all()


def test_clear_effects_are_significant_and_adjusted_p_values_are_no_smaller():
    results = add_metrics(planted(replicates=200))
    trapped = results.sel(effect_name="trapped_vision").isel(condition=slice(1, 3))
    assert (trapped["effect_p"] < 1e-6).all()
    assert (trapped["effect_family_wise"] <= 1 / 201 + 1e-12).all()
    nothing = results.sel(effect_name="compensatory_synergy").isel(condition=slice(1, None))
    assert float((nothing["effect_p"] > 0.05).mean()) > 0.7
    assert float((nothing["effect_family_wise"] + 0.05 > nothing["effect_p"]).mean()) == 1


def test_an_accuracy_that_never_changes_has_an_interval():
    results = planted(cuts={"all": (0.0, 1.0)}, tasks=("t",))
    same = xr.ones_like(results["replicate_accuracy"])
    results = add_metrics(results.assign(accuracy=xr.ones_like(results["accuracy"]), replicate_accuracy=same))
    change = results.sel(effect_name="accuracy_change").isel(condition=1)
    assert float(change["effect_upper"][0, 0]) == pytest.approx(3 / 1000, rel=0.1)
    assert float(change["effect_p"][0, 0]) == 1


@pytest.mark.slow
@settings(max_examples=8)
@given(factor=st.floats(0.5, 20.0), seed=st.integers(0, 100))
def test_scaling_all_atoms_leaves_shares_decay_and_depths(factor, seed):
    results = planted(seed=seed, replicates=20, models={"a": 5, "b": 4}, cuts={"all": (0.0, 1.0)})
    before, after = add_metrics(results), add_metrics(scaled(results, factor))
    for end in ("", "_lower", "_upper"):
        one, other = (x[f"metric{end}"].sel(metric_name=SCALE_FREE) for x in (before, after))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        one, other = (x[f"metric{end}"].drop_sel(metric_name=SCALE_FREE) for x in (before, after))
        np.testing.assert_allclose(one * factor, other, rtol=1e-4, atol=1e-5)
        for name in ("fingerprint", "model_correlation", "task_correlation", "association"):
            np.testing.assert_allclose(before[f"{name}{end}"], after[f"{name}{end}"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=8)
@given(order=st.permutations(range(4)), seed=st.integers(0, 100))
def test_the_order_of_tasks_does_not_matter(order, seed):
    tasks = ("a", "b", "c", "d")
    results = planted(tasks=tasks, seed=seed, replicates=20, models={"a": 5, "b": 4}, cuts={"all": (0.0, 1.0)})
    before, after = add_metrics(results), add_metrics(results.isel(task=list(order)))
    names = ["metric", "overall_metric", "effect", "overall_effect", "fingerprint", "model_correlation", "association"]
    for name in [f"{name}{end}" for name in names for end in ("", "_lower", "_upper")]:
        other = after[name].sel(task=list(tasks)) if "task" in after[name].dims else after[name]
        np.testing.assert_allclose(before[name], other, rtol=1e-9, atol=1e-9, err_msg=name)
    there = after["task_correlation"].sel(task=list(tasks), task_2=list(tasks))
    np.testing.assert_allclose(before["task_correlation"], there, rtol=1e-9, atol=1e-9)
    assert before["verdict"].values.tolist() == after["verdict"].values.tolist()


def test_a_model_correlates_perfectly_with_itself():
    results = add_metrics(planted())
    for name, other in (("model_correlation", "model"), ("task_correlation", "task")):
        for end in ("", "_lower", "_upper"):
            values = results[f"{name}{end}"].sel(atom="unique_1")
            for place in range(results.sizes[other]):
                same = values.isel({other: place, f"{other}_2": place})
                np.testing.assert_allclose(same, 1.0, atol=1e-9)


def test_correlations_are_symmetric():
    results = add_metrics(planted())
    there = results["model_correlation"].values
    np.testing.assert_allclose(there, np.swapaxes(there, 0, 1), atol=1e-9)
    there = results["task_correlation"].values
    np.testing.assert_allclose(there, np.swapaxes(there, 1, 2), atol=1e-9)


def test_fingerprints_are_shares():
    results = add_metrics(planted())
    np.testing.assert_allclose(results["fingerprint"].sum("share"), 1, atol=1e-9)
    assert results["point_depth"].values.tolist() == list(POINTS.values())


def test_shares_of_nothing_do_not_exist():
    results = add_metrics(scaled(planted(tasks=("t",), cuts={}), 1e-4))
    assert results["metric"].sel(metric_name=SHARES).isnull().all()
    assert results["metric"].sel(metric_name="information_last").notnull().all()


def test_a_layer_that_failed_is_filled_in_and_one_at_the_end_is_not():
    results = planted(tasks=("t",))
    for name in (f"{kind}{name}" for kind in ("", "replicate_") for name in ATOMS):
        results[name][{"model": 0, "layer": 4}] = np.nan
        results[name][{"model": 1, "layer": 6}] = np.nan
    found = add_metrics(results)
    assert found["metric"].isel(model=0).notnull().all()
    assert np.isfinite(value(found, "peak_depth", model=1))
    assert np.isnan(value(found, "language_share_last", model=1))
    assert found["overall_metric"].isel(model=1).isnull().all()


def test_conditions_and_tasks_that_are_absent_are_nan_and_hurt_nothing():
    results = planted()
    whole = add_metrics(results)
    for name in [name for name in results if name in ATOMS or str(name).startswith("replicate_")]:
        results[name].values[0, 2] = np.nan
        results[name].values[1, :, 3] = np.nan
    results["cut_last"].values[1, 3] = -1
    found = add_metrics(results)
    assert found["metric"].isel(model=0, task=2).isnull().all()
    assert found["effect"].isel(model=1, condition=3).isnull().all()
    here = {"model": 0, "task": [0, 1]}
    np.testing.assert_allclose(found["metric"].isel(here), whole["metric"].isel(here))
    assert found["overall_metric"].notnull().all()
    assert found["overall_model_correlation"].sel(atom="all").notnull().all()


def test_layers_that_were_left_out_are_no_problem():
    results = planted(models={"eight": 8})
    some = add_metrics(results.isel(layer=[0, 2, 4, 6, 8]))
    assert value(some, "information_last") == pytest.approx(value(add_metrics(results), "information_last"))
    assert value(some, "peak_layer") == 0


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("options", [{}, {"cuts": {}}, {"models": {"one": 1}, "tasks": ("t",)}])
def test_a_file_keeps_everything(tmp_path, options):
    results = add_metrics(planted(**options))
    again = load_study(save_study(results, tmp_path / "results.nc"))
    assert set(again.variables) == set(results.variables)
    for name, variable in results.variables.items():
        assert again[name].dims == variable.dims, name
        np.testing.assert_array_equal(again[name].values, variable.values, err_msg=str(name))


def test_adding_metrics_twice_changes_nothing():
    once = add_metrics(planted(tasks=("t",)))
    xr.testing.assert_identical(add_metrics(once), once)


def test_names_are_those_that_figures_are_tested_with():
    results = planted()
    real, made_up = add_metrics(results), with_made_up_metrics(results)
    ours = {name for name in made_up.variables if not str(name).startswith("universe")}
    assert ours == set(real.variables)
    for name in ours:
        assert real[name].dims == made_up[name].dims, name
    labels = ("metric_label", "metric_unit", "effect_label", "effect_unit", "claim_text", "point_depth")
    for name in ("metric_name", "effect_name", "point", "share", "atom", "claim", "property", *labels):
        assert real[name].values.tolist() == made_up[name].values.tolist()
