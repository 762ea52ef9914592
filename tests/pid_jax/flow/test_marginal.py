"""Normal scores against ranks and quantiles of SciPy."""

import numpy as np
import pytest
import scipy.stats

from pid_jax.flow.marginal import gaussianize_copula

pytestmark = pytest.mark.filterwarnings("error")

SHAPE = (50, 3)
TOLERANCE = 1e-5


def scores(samples, tie_tolerance=TOLERANCE):
    peak = np.abs(samples).max()
    noise = tie_tolerance * peak * (samples / peak).std(axis=0).max()
    return gaussianize_copula(samples, np.full(samples.shape[1], noise))


def expected_scores(samples):
    return scipy.stats.norm.ppf((scipy.stats.rankdata(samples, axis=0) - 0.5) / len(samples))


@pytest.fixture
def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE)


def test_scores_are_normal_quantiles_of_mean_ranks(samples):
    actual = scores(samples)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, expected_scores(samples), atol=1e-14)


def test_ties_share_their_mean_rank(samples):
    rounded = np.round(samples)
    assert len(np.unique(rounded[:, 0])) < 10
    for tie_tolerance in (0.0, TOLERANCE):
        np.testing.assert_allclose(scores(rounded, tie_tolerance), expected_scores(rounded), atol=1e-14)


def test_monotone_maps_of_a_coordinate_change_nothing(samples):
    warped = np.stack([np.exp(samples[:, 0]), samples[:, 1] ** 3, np.arctan(samples[:, 2])], axis=1)
    np.testing.assert_array_equal(scores(warped, 0.0), scores(samples, 0.0))


def test_values_within_the_tie_tolerance_are_equal(samples):
    states = np.round(samples)
    noisy = states + 1e-8 * samples
    np.testing.assert_array_equal(scores(noisy), scores(states))
    assert len(np.unique(scores(noisy, 0.0)[:, 0])) == len(samples)


def test_equal_states_with_noise_are_equal_wherever_they_lie(samples):
    """Ties are found by distance: no value lies on the edge of a bin."""
    states = np.round(samples)
    step = TOLERANCE * states.std(axis=0).max()
    noisy = (np.round(states / step) + 0.5) * step + 1e-3 * step * samples
    np.testing.assert_array_equal(scores(noisy), scores(states))


def test_constant_column_becomes_zero(samples):
    samples[:, 1] = 4.0
    np.testing.assert_array_equal(scores(samples)[:, 1], 0)
    np.testing.assert_array_equal(scores(np.full(SHAPE, 4.0)), 0)


def test_scores_sum_to_zero_and_stay_finite(samples):
    samples[0] = 1e300, -1e300, 1e-300
    actual = scores(samples, 0.0)
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_every_size_and_sign_are_in_order(dtype):
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    column = rng.standard_normal(500) * 10.0 ** rng.integers(-30, 30, 500)
    column = np.concatenate([column, [0, -0.0, info.tiny, -info.tiny, info.max, -info.max]]).astype(dtype)
    found = gaussianize_copula(column[:, None])[:, 0]
    order = np.argsort(column, kind="stable")
    steps = np.diff(found[order])
    assert np.all((steps > 0) == (np.diff(column[order]) > 0))
    assert np.all(steps >= 0)
