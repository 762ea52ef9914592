"""Sources that determine the target together, or alone: what is finite is kept, and is the limit of little noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax import (
    BROJA,
    MMI,
    JointGaussian,
    NoGaussianization,
    NoReduction,
    Pairs,
    PIDSpec,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    gaussian_pid,
    gaussian_union,
    mutual_information,
    optimal_coupling,
    pid_broja,
    unique_spectrum,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.status import Status
from pid_jax.runtime.precision import double_precision

DIMS = (2, 3, 2)
SPEC = PIDSpec(NoReduction(), NoGaussianization())


def summed(noise=0.0):
    """Sources that depend on each other, and a target that is a sum of both, with some noise."""
    rng = np.random.default_rng(0)
    root, mix = rng.normal(size=(5, 5)), rng.normal(size=(2, 5))
    whole = np.vstack([np.eye(5), mix])
    cov = whole @ root @ root.T @ whole.T
    cov[5:, 5:] += noise**2 * np.eye(2)
    return 0.5 * (cov + cov.T)


def copied():
    """A target of which source_1 holds a copy, and source_2 a noisy one."""
    cov = np.ones((3, 3))
    cov[1, [0, 2]] = cov[[0, 2], 1] = 0.5
    return cov


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_redundancy_and_uniques_are_the_limits_of_little_noise(redundancy):
    found, near = (gaussian_pid(summed(noise), DIMS, redundancy=redundancy) for noise in (0.0, 1e-5))
    assert found.status == Status.INFINITE_INFORMATION
    assert near.status == Status.OK
    for name in ("redundancy", "unique_1", "unique_2"):
        np.testing.assert_allclose(getattr(found.atoms, name), getattr(near.atoms, name), atol=1e-7)
    np.testing.assert_allclose(found.information.i_1, near.information.i_1, atol=1e-7)
    assert found.atoms.synergy == found.information.i_12 == np.inf
    assert near.atoms.synergy > 15  # half the logarithm of 1e10 for each direction, less a constant
    assert "synergy inf" in repr(found)


def test_identities_hold_where_all_is_finite():
    atoms, information = (
        vars(x) for x in (gaussian_pid(summed(), DIMS).atoms, gaussian_pid(summed(), DIMS).information)
    )
    np.testing.assert_allclose(atoms["redundancy"] + atoms["unique_1"], information["i_1"], atol=1e-12)
    np.testing.assert_allclose(atoms["redundancy"] + atoms["unique_2"], information["i_2"], atol=1e-12)


@pytest.mark.slow
def test_union_coupling_and_spectrum_depend_on_the_pairs_alone():
    atoms = gaussian_pid(summed(), DIMS).atoms
    union = atoms.redundancy + atoms.unique_1 + atoms.unique_2
    found = gaussian_union(summed(), DIMS)
    np.testing.assert_allclose(found.union, union, atol=1e-8)
    assert np.isfinite(found.i_each).all()
    assert found.i_all == np.inf
    np.testing.assert_allclose(optimal_coupling(summed(), DIMS).information, union, atol=1e-8)
    np.testing.assert_allclose(unique_spectrum(summed(), DIMS).unique_2.sum(), atoms.unique_2, atol=1e-9)


def test_a_source_that_determines_the_target_alone_leaves_the_other_ones_information():
    found = gaussian_pid(copied(), (1, 1, 1))
    assert found.status == Status.INFINITE_INFORMATION
    assert found.information.i_1 == found.information.i_12 == np.inf
    np.testing.assert_allclose(found.information.i_2, -0.5 * np.log(0.75), atol=1e-12)
    assert np.isnan([getattr(found.atoms, name) for name in ATOMS]).all()


@pytest.mark.slow
def test_core_functions_have_finite_derivatives():
    def finite_part(cov):
        found = pid_broja(JointGaussian(cov, DIMS))
        return found.atoms.redundancy + found.atoms.unique_2 + mutual_information(JointGaussian(cov, DIMS)).i_1

    with double_precision():
        assert np.isfinite(jax.grad(finite_part)(jnp.asarray(summed()))).all()


def samples(n=300):
    rng = np.random.default_rng(1)
    source_1, source_2 = rng.normal(size=(2, 2, n, 1))
    target = source_1 + source_2
    target[1] += rng.normal(size=(n, 1))
    return source_1, source_2, target


@pytest.mark.slow
@pytest.mark.parametrize("redundancy", [BROJA(), MMI()])
def test_estimates_are_corrected_where_they_are_finite(redundancy, key):
    spec = PIDSpec(NoReduction(), NoGaussianization(), redundancy=redundancy)
    found = estimate_pid(*samples(), spec=spec, key=key)
    assert found.status.tolist() == [Status.INFINITE_INFORMATION, Status.OK]
    assert found.lower.synergy[0] == found.atoms.synergy[0] == found.upper.synergy[0] == np.inf
    shown = -0.5 * np.log1p(-(np.corrcoef(*(x[0, :, 0] for x in samples()[::2]))[0, 1] ** 2))
    np.testing.assert_allclose(found.information.i_1[0], shown - 0.5 / 300, atol=1e-4)  # the bias to first order
    for name in ("redundancy", "unique_1", "unique_2"):
        low, value, high = (getattr(x, name)[0] for x in (found.lower, found.atoms, found.upper))
        assert low <= value <= high
    assert found.lower.redundancy[0] < found.upper.redundancy[0] - 0.05
    alone = estimate_pid(*(x[1] for x in samples()), spec=spec, key=key)
    np.testing.assert_allclose(found.atoms.redundancy[1], alone.atoms.redundancy, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, Pairs()])
def test_bootstraps_have_a_status_and_intervals_of_what_is_finite(kind, key):
    found = bootstrap_pid(*samples(), spec=SPEC, key=key, kind=kind, resamples=100, level=0.9)
    assert found.status.tolist() == [Status.INFINITE_INFORMATION, Status.OK]
    assert np.isfinite(found.standard_error.redundancy).all()
    assert found.standard_error.synergy[0] == 0
    assert found.lower.synergy[0] == found.upper.synergy[0] == np.inf
    assert "INFINITE_INFORMATION" in repr(found)


@pytest.mark.slow
def test_comparisons_have_a_status_and_differences_of_what_is_finite(key):
    source_1, source_2, target = samples()
    other = target + np.random.default_rng(2).normal(size=target.shape)
    for before, after, signs in ((target, target, [0, 0]), (target, other, [-1, -1]), (other, target, [1, 1])):
        found = compare_pid((source_1, source_2, before), (source_1, source_2, after), spec=SPEC, key=key)
        assert found.status.tolist() == [Status.INFINITE_INFORMATION, Status.OK]
        assert np.isfinite(found.p_value.redundancy).all()
        if signs[0]:
            assert np.sign(found.difference.synergy).tolist()[0] == signs[0]
            assert np.isnan(found.p_value.synergy[0])
        else:
            assert (found.difference.redundancy == 0).all()
        assert "INFINITE_INFORMATION" in repr(found)
    alone = compare_pid((source_1[0], source_2[0], target[0]), (source_1[0], source_2[0], other[0]), spec=SPEC, key=key)
    assert "-inf, no p-value" in repr(alone)
