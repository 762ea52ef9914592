"""Paired differences between two conditions."""

import json

import jax
import numpy as np
import pytest

from pid_jax import (
    BROJA,
    MMI,
    OAS,
    PCA,
    Block,
    NoCorrection,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    compare_pid,
    estimate_pid,
    gaussian_pid,
)
from pid_jax.inference.influence import influence_of_rows
from pid_jax.pid.atoms import QUANTITIES, quantities_of
from pid_jax.testing.problems import random_channel
from pid_jax.testing.systems import parallel_channels

SPEC = PIDSpec(NoReduction(), NoGaussianization())
DIMS = (2, 2, 2)
BEFORE = random_channel(np.random.default_rng(0), DIMS, (1.0, 0.6)).cov
AFTER = random_channel(np.random.default_rng(1), DIMS, (0.8, 0.8)).cov
N = 400


def pairs(sets, first=BEFORE, second=AFTER, samples=N, seed=0, correlation=0.9):
    """Rows of both conditions, with noise that they share in part."""
    shared, own = np.random.default_rng(seed).standard_normal((2, sets, samples, 6))
    noises = shared, correlation * shared + np.sqrt(1 - correlation**2) * own
    covs = (first, second)
    return [np.split(x @ np.linalg.cholesky(c).T, 3, axis=-1) for x, c in zip(noises, covs, strict=True)]


def stacked(values):
    return np.stack([np.asarray(getattr(values, name)) for name in QUANTITIES], axis=-1)


def truth(cov):
    found = gaussian_pid(cov, DIMS)
    return stacked(quantities_of(found.atoms, found.information))


@pytest.mark.slow
@pytest.mark.parametrize("after", [BEFORE, AFTER])
def test_intervals_hold_the_difference(after, key):
    """Of 150 intervals of each quantity 142.5 are expected; 132 is four standard deviations below."""
    found = compare_pid(*pairs(150, second=after), spec=SPEC, key=key, resamples=100)
    real = truth(after) - truth(BEFORE)
    inside = (stacked(found.lower) <= real) & (stacked(found.upper) >= real)
    assert (inside.sum(axis=0) >= 132).all()
    assert inside.sum() < 7 * 150
    spread = stacked(found.difference).std(axis=0)
    np.testing.assert_allclose(stacked(found.standard_error).mean(axis=0), spread, rtol=0.3)
    is_outside = (stacked(found.lower) > 0) | (stacked(found.upper) < 0)
    np.testing.assert_array_equal(stacked(found.p_value) < 0.05, is_outside)


@pytest.mark.slow
def test_pairs_are_sharper_than_two_studies(key):
    together = compare_pid(*pairs(5, second=BEFORE), spec=SPEC, key=key, resamples=100)
    apart = compare_pid(*pairs(5, second=BEFORE, correlation=0.0), spec=SPEC, key=key, resamples=100)
    assert stacked(together.standard_error).mean() < 0.8 * stacked(apart.standard_error).mean()


@pytest.mark.slow
def test_the_same_condition_twice_does_not_differ(key):
    before, _ = pairs(3)
    found = compare_pid(before, before, spec=SPEC, key=key, resamples=50)
    for name in ("difference", "lower", "upper"):
        np.testing.assert_array_equal(stacked(getattr(found, name)), 0)
    np.testing.assert_array_equal(stacked(found.p_value), 1)
    np.testing.assert_array_equal(stacked(found.family_wise), 1)


@pytest.mark.slow
def test_a_source_that_is_ahead_everywhere_leaves_no_false_difference(key):
    """unique_2 is zero in all samples or nearly so: its slope is zero, and what its correction leaves is no finding."""
    problem = parallel_channels(np.full(2, 2.0), 0.5, 0.5).problem
    found = compare_pid(*pairs(40, problem.cov, problem.cov), spec=SPEC, key=key, resamples=100)
    assert (found.p_value.unique_2 < 0.05).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_differences_are_those_of_both_estimates_and_axes_are_kept(key):
    before, after = pairs(6)
    shaped = [[x.reshape(2, 3, N, 2) for x in one] for one in (before, after)]
    found = compare_pid(*shaped, spec=SPEC, key=key, resamples=50)
    for_estimate, _ = jax.random.split(key)
    one, other = (estimate_pid(*x, spec=SPEC, key=for_estimate) for x in shaped)
    np.testing.assert_allclose(found.difference.synergy, other.atoms.synergy - one.atoms.synergy, atol=1e-12)
    np.testing.assert_allclose(found.difference.i_12, other.information.i_12 - one.information.i_12, atol=1e-12)
    assert found.baseline.atoms.synergy.shape == found.family_wise.synergy.shape == (2, 3)
    assert json.loads(json.dumps(found.settings))["resamples"] == 50
    bits = found.in_bits()
    np.testing.assert_allclose(bits.lower.i_12, found.lower.i_12 / np.log(2))
    assert bits.baseline.unit == "bits"
    assert "PIDComparison of 6 problems, intervention − baseline in nats" in repr(found)


@pytest.mark.slow
def test_one_problem_shows_its_p_values(key):
    assert "p = " in repr(compare_pid(*([x[0] for x in c] for c in pairs(1)), spec=SPEC, key=key, resamples=50))


