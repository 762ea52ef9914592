"""Every verdict on every claim can be reached, and says why."""

import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED, Finding, decide
from pid_jax.study.metrics.verdicts import CLAIMS, judge
from tests.study_results import planted

SIX = ("a", "b", "c", "d", "e", "f")


def verdicts(results: xr.Dataset, claim: str) -> list[tuple[str, str]]:
    judged = add_metrics(results).sel(claim=claim)
    return list(zip(judged["verdict"].values.tolist(), judged["reason"].values.tolist(), strict=True))


def changed(results: xr.Dataset, **curves: np.ndarray) -> xr.Dataset:
    """Replace atoms by curves over layers; replicates keep their distance to the estimate."""
    data = {}
    for name, curve in curves.items():
        new = xr.zeros_like(results[name]) + xr.DataArray(np.asarray(curve, float), dims="layer")
        moved = new.isel(measure=0, drop=True) - results[name].isel(measure=0, drop=True)
        data[f"replicate_{name}"] = results[f"replicate_{name}"] + moved
        data[name] = new
    return results.assign({name: value.transpose(*results[name].dims) for name, value in data.items()})


def one_model(noise: float = 0.02, **options) -> xr.Dataset:
    return planted(models={"one": 8}, noise=noise, **options)


DEPTH = np.linspace(0, 1, 9)


@pytest.mark.parametrize(
    ("curves", "noise", "wanted"),
    [
        ({}, 0.02, SUPPORTED),
        ({"unique_1": 3 * DEPTH}, 0.02, CONTRADICTED),
        ({"unique_1": 3 - DEPTH}, 0.02, CONTRADICTED),
        ({"unique_1": 2 - DEPTH}, 0.5, NOT_TESTABLE),
        ({"unique_1": 0 * DEPTH}, 0.002, NOT_TESTABLE),
    ],
)
def test_vision_early(curves, noise, wanted):
    [(verdict, reason)] = verdicts(changed(one_model(noise), **curves), "vision_early")
    assert verdict == wanted, reason


@pytest.mark.parametrize(
    ("curves", "noise", "wanted"),
    [
        ({"unique_2": 0.8 + 8 * DEPTH**3}, 0.02, SUPPORTED),
        ({}, 0.02, CONTRADICTED),
        ({"unique_2": 8.8 - 0 * DEPTH}, 0.02, CONTRADICTED),
        ({"unique_2": 0.8 + 8 * DEPTH**3}, 3.0, NOT_TESTABLE),
        (dict.fromkeys(ATOMS, 0 * DEPTH), 0.001, NOT_TESTABLE),
    ],
)
def test_language_late(curves, noise, wanted):
    [(verdict, reason)] = verdicts(changed(one_model(noise), **curves), "language_late")
    assert verdict == wanted, reason


@pytest.mark.parametrize(
    ("synergy", "noise", "wanted"),
    [(0.005, 0.002, SUPPORTED), (0.3, 0.005, CONTRADICTED), (0.06, 0.05, NOT_TESTABLE)],
)
def test_synergy_small(synergy, noise, wanted):
    results = changed(one_model(noise), synergy=synergy + 0 * DEPTH)
    [(verdict, reason)] = verdicts(results, "synergy_small")
    assert verdict == wanted, reason


def test_variants_agree():
    assert [v for v, _ in verdicts(planted(), "variants_agree")] == [SUPPORTED, SUPPORTED]
    assert [v for v, _ in verdicts(planted(noise=1.0), "variants_agree")] == [NOT_TESTABLE, NOT_TESTABLE]
    results = planted(models={"a": 8, "b": 8, "c": 8})
    for name in ("unique_1", "replicate_unique_1"):
        results[name][1] = results[name][1].isel(layer=slice(None, None, -1)).values
    assert [v for v, _ in verdicts(results, "variants_agree")] == [CONTRADICTED] * 3
    assert "with b" in verdicts(results, "variants_agree")[2][1]
    [(verdict, reason)] = verdicts(one_model(), "variants_agree")
    assert verdict == NOT_TESTABLE
    assert reason == "There is only one model."


