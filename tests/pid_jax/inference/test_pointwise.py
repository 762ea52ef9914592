"""Shares of single samples in the atoms and informations."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax import (
    BROJA,
    MMI,
    OAS,
    PCA,
    IndirectInference,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    PIDPointwise,
    PIDSpec,
    estimate_pid,
    pointwise_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.status import Status
from pid_jax.inference.influence import slopes_by_covariance
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.pid.registry import MEASURES
from pid_jax.testing import laws
from pid_jax.testing.problems import random_channel
from pid_jax.testing.strategies import seeds

DIMS = (2, 2, 2)
RAW = PIDSpec(NoReduction(), NoGaussianization())
KEY = 0


def draw(samples=60, sets=(), dims=DIMS, seed=0):
    """Samples of a channel that both sources read."""
    rng = np.random.default_rng(seed)
    cov = random_channel(rng, dims, (1.0, 0.6)).cov
    rows = rng.standard_normal((*sets, samples, sum(dims))) @ np.linalg.cholesky(cov).T
    return np.split(rows, np.cumsum(dims)[:-1], axis=-1)


def shares_of(found):
    return np.stack([np.asarray(getattr(found.pointwise, name)) for name in QUANTITIES])


def means_of(found):
    return np.stack([np.asarray((vars(found.atoms) | vars(found.information))[name]) for name in QUANTITIES])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("law", laws.POINTWISE_LAWS, ids=lambda law: law.__name__)
@given(seed=seeds(), gains=st.tuples(*[st.sampled_from([0.01, 0.3, 1.0, 3.0])] * 2))
def test_laws(law, measure, seed, gains):
    rng = np.random.default_rng(seed)
    spec = PIDSpec(NoReduction(), NoGaussianization(), redundancy=MEASURES[measure].settings())
    law(partial(pointwise_pid, spec=spec, key=jax.random.key(KEY)), random_channel(rng, DIMS, gains), rng, 1e-10)


@pytest.mark.parametrize("measure", [BROJA(), MMI()])
def test_derivatives_have_no_component_along_the_covariance(measure):
    """So that the shares average to the quantity whichever of 1/n and 1/(n - 1) the covariance has."""
    cov = random_channel(np.random.default_rng(3), DIMS, (1.0, 0.6)).cov
    slopes = slopes_by_covariance(cov[None], DIMS, measure)
    for name in QUANTITIES:
        assert abs(np.trace(getattr(slopes, name)[0] @ cov)) < 1e-12


@pytest.mark.slow
def test_scalar_targets_have_the_redundancy_of_the_weaker_source(key):
    """R = min(I_1, I_2) there, so that its shares are the local information of that source."""
    one, two, target = draw(dims=(2, 2, 1))
    found = pointwise_pid(one, two, target, spec=RAW, key=key)
    weaker = "i_1" if found.information.i_1 < found.information.i_2 else "i_2"
    np.testing.assert_allclose(found.pointwise.redundancy, getattr(found.pointwise, weaker), atol=1e-10)


@pytest.mark.parametrize(
    "spec",
    [
        PIDSpec(PCA(dim=2)),
        PIDSpec(PCA(dim=2), NoGaussianization(), covariance=OAS()),
        pytest.param(PIDSpec(PCA(dim=2), bias_correction=IndirectInference(10)), marks=pytest.mark.slow),
    ],
    ids=["ranks", "shrunk", "corrected"],
)
def test_the_average_is_the_uncorrected_estimate(spec, key):
    one, two, target = draw(80, sets=(2,))
    wide = np.concatenate([one, 0.1 * two], axis=-1)
    found = pointwise_pid(wide, two, target[0], spec=spec, key=key)
    plain = PIDSpec(spec.reduction, spec.gaussianize, spec.covariance, bias_correction=NoCorrection())
    wanted = estimate_pid(wide, two, target[0], spec=plain, key=key)
    assert shares_of(found).shape == (len(QUANTITIES), 2, 80)
    np.testing.assert_allclose(shares_of(found).mean(axis=-1), means_of(found), atol=1e-10)
    np.testing.assert_array_equal(means_of(found), means_of(wanted))


@pytest.mark.slow
def test_columns_that_repeat_others_change_nothing(key):
    one, two, target = draw()
    again = np.concatenate([one, one @ np.array([[1.0], [2.0]])], axis=1)
    plain, repeated = (pointwise_pid(x, two, target, spec=RAW, key=key) for x in (one, again))
    np.testing.assert_allclose(shares_of(repeated), shares_of(plain), atol=1e-8)


def test_problems_without_numbers_have_no_shares(key):
    """One sample is missing in the first problem, and sources determine the target in the second."""
    one, two, target = draw(60, sets=(3,))
    one[0, 0, 0] = np.nan
    target[1] = one[1] + two[1]
    found = pointwise_pid(one, two, target, spec=RAW, key=key)
    assert found.status.tolist() == [Status.NOT_FINITE, Status.INFINITE_INFORMATION, Status.OK]
    assert np.isnan(shares_of(found)[:, :2]).all()
    assert np.isfinite(shares_of(found)[:, 2]).all()


def test_results_are_kept_in_files_and_bits(key, tmp_path):
    found = pointwise_pid(*draw(60, sets=(2,)), spec=RAW, key=key)
    loaded = PIDPointwise.load(found.save(tmp_path / "shares.nc"))
    np.testing.assert_array_equal(shares_of(loaded), shares_of(found))
    np.testing.assert_allclose(shares_of(found.in_bits()), shares_of(found) / np.log(2))
    np.testing.assert_allclose(means_of(found.in_bits()), means_of(found) / np.log(2))
    assert found.to_xarray(["layer"])["pointwise"].dims == ("layer", "sample", "quantity")
    assert all(name in repr(found) for name in ATOMS)


@pytest.mark.slow
def test_flows(key):
    from pid_jax import RealNVP

    spec = PIDSpec(NoReduction(), RealNVP(epochs=20))
    found = pointwise_pid(*draw(400), spec=spec, key=key)
    assert found.estimated.flow is not None
    np.testing.assert_allclose(shares_of(found).mean(axis=-1), means_of(found), atol=1e-10)
