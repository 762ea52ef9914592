"""Claims under several measures of one covariance, from cells to counts."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.compare import compare_measures
from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.broja import BROJA
from pid_jax.pid.deficiency import Deficiency
from pid_jax.pid.mmi import MMI
from pid_jax.store.targets import Answer
from pid_jax.study.by_measure import NAMES, atoms_by_measure, layers_of_claims
from pid_jax.study.conditions import Cut
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.by_measure import FAILS, HOLDS, UNKNOWN
from pid_jax.study.spec import StudySpec
from pid_jax.testing.problems import random_channel
from tests.study_results import planted

CUT = Cut(name="image-question", window="0-2", first=0, last=2)


def estimate_of(layers: int, dims: tuple[int, int, int] = (2, 2, 2)):
    rng = np.random.default_rng(0)
    covs = np.stack([random_channel(rng, dims, (0.7, 0.7)).cov for _ in range(layers)])
    return gaussian_pid(covs, dims, redundancy=MMI())


@pytest.mark.parametrize(
    ("cut", "layers", "wanted"),
    [
        (CUT, range(5), [3]),
        (CUT, (0, 2, 4), [1, 2]),
        (CUT, (0, 3), [1]),
        (CUT, (0, 2), []),
        (dataclasses.replace(CUT, last=-1), range(5), []),
        (dataclasses.replace(CUT, name="image-last"), range(5), []),
    ],
)
def test_claims_read_the_layer_after_a_cut(cut, layers, wanted):
    assert layers_of_claims(cut, [*layers], is_baseline=False).tolist() == wanted
    assert layers_of_claims(cut, [*layers], is_baseline=True).tolist() == [*range(len(layers))]


def test_atoms_are_those_of_compare_measures_at_the_layers_that_are_read():
    estimate, measures = estimate_of(4), [MMI(), BROJA()]
    found, notes = atoms_by_measure(estimate, measures, np.array([1, 3]))
    wanted = compare_measures(estimate, measures)
    assert notes == []
    for name, own in zip(ATOMS, NAMES, strict=True):
        dims, values, attributes = found[own]
        assert dims == ("compared_measure", "layer")
        assert attributes["units"] == "nats"
        np.testing.assert_allclose(values[:, [1, 3]], getattr(wanted.atoms, name)[:, [1, 3]], atol=1e-12)
        assert np.isnan(values[:, [0, 2]]).all()


def test_a_measure_that_refuses_the_dims_is_named():
    found, notes = atoms_by_measure(estimate_of(1, (17, 1, 17)), [Deficiency(), MMI()], np.array([0]))
    assert len(notes) == 1
    assert np.isnan(found["by_measure_synergy"][1][0]).all()
    assert np.isfinite(found["by_measure_synergy"][1][1]).all()


def test_the_measure_of_the_study_is_among_those_compared():
    chosen = StudySpec(measures=(BROJA(),), compared_measures=(MMI(),))
    assert chosen.claim_measures == (BROJA(), MMI())
    assert dataclasses.replace(chosen, measures=(MMI(), BROJA())).claim_measures == (MMI(),)
    assert dataclasses.replace(chosen, compared_measures=()).claim_measures == ()
    assert dataclasses.replace(chosen, target=Answer()).claim_measures == ()


@pytest.mark.parametrize(("given", "error"), [((MMI(), MMI()), ValueError), (("mmi",), TypeError)])
def test_bad_measures(given, error):
    with pytest.raises(error, match="compared_measures"):
        StudySpec(compared_measures=given)


@pytest.fixture(scope="module")
def judged() -> xr.Dataset:
    """A study whose second compared measure gives vision what language has, and the other way round."""
    study = planted(replicates=60, noise=0.002)
    study["by_measure_unique_1"][:, :, :, 0], study["by_measure_unique_2"][:, :, :, 0] = (
        study["by_measure_unique_2"][:, :, :, 1].values,
        study["by_measure_unique_1"][:, :, :, 1].values,
    )
    for name in ("redundancy", "synergy"):
        study[f"by_measure_{name}"][:, :, :, 0] = study[f"by_measure_{name}"][:, :, :, 1].values
    return add_metrics(study)


def test_numbers_of_the_own_measure_are_those_of_the_verdicts(judged):
    own = judged["by_measure_value"].sel(compared_measure="broja")
    noisy = ("synergy_small", "variants_agree")  # from which replicates take what noise adds
    sharp = [str(name) for name in judged["claim"].values if name not in noisy]
    np.testing.assert_allclose(own.sel(claim=sharp), judged["claim_value"].sel(claim=sharp), atol=1e-6)
    holds = judged["by_measure_holds"].sel(compared_measure="broja").values
    verdict = judged["verdict"].values
    assert (holds[verdict == "supported"] == HOLDS).all()
    assert (holds[verdict == "contradicted"] == FAILS).all()
    assert {"supported", "contradicted"} <= {*verdict.ravel()}


def test_claims_that_depend_on_the_measure_are_counted(judged):
    early = judged.sel(claim="vision_early")
    assert early["by_measure_holds"].sel(compared_measure="mmi").values.tolist() == [FAILS, FAILS]
    assert early["by_measure_count"].values.tolist() == [1, 1]
    assert early["by_measure_total"].values.tolist() == [2, 2]


def test_only_what_can_be_computed_counts():
    alone = add_metrics(planted(models={"one": 8}, cuts={}, replicates=0)).isel(model=0)
    total = alone["by_measure_total"]
    assert total.sel(claim=["variants_agree", "trapped_vision_rises"]).values.tolist() == [0, 0]
    assert (alone["by_measure_holds"].sel(claim="variants_agree") == UNKNOWN).all()
    assert total.sel(claim="vision_early").item() == 2


def test_a_study_that_compares_no_measures_has_no_counts():
    assert "by_measure_count" not in add_metrics(planted(replicates=0).drop_dims("compared_measure"))


def test_metrics_twice_are_metrics_once(judged):
    xr.testing.assert_equal(add_metrics(judged), judged)
