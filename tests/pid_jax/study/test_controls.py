"""Effects against random controls, and interactions of two routes, on planted data."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.controls import against_controls
from pid_jax.study.metrics.interaction import find_designs
from pid_jax.study.model import StudyModel
from pid_jax.study.results import load_study, save_study
from pid_jax.study.run import run_study
from tests.study_process import QUICK
from tests.study_results import planted
from tests.study_stores import CUT, make_store

DRAWS = 4
CONTROLS = tuple(f"random-{draw}-of-image-question" for draw in range(1, 1 + DRAWS))
ROUTES = ("image-question", "image-last", "image-question+image-last")


def with_controls(**options) -> xr.Dataset:
    """Make a study whose knockouts and controls all change the same."""
    results = planted(edges=("image-question", *CONTROLS), **options)
    of = [name.partition("-of-")[2] if "-of-" in name else "" for name in results["condition"].values.astype(str)]
    return results.assign_coords(control_of=("condition", of))


def shifted(results: xr.Dataset, condition: str, by: float, name: str = "unique_1") -> xr.Dataset:
    """Add to an atom of one condition."""
    here = xr.where(results["condition"] == condition, by, 0.0)
    return results.assign({one: results[one] + here for one in (name, f"replicate_{name}")})


def test_numbers_are_those_of_a_t_test():
    generator = np.random.default_rng(0)
    controls = np.concatenate([generator.normal(size=(1, 6, 3)), np.zeros((50, 6, 3))])
    cut = np.concatenate([np.array([[3.0, 0.2, -4.0]]), 1e-3 * generator.normal(size=(50, 3))])
    found = against_controls(cut, controls)
    for k in range(3):
        wanted = stats.ttest_ind(cut[:1, k], controls[0, :, k], equal_var=True)
        assert found.p_value[k] == pytest.approx(wanted.pvalue)
        assert found.above[k] == pytest.approx(cut[0, k] - controls[0, :, k].mean())
        assert found.below[k] == (controls[0, :, k] < cut[0, k]).mean()


@pytest.mark.parametrize("count", [2, 5, 20])
@pytest.mark.parametrize("own", [0.1, 0.5, 1.0])
def test_a_control_is_found_within_its_null_as_often_as_it_should(count, own):
    """Effects of edge sets scatter, and so does each estimate; what all share cancels.

    Where few controls scatter less than estimates by chance, the test errs on the safe side.
    """
    generator, studies = np.random.default_rng(count), 4000
    edges = generator.normal(size=(count + 1, studies))
    draws = np.concatenate([np.ones(1), np.zeros(60)])[:, None, None]
    noise, shared = generator.normal(size=(61, count + 1, studies)), 5 * generator.normal(size=(61, 1, studies))
    effects = draws * edges + own * noise + shared
    found = against_controls(effects[:, 0], effects[:, 1:])
    rate = (found.p_value < 0.05).mean()
    assert rate < 0.06
    assert rate > 0.035 or own > 0.1 or count == 2
    assert (found.below == 1).mean() == pytest.approx(1 / (count + 1), abs=0.03)


def test_controls_that_do_not_scatter_leave_the_error_of_the_replicates():
    generator = np.random.default_rng(1)
    cut = np.concatenate([[0.1], 0.1 + generator.normal(scale=0.2, size=500)])[:, None]
    found = against_controls(cut, np.zeros((501, 5, 1)))
    assert found.p_value[0] > 0.5
    assert found.reach[0] > 0.4


def test_one_control_has_no_scatter():
    found = against_controls(np.ones((5, 1)), np.zeros((5, 1, 1)))
    assert (found.above[0], found.below[0]) == (1.0, 1.0)
    assert np.isnan([found.p_value[0], found.reach[0]]).all()


def test_a_knockout_like_its_controls_and_one_with_a_route():
    results = with_controls()
    plain = add_metrics(results)
    route = add_metrics(shifted(results, "image-question@all", 0.5))
    at = {"condition": "image-question@all", "effect_name": "trapped_vision"}
    assert (plain["effect_controls_p"].sel(at) > 0.05).mean() >= 0.8
    assert (route["effect_controls_p"].sel(at) < 0.05).all()
    assert (route["effect_above_controls_lower"].sel(at) > 0).all()
    np.testing.assert_allclose(route["effect_above_controls"].sel(at), 0.5, atol=0.1)
    assert (route["effect_controls_below"].sel(at) == 1).all()
    assert (route["overall_effect_controls_p"].sel(at) < 0.05).all()
    other = at | {"condition": "image-question@0-2"}
    xr.testing.assert_equal(route["effect_controls_p"].sel(other), plain["effect_controls_p"].sel(other))


def test_numbers_of_controls_and_what_has_none(tmp_path):
    results = add_metrics(with_controls())
    counts = results["n_controls"].sum("model").to_series()
    assert counts["image-question@all"] == 2 * DRAWS
    assert counts["baseline"] == counts["random-1-of-image-question@all"] == 0
    has = results["effect_above_controls"].notnull().any(["model", "task", "effect_name"])
    names = ["image-question@0-2", "image-question@3-5", "image-question@all"]
    assert sorted(has["condition"].values[has].tolist()) == names
    again = load_study(save_study(results, tmp_path / "results.nc"))
    xr.testing.assert_equal(again["effect_above_controls"], results["effect_above_controls"])
    assert again["control_of"].values.tolist() == results["control_of"].values.tolist()


def test_a_study_without_controls_or_designs_has_no_such_numbers():
    results = add_metrics(planted())
    assert not {"effect_above_controls", "n_controls", "interaction"} & set(results.variables)


def test_a_study_of_stores_knows_controls(tmp_path):
    conditions = [
        {
            "name": f"random-{draw}-of-image-question@all",
            "label": f"Random {draw}",
            "edges": [],
            "mask": f"random-{draw}-of-image-question",
            "first": 0,
            "last": 1,
            "control": {"of": CUT["name"], "method": "random", "seed": 0, "draw": draw},
        }
        for draw in (1, 2, 3)
    ]
    stores = [make_store(tmp_path / f"{k}", one, seed=k) for k, one in enumerate([CUT, *conditions], start=1)]
    model = StudyModel(name="m", baseline=make_store(tmp_path / "b"), knockouts=tuple(stores))
    results = add_metrics(run_study([model], spec=QUICK))
    assert results["control_of"].to_series()["random-2-of-image-question@all"] == CUT["name"]
    assert int(results["n_controls"].sel(condition=CUT["name"]).item()) == 3
    known = {"condition": CUT["name"], "effect_name": ["trapped_vision_final", "accuracy_change"]}
    assert np.isfinite(results["effect_above_controls"].sel(known)).all()


def two_routes(**options) -> xr.Dataset:
    """Make a study in which each cut, and both at once, change the same."""
    return planted(edges=ROUTES, **options)


def test_designs_are_found():
    names = [design.name for design in find_designs(two_routes())]
    assert names == [f"image-question x image-last@{window}" for window in ("all", "0-2", "3-5")]
    assert find_designs(planted(edges=ROUTES[:2])) == []
    assert find_designs(planted(edges=ROUTES[1:])) == []


def test_edges_in_any_order_and_of_single_heads():
    results = planted(
        edges=("image-last (heads)", "last-last (heads)", "last-last+image-last (heads)"), cuts={"1.2": (0, 1)}
    )
    (design,) = find_designs(results)
    assert (design.first, design.second, design.both) == (1, 2, 3)
    assert find_designs(planted(edges=("image-last", "last-last", "last-last+image-last (heads)"))) == []


def test_the_interaction_is_what_both_change_beyond_the_sum():
    results = add_metrics(two_routes(noise=0.0, replicates=20))
    one = results["effect"].sel(condition="image-question@all").drop_vars("condition")
    found = results["interaction"].sel(design="image-question x image-last@all")
    names = [name for name in results["effect_name"].values if name != "accuracy_change"]
    np.testing.assert_allclose(found.sel(effect_name=names), -one.sel(effect_name=names), atol=1e-6)
    assert results["design_both"].values[0] == "image-question+image-last@all"
    np.testing.assert_allclose(results["overall_interaction"], results["interaction"].mean("task"), atol=1e-6)


def test_a_route_that_stands_in_for_the_other():
    """Both cuts together trap 0.6 nats more than the sum of each; intervals hold that about as often as they say."""
    held, significant = [], []
    for seed in range(30):
        results = two_routes(seed=seed, models={"eight": 8}, cuts={"all": (0.0, 1.0)})
        true = two_routes(seed=seed, models={"eight": 8}, cuts={"all": (0.0, 1.0)}, noise=0.0, replicates=3)
        results, true = (shifted(one, "image-question+image-last@all", 0.6) for one in (results, true))
        found, truth = (add_metrics(one).isel(design=0).sel(effect_name="trapped_vision") for one in (results, true))
        inside = (found["interaction_lower"] < truth["interaction"]) & (
            truth["interaction"] < found["interaction_upper"]
        )
        held.append(inside.values)
        significant.append((found["interaction_p"] < 0.05).values)
    assert 0.88 <= np.mean(held) <= 1
    assert np.mean(significant) > 0.95


def test_additive_routes_have_no_interaction():
    results, both = two_routes(cuts={"all": (0.0, 1.0)}), "image-question+image-last@all"
    sums = {}
    for name in (*ATOMS, *(f"replicate_{name}" for name in ATOMS)):
        values = results[name]
        change = values.sel(condition="image-last@all") - values.isel(condition=0)
        sums[name] = xr.where(results["condition"] == both, values + change, values).transpose(*values.dims)
    found = add_metrics(results.assign(sums))
    p = found["interaction_p"].sel(effect_name=["trapped_vision", "compensatory_synergy", "information_cost"])
    assert (p < 0.01).mean() < 0.2
