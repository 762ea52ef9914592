"""Intervals of metrics hold the truth where percentiles of replicates would not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax.study.metrics.association import associate
from pid_jax.study.metrics.correlation import correlate, on_common_depths
from pid_jax.study.metrics.draws import at_depth
from pid_jax.study.metrics.fingerprint import distances
from pid_jax.study.metrics.intervals import at_crossing, first_below, largest, normal, peak_candidates


def least_coverage(trials: int) -> float:
    """Four standard errors below the nominal coverage."""
    return 0.95 - 4 * np.sqrt(0.95 * 0.05 / trials)


def test_noise_does_not_lower_correlations():
    """Curves with the correlation .8 and a fifth of noise have .8 in the mean, not .67."""
    generator = np.random.default_rng(0)
    layers, sd = 60, 0.5
    one = generator.normal(size=layers)
    other = generator.normal(size=layers)
    one, other = (x - x.mean() for x in (one, other))
    other -= one * (one @ other) / (one @ one)
    one, other = one / one.std(), other / other.std()
    curves = [one, 0.8 * one + 0.6 * other]
    found, naive = [], []
    for _ in range(300):
        draws = []
        for curve in curves:
            seen = curve + sd * generator.normal(size=layers)
            replicates = seen + sd * generator.normal(size=(40, layers))
            both = np.concatenate([seen[None], replicates])
            draws.append(both - both.mean(axis=1, keepdims=True))
        found.append(correlate(*draws))
        naive.append(np.corrcoef(draws[0][0], draws[1][0])[0, 1])
    value, lower, upper = np.array(found).T
    error = value.std() / np.sqrt(len(value))
    assert abs(value.mean() - 0.8) < 4 * error
    assert np.mean(naive) < 0.7
    assert ((lower <= 0.8) & (upper >= 0.8)).mean() > least_coverage(300)


def test_curves_of_noise_have_no_correlation():
    generator = np.random.default_rng(0)
    seen = generator.normal(size=9)
    draws = np.concatenate([seen[None], seen + generator.normal(size=(40, 9))])
    assert np.isnan(correlate(draws, draws)).all()


def test_intervals_hold_correlations_of_one():
    """Noise of one direction only may cancel, and is no less for that."""
    generator = np.random.default_rng(0)
    curve, bump = np.array([3.0, 1.0, -1.0, -3.0]), np.array([0.1, -0.2, 0.1, 0.0])
    held = []
    for _ in range(400):
        draws = []
        for _ in range(2):
            seen = curve + generator.normal() * bump
            draws.append(np.concatenate([seen[None], seen + generator.normal(size=(60, 1)) * bump]))
        value, lower, upper = correlate(*draws)
        assert lower <= value <= upper == 1
        held.append(lower <= 1)
    assert np.mean(held) == 1


def test_intervals_hold_correlations_just_below_one():
    generator = np.random.default_rng(0)
    curve, bump = np.array([3.0, 1.0, -1.0, -3.0]), np.array([0.1, -0.2, 0.1, 0.0])
    curves = [curve, curve + bump]
    truth = np.corrcoef(curves)[0, 1]
    held = []
    for _ in range(400):
        seen = [x + generator.normal() * bump for x in curves]
        draws = [np.concatenate([x[None], x + generator.normal(size=(60, 1)) * bump]) for x in seen]
        _, lower, upper = correlate(*draws)
        held.append(lower <= truth <= upper)
    assert np.mean(held) > least_coverage(400)


def test_models_of_different_depth_are_compared_at_the_depths_of_the_shallower_one():
    deep, shallow = np.linspace(0, 1, 9), np.linspace(0, 1, 7)
    one, other = on_common_depths(deep**2, deep, shallow**2, shallow)
    np.testing.assert_allclose(other, shallow**2)
    np.testing.assert_allclose(one, np.interp(shallow, deep, deep**2))


def test_nothing_is_extrapolated():
    found = at_depth(np.array([1.0, 2.0]), np.array([0.25, 0.75]), [0.0, 0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found, [np.nan, 1.0, 1.5, 2.0, np.nan])


@given(seed=st.integers(0, 1000), profiles=st.integers(2, 6))
def test_distances_without_noise_are_a_metric(seed, profiles):
    draws = np.random.default_rng(seed).normal(size=(1, profiles, 5)).repeat(10, axis=0)
    found, lower, upper = distances(draws)
    np.testing.assert_allclose(found, found.T)
    np.testing.assert_allclose([lower, upper], [found, found], atol=1e-7)
    np.testing.assert_allclose(np.diag(found), 0)
    assert (found + np.eye(profiles) > 0).all()
    assert (found[:, None] <= found[:, :, None] + found[None] + 1e-12).all()


def test_noise_does_not_move_equal_fingerprints_apart():
    generator = np.random.default_rng(0)
    squares = []
    for _ in range(300):
        seen = generator.normal(size=(2, 20))
        draws = np.concatenate([seen[None], seen + generator.normal(size=(60, 2, 20))])
        value, lower, _ = distances(draws)
        squares.append(value[0, 1] ** 2)
        assert lower[0, 1] < 40
    assert np.mean(squares) < 8  # a naive squared distance is 40; half of the scatter around 0 is cut off


def test_candidates_of_a_clear_peak_are_one_and_of_a_flat_curve_all():
    generator = np.random.default_rng(0)
    clear, flat = np.array([0.0, 1.0, 0.0, 0.0]), np.zeros(4)
    noise = 0.05 * generator.normal(size=(200, 4))
    assert peak_candidates(np.concatenate([clear[None], clear + noise])).tolist() == [False, True, False, False]
    assert peak_candidates(np.concatenate([flat[None], flat + noise])).all()


def test_the_true_peak_is_nearly_always_a_candidate():
    generator = np.random.default_rng(0)
    truth = np.array([0.95, 1.0, 0.9, 0.5])
    held = [
        peak_candidates(np.concatenate([seen[None], seen + 0.05 * generator.normal(size=(100, 4))]))[1]
        for seen in truth + 0.05 * generator.normal(size=(400, 4))
    ]
    assert np.mean(held) > 0.975


def test_the_largest_of_equal_values_does_not_read_high():
    generator = np.random.default_rng(0)
    found = []
    for seen in generator.normal(size=(400, 9)):
        found.append(largest(np.concatenate([seen[None], seen + generator.normal(size=(100, 9))])))
    value, lower, upper = np.array(found).T
    assert 0.4 < (value > 0).mean() < 0.6
    assert ((lower <= 0) & (upper >= 0)).mean() > least_coverage(400)


def test_first_below():
    excess = np.array([2.0, 1.0, -1.0, 1.0, -3.0])
    starts = first_below(np.tile(excess, (5, 1)))
    np.testing.assert_allclose(starts, [1.5, 1.5, 2.0, 3.25, 4.0])
    assert np.isnan(first_below(np.ones((3, 3)))).all()


def test_a_half_that_is_never_reached_is_not_there():
    curve = np.array([4.0, 3.5, 3.0])
    draws = np.repeat(curve[None], 5, axis=0) + 1e-3 * np.random.default_rng(0).normal(size=(5, 3))
    value, _, upper = at_crossing(draws, draws[:, None, :] - 0.5 * draws[:, :, None])
    assert np.isnan(value)
    assert upper == 2


def test_intervals_need_replicates_that_exist():
    draws = np.random.default_rng(0).normal(size=(101, 2))
    draws[1:12, 1] = np.nan
    _, lower, upper = normal(draws)
    assert np.isfinite([lower[0], upper[0]]).all()
    assert np.isnan([lower[1], upper[1]]).all()


def test_few_tasks_say_little_about_an_ordering():
    exact = np.tile(np.arange(6.0), (20, 1))
    value, lower, upper, p_value = associate(exact, exact)
    assert (value, upper, p_value) == (1, pytest.approx(1, abs=0.02), pytest.approx(2 / 720))
    assert 0.6 < lower < 0.75
    value, lower, upper, p_value = associate(exact[:, :3], exact[:, :3])
    assert (value, p_value) == (1, pytest.approx(2 / 6))
    assert lower < -0.5
    assert np.isnan(associate(exact[:, :2], exact[:, :2])).all()


def test_intervals_of_associations_hold_the_correlation_of_the_population():
    generator = np.random.default_rng(0)
    truth, tasks, held = 0.7, 6, []
    of_ranks = 6 / np.pi * np.arcsin(truth / 2)
    for _ in range(400):
        one, other = generator.normal(size=(2, tasks))
        pair = one, truth * one + np.sqrt(1 - truth**2) * other
        seen = [x + 0.3 * generator.normal(size=tasks) for x in pair]
        draws = [np.concatenate([x[None], x + 0.3 * generator.normal(size=(50, tasks))]) for x in seen]
        _, lower, upper, _ = associate(*draws)
        held.append(lower <= of_ranks <= upper)
    assert np.mean(held) > least_coverage(400)