def with_ordering(results: xr.Dataset, trapped: np.ndarray, redundancy: np.ndarray) -> xr.Dataset:
    """Let the cut trap so much in every task, and give tasks vision-unique information and redundancy."""
    tasks, out = len(trapped), {}
    vision = 1.0 + np.arange(tasks)[::-1]
    base = np.stack([vision * (1 - 0.9 * x) for x in DEPTH], axis=1)
    curves = {
        "unique_1": np.stack([base, base + trapped[:, None]], axis=1),
        "redundancy": np.broadcast_to(redundancy[:, None, None], (tasks, 2, 9)),
        "unique_2": np.full((tasks, 2, 9), 3.0),
        "synergy": np.full((tasks, 2, 9), 0.1),
    }
    for name, values in curves.items():
        new = xr.DataArray(values[None], dims=("model", "task", "condition", "layer"))
        old = results[name].isel(measure=0, drop=True)
        out[f"replicate_{name}"] = results[f"replicate_{name}"] - old + new.values[..., None]
        out[name] = results[name] * 0 + new
    return results.assign(out)


@pytest.mark.parametrize(
    ("trapped", "redundancy", "wanted"),
    [
        (np.arange(6.0)[::-1] + 1, np.arange(6.0) + 1, SUPPORTED),
        (np.arange(6.0) + 1, np.arange(6.0) + 1, CONTRADICTED),
        (-np.arange(6.0)[::-1] - 1, np.arange(6.0) + 1, CONTRADICTED),
        (np.array([4.0, 6, 5, 1, 3, 2]), np.arange(6.0) + 1, NOT_TESTABLE),
    ],
)
def test_orders_of_tasks(trapped, redundancy, wanted):
    results = one_model(tasks=SIX, cuts={"all": (0.0, 1.0)})
    [(verdict, reason)] = verdicts(with_ordering(results, trapped, redundancy), "trapped_vision_ordered")
    assert verdict == wanted, reason
    assert "6 tasks" in reason
    assert ("6 tasks cannot decide" in reason) == (wanted == NOT_TESTABLE)


@pytest.mark.parametrize(("name", "atom"), [("trapped_vision", "unique_1"), ("compensatory_synergy", "synergy")])
@pytest.mark.parametrize(("by", "wanted"), [(1, SUPPORTED), (-1, CONTRADICTED), (0, NOT_TESTABLE)])
def test_effects_of_cuts_have_a_sign(name, atom, by, wanted):
    results = with_change(one_model(tasks=SIX, cuts={"all": (0.0, 1.0)}), atom, by)
    [(verdict, reason)] = verdicts(results, f"{name}_rises")
    assert verdict == wanted, reason
    [(verdict, reason)] = verdicts(results, "information_cost_rises")
    assert verdict == wanted, reason


def with_change(results: xr.Dataset, atom: str, by: float) -> xr.Dataset:
    """Let the cut change one atom by so many nats, and no other one by more than noise."""
    out = {}
    for name in ATOMS:
        size = by * (name == atom) * (np.arange(2) == 1)
        change = xr.DataArray(size, dims="condition")
        own, drawn = results[name], results[f"replicate_{name}"]
        base = planted(models={"one": 8}, noise=0.0, tasks=SIX, cuts={"all": (0.0, 1.0)})[name]
        level = base.isel(condition=0, drop=True) + change - base
        out[name] = (own + level).transpose(*own.dims)
        out[f"replicate_{name}"] = (drawn + level.isel(measure=0, drop=True)).transpose(*drawn.dims)
    return results.assign(out)


def test_orders_of_tasks_needs_tasks_and_knockouts():
    [(verdict, reason)] = verdicts(one_model(cuts={}), "trapped_vision_ordered")
    assert (verdict, reason) == (NOT_TESTABLE, "The model has no knockout of image-question.")
    [(verdict, reason)] = verdicts(one_model(tasks=("a", "b")), "trapped_vision_ordered")
    assert verdict == NOT_TESTABLE
    assert "3 tasks or more" in reason
    [(verdict, _)] = verdicts(one_model(edges=("image-last",)), "trapped_vision_ordered")
    assert verdict == NOT_TESTABLE