@pytest.mark.slow
def test_the_reduction_is_that_of_the_baseline(key):
    """An intervention that turns the features is seen by the baseline's components, and not by its own."""
    rng = np.random.default_rng(2)
    before, _ = pairs(1)
    wide = [np.concatenate([3 * x[0], rng.standard_normal((N, 2))], axis=-1) for x in before]
    turned = [np.concatenate([x[:, 2:], x[:, :2]], axis=-1) for x in wide]
    spec = PIDSpec(PCA(dim=2), NoGaussianization())
    shared, own = (
        compare_pid(wide, turned, spec=spec, key=key, resamples=50, share_reduction=share) for share in (True, False)
    )
    np.testing.assert_allclose(stacked(own.difference), 0, atol=1e-9)
    assert shared.difference.i_12 < -0.3
    fewer = [x[:, :3] for x in turned]
    assert compare_pid(wide, fewer, spec=spec, key=key, resamples=50, share_reduction=False).difference.i_12 is not None
    with pytest.raises(ValueError, match="share_reduction=False"):
        compare_pid(wide, fewer, spec=spec, key=key, resamples=50)


def test_influences_are_what_leaving_a_row_out_changes():
    """To first order: n (T − T_without), from decompositions with every row left out in turn."""
    rows = np.random.default_rng(3).multivariate_normal(np.zeros(6), BEFORE, size=300)
    for measure in (BROJA(), MMI()):
        cov = np.cov(rows.T)
        linear = stacked(influence_of_rows(cov[None], DIMS, measure, rows[None]))[0]
        without = np.stack([np.cov(np.delete(rows, i, axis=0).T) for i in range(300)])
        left = gaussian_pid(without, DIMS, redundancy=measure)
        values = stacked(quantities_of(left.atoms, left.information))
        exact = -299 * (values - values.mean(axis=0))
        assert np.abs(linear - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.slow
def test_blocks_see_rows_that_depend_on_their_neighbors(key):
    before, after = pairs(2, samples=N + 3)
    smooth = [[sum(x[:, i : N + i] for i in range(4)) for x in one] for one in (before, after)]
    with pytest.warns(UserWarning, match=r"blocks=Block\(length\)"):
        rows = compare_pid(*smooth, spec=SPEC, key=key, resamples=200)
    blocks = compare_pid(*smooth, spec=SPEC, key=key, resamples=200, blocks=Block(20))
    assert not blocks.notes
    assert stacked(blocks.standard_error).mean() > 1.2 * stacked(rows.standard_error).mean()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"ids": (["a", "b"], ["a", "c"])}, ValueError, r"1 are in the baseline only, such as \['b'\]"),
        ({"ids": (range(N), range(N + 1))}, ValueError, r"1 are in the intervention only, such as \[400\]"),
        ({"ids": (range(N), range(N - 1, -1, -1))}, ValueError, r"different order, first in row 0: 0 in the baseline"),
        ({"ids": ([1] * N, [1] * N)}, ValueError, r"ids of the baseline repeat 1"),
        ({"ids": (range(9), range(9))}, ValueError, r"name 9 samples, there are 400 rows"),
        ({"ids": 3}, TypeError, r"ids needs those of the baseline and of the intervention"),
        ({"key": 0}, TypeError, r"key needs a JAX random key"),
        ({"blocks": 3}, TypeError, r"blocks needs Block\(length\) or None"),
        ({"blocks": Block(200)}, ValueError, r"leaves fewer than 5 blocks in 400 rows"),
        ({"resamples": 49}, ValueError, r"resamples=49 are too few.*at least 50"),
        ({"level": 2.0}, ValueError, r"level needs a number between 0 and 1"),
        ({"spec": PIDSpec(NoReduction(), covariance=OAS())}, ValueError, r"covariance=SampleCovariance\(\)"),
        ({"spec": PIDSpec(NoReduction(), bias_correction=NoCorrection())}, ValueError, r"bias_correction"),
    ],
)
def test_bad_arguments(changes, kind, message, key):
    before, after = ([x[0] for x in one] for one in pairs(1))
    with pytest.raises(kind, match=message):
        compare_pid(before, after, **({"spec": SPEC, "key": key, "resamples": 50} | changes))


def test_bad_conditions(key):
    before, after = ([x[0] for x in one] for one in pairs(1))
    options = {"spec": SPEC, "key": key, "resamples": 50}
    with pytest.raises(TypeError, match=r"intervention.*\(source_1, source_2, target\)"):
        compare_pid(before, after[0], **options)
    with pytest.raises(ValueError, match=r"intervention.*source_1"):
        compare_pid(before, [x[1:] for x in after], **options)
    with pytest.raises(ValueError, match=r"intervention.*source_2.*axes.*\(1,\)"):
        compare_pid(before, [after[0], after[1][None], after[2]], **options)
    with pytest.raises(ValueError, match=r"intervention.*target.*NaN"):
        compare_pid(before, [*after[:2], np.where(np.arange(N)[:, None] == 3, [np.nan, 1.0], after[2])], **options)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_replicates_of_too_few_different_rows_are_no_evidence(key):
    """Adjusted p-values are no smaller than single ones, but for what both take from normal and drawn errors."""
    found = compare_pid(*pairs(2, samples=11), spec=SPEC, key=key, resamples=100)
    for name in QUANTITIES:
        single, adjusted = getattr(found.p_value, name), getattr(found.family_wise, name)
        assert (adjusted > 0.5 * single).all()
    assert any("repeated" in note for note in found.notes)