def test_without_replicates_nothing_can_be_tested():
    results = planted()
    plain = results.drop_vars([n for n in results if str(n).startswith("replicate_")])
    found = add_metrics(plain)
    assert found["metric"].notnull().all()
    assert found["metric_lower"].isnull().all()
    assert set(found["verdict"].values.ravel()) == {NOT_TESTABLE}
    assert all("without an interval" in reason for reason in found["reason"].values.ravel())


def test_a_model_that_failed_altogether_has_no_verdicts():
    results = planted()
    for name in [n for n in results if n in ATOMS or str(n).startswith("replicate_")]:
        results[name].values[1] = np.nan
    found = add_metrics(results)
    assert found["verdict"].isel(model=1).values.tolist() == [NOT_TESTABLE] * len(CLAIMS)
    assert found["verdict"].sel(claim="vision_early").values[0] == SUPPORTED


@pytest.mark.parametrize(
    ("lower", "upper", "wanted"),
    [(0.6, 0.8, SUPPORTED), (0.2, 0.4, CONTRADICTED), (0.4, 0.6, NOT_TESTABLE), (np.nan, 0.6, NOT_TESTABLE)],
)
def test_one_finding(lower, upper, wanted):
    assert decide([Finding(name="it", value=0.5, lower=lower, upper=upper, least=0.5)]) == wanted


def test_one_finding_on_the_wrong_side_decides():
    good = Finding(name="it", value=0.7, lower=0.6, upper=0.8, least=0.5)
    bad = Finding(name="it", value=0.7, lower=0.6, upper=0.8, most=0.5)
    open_ = Finding(name="it", value=0.7, lower=0.4, upper=0.8, least=0.5)
    assert decide([good, good]) == SUPPORTED
    assert decide([good, bad, open_]) == CONTRADICTED
    assert decide([good, open_]) == NOT_TESTABLE


def test_judge_alone_says_the_same_as_all_at_once():
    found = add_metrics(planted())
    alone = judge(found)
    assert set(alone.data_vars) == {"claim_value", "claim_lower", "claim_upper", "verdict", "reason"}
    for name in alone.data_vars:
        np.testing.assert_array_equal(alone[name], found[name])


def test_every_reason_is_one_sentence_with_its_verdict_in_numbers():
    found = add_metrics(planted())
    for reason in found["reason"].values.ravel():
        assert reason.endswith(".")
        assert "\n" not in reason


@pytest.mark.parametrize(
    ("claim", "atom", "percentile", "wanted"),
    [
        ("language_late", "unique_2", 0.96, SUPPORTED),
        ("language_late", "unique_2", 0.6, NOT_TESTABLE),
        ("language_late", "unique_2", 0.01, NOT_TESTABLE),
        ("synergy_small", "synergy", 0.04, SUPPORTED),
        ("synergy_small", "synergy", 0.3, NOT_TESTABLE),
        ("synergy_small", "synergy", 0.99, NOT_TESTABLE),
    ],
)
def test_a_share_that_chance_gives_supports_no_claim(claim, atom, percentile, wanted):
    found = add_metrics(changed(one_model(0.002), synergy=0.005 + 0 * DEPTH, unique_2=0.8 + 8 * DEPTH**3))
    name = "overall_share_percentile"
    judged = judge(found.assign({name: xr.where(found["share"] == atom, percentile, found[name])})).sel(claim=claim)
    assert judged["verdict"].item() == wanted
    assert ("chance structure" in judged["reason"].item()) == (wanted == NOT_TESTABLE)


def test_chance_never_rescues_a_claim_that_is_contradicted():
    found = add_metrics(one_model())
    contradicted = [name for name in ("language_late",) if found["verdict"].sel(claim=name).item() == CONTRADICTED]
    extreme = found.assign(overall_share_percentile=xr.ones_like(found["overall_share_percentile"]))
    assert contradicted == ["language_late"]
    assert judge(extreme)["verdict"].sel(claim="language_late").item() == CONTRADICTED
