"""Diagnostics: silent for Gaussian latents, loud where each is meant to be, and named rightly."""

import jax
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

from pid_jax.flow.marginal import gaussianize_copula
from pid_jax.normality.diagnostics import (
    anderson_darling,
    diagnose,
    mardia_kurtosis,
    mardia_skewness,
    norm_correlation,
)
from pid_jax.normality.sentences import ONE_SIDED, SMALLEST_NATS
from pid_jax.normality.white import White
from tests.pid_jax.normality.one_problem import describe

pytestmark = pytest.mark.filterwarnings("error")

CHECKS = (
    "coordinate",
    "variable_skewness",
    "variable_kurtosis",
    "pair_skewness",
    "pair_kurtosis",
    "pair_norms",
    "triple",
)
Z_LIMIT = 4.0
LABELS = ("vision", "language", "answer")


def run(latents, dims=(3, 3, 3)):
    return diagnose(np.asarray(latents, np.float64), dims)


def whiten(samples):
    centered = samples - samples.mean(axis=0)
    return np.linalg.solve(np.linalg.cholesky(centered.T @ centered / len(samples)), centered.T).T


def white(samples):
    """Samples that are white already, as the checks take them."""
    values = np.asarray(samples, np.float64)
    return White(values=values, rank=float(values.shape[1]))


def gaussian(n, seed=0, dim=3):
    """Both sources tell about the target, the first more."""
    z = np.random.default_rng(seed).normal(size=(n, 3 * dim))
    z[:, 2 * dim :] += 0.8 * z[:, :dim] + 0.4 * z[:, dim : 2 * dim]
    return z


def scaled_alike(n, freedom, seed=0):
    """A multivariate t of source_1 and target; source_2 is Gaussian and stands apart."""
    x, rng = gaussian(n, seed), np.random.default_rng(seed + 1)
    scale = np.sqrt(rng.chisquare(freedom, size=(n, 1)) / freedom)
    x[:, 3:6] = rng.normal(size=(n, 3))
    x[:, :3] /= scale
    x[:, 6:] /= scale
    return x


def copula(latents):
    return gaussianize_copula(latents)


def banana(n, seed=0):
    """A normal target whose first coordinate is a wave of a source's; all coordinates are normal by themselves."""
    x = np.random.default_rng(seed).normal(size=(n, 9))
    wave = (x[:, 4] ** 2 - 1) / np.sqrt(2)
    x[:, 6] = copula((wave + 0.7 * x[:, 6])[:, None])[:, 0]
    return x


# Statistics against others


def test_anderson_darling_is_that_of_scipy():
    column = np.random.default_rng(0).gumbel(size=400)
    actual = anderson_darling(column[:, None])[0]
    expected = scipy.stats.anderson(column, method="interpolate").statistic
    assert expected > 1
    assert actual == pytest.approx(expected * (1 + 0.75 / 400 + 2.25 / 400**2), rel=1e-10)


@pytest.mark.parametrize(("n", "dim"), [(300, 4), (300, 1), (40, 9)])
def test_skewness_is_that_of_the_double_sum(n, dim):
    """Both ways of summing; the third case has more squares of dims than samples."""
    samples = whiten(np.random.default_rng(1).logistic(size=(n, dim)))
    actual = mardia_skewness(white(samples))
    z, nats = float(actual.z), float(actual.nats)
    skewness = ((samples @ samples.T) ** 3).mean()
    mean = dim * (dim + 2) * ((n + 1) * (dim + 1) - 6) / ((n + 1) * (n + 3))
    assert nats == pytest.approx((skewness - mean) / 12, rel=1e-10)
    freedom = dim * (dim + 1) * (dim + 2) / 6
    expected = scipy.stats.norm.isf(scipy.stats.chi2.sf(freedom * skewness / mean, freedom))
    assert z == pytest.approx(expected, rel=0.06, abs=0.1)  # the cube root is an approximation


def test_kurtosis_of_one_coordinate_is_that_of_scipy():
    for column in (np.random.default_rng(2).normal(size=2000), np.random.default_rng(2).logistic(size=2000)):
        actual = float(mardia_kurtosis(white(whiten(column[:, None]))).z)
        expected = scipy.stats.kurtosistest(column).statistic
        assert actual == pytest.approx(expected, rel=0.02)


def test_lightest_tails_have_negative_kurtosis():
    """Two points are where the transformation of the kurtosis has its pole behind it."""
    sign = np.where(np.arange(400) % 2, 1.0, -1.0)[:, None]
    with np.errstate(all="ignore"):
        assert float(mardia_kurtosis(white(sign)).z) < -Z_LIMIT


# Gaussian latents


@pytest.mark.slow
@pytest.mark.parametrize(("n", "dim", "repeats"), [(300, 1, 2000), (300, 16, 100)])
def test_false_alarms_are_rare(n, dim, repeats):
    """At 2.5 standard deviations the rates can be counted; they are up to twice nominal by the approximations."""
    found = _many_gaussian(n + dim, n=n, dim=dim, repeats=repeats)
    for name in CHECKS:
        z = np.asarray(getattr(found, name).z)
        is_alarm = z > 2.5 if name in ONE_SIDED else np.abs(z) > 2.5
        nominal = scipy.stats.norm.sf(2.5) * (1 if name in ONE_SIDED else 2)
        error = np.sqrt(2 * nominal / is_alarm.size)
        assert is_alarm.mean() < 2 * nominal + 4 * error, name
        if name != "coordinate":  # there only the large values are standard normal
            assert np.abs(z.mean(axis=0)).max() < 0.1 + 4 / np.sqrt(repeats), name
            assert z.std() == pytest.approx(1, abs=0.13 + 4 / np.sqrt(2 * repeats)), name
    flags = [np.abs(getattr(found, name).z) > Z_LIMIT for name in CHECKS if name not in ONE_SIDED]
    flags += [getattr(found, name).z > Z_LIMIT for name in ONE_SIDED]
    alarms = sum(int(np.asarray(flag).reshape(repeats, -1).any(axis=1).sum()) for flag in flags)
    assert alarms <= 2e-3 * repeats + 4 * np.sqrt(2e-3 * repeats)


def _many_gaussian(seed, *, n, dim, repeats):
    rng = np.random.default_rng(seed)
    mixing = np.eye(3 * dim) + 0.5 * rng.normal(size=(3 * dim, 3 * dim)) / np.sqrt(3 * dim)
    each = [diagnose(rng.normal(size=(n, 3 * dim)) @ mixing, (dim, dim, dim)) for _ in range(repeats)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


@pytest.mark.parametrize("seed", range(4))
def test_gaussian_latents_say_nothing(seed):
    for n in (1000, 5000):
        assert describe(run(gaussian(n, seed))) == ()


# What each check is for


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("n", [1000, 5000])
@pytest.mark.parametrize("freedom", [3, 5])
def test_multivariate_t_shows_after_the_copula(n, freedom):
    """Every coordinate is exactly normal, so only the pair can tell."""
    found = run(copula(scaled_alike(n, freedom)))
    assert found.coordinate.z.max() == 0
    assert found.pair_norms.z[0] > Z_LIMIT
    assert found.pair_norms.nats[0] > SMALLEST_NATS
    sentences = describe(found, LABELS)
    assert any("squared norms of vision and answer go together, as in a multivariate t" in text for text in sentences)
    assert not any("language" in text or "curved" in text for text in sentences)


def test_norms_have_the_correlation_of_a_common_scale():
    """With w = z / √u the log-norms share the variance of log u; for radial maps of each variable it stays."""
    freedom, d = 5, 3
    x = scaled_alike(5000, freedom)
    common = scipy.special.polygamma(1, freedom / 2)
    expected = common / (common + scipy.special.polygamma(1, d / 2))
    r = run(x).pair_norms.z[0] / np.sqrt(len(x))
    assert r == pytest.approx(expected, abs=0.04)


def test_dependence_alone_does_not_correlate_the_norms():
    """Norms of the variables as they are go together in any correlated Gaussian, those of the residual do not."""
    x = gaussian(5000)
    source, target = (whiten(part) for part in (x[:, :3], x[:, 6:]))
    assert scipy.stats.spearmanr((source**2).sum(axis=1), (target**2).sum(axis=1)).statistic > 0.2
    assert np.abs(run(x).pair_norms.z).max() < 3


def test_sizes_that_go_against_each_other():
    x = np.random.default_rng(3).normal(size=(5000, 9))
    x[:, 6:] *= np.exp(-0.5 * (x[:, :3] ** 2).sum(axis=1, keepdims=True) / 3)
    found = run(x)
    assert found.pair_norms.z[0] < -Z_LIMIT
    assert any("squared norms of source_1 and target go against each other" in text for text in describe(found))


@pytest.mark.parametrize("place", range(3))
def test_warped_coordinate_is_found(place):
    x = gaussian(5000)
    at = 3 * place + 1
    x[:, at] = np.sinh(x[:, at])
    found = run(x)
    assert found.coordinate_at[place] == 1
    assert f"a coordinate of {LABELS[place]} is not normal" in describe(found, LABELS)
    others = [label for label in LABELS if label != LABELS[place]]
    assert not any(f"a coordinate of {label}" in text for text in describe(found, LABELS) for label in others)


def test_banana_with_normal_coordinates_is_found():
    found = run(banana(5000))
    assert found.coordinate.z[2] == 0
    assert found.variable_skewness.z.max() < Z_LIMIT
    (sentence,) = describe(found, LABELS)
    assert "the pair (language, answer) is skewed or curved" in sentence
    assert sentence.endswith("the information of this pair is a lower bound")


def test_lower_bound_is_claimed_for_gaussian_variables_only():
    """An exponential target has its own skewness; the Gaussian information may then be too high."""
    x = banana(5000)
    x[:, 7] = np.exp(x[:, 7])
    about_pair = [text for text in describe(run(x)) if "(source_2, target) is skewed" in text]
    assert about_pair
    assert all(text.endswith("may be too low or too high") for text in about_pair)


def test_a_skewed_variable_is_not_taken_for_a_curved_pair():
    independent = np.random.default_rng(4).normal(size=(5000, 9))
    independent[:, 0] = np.exp(independent[:, 0] / 2)
    found = run(independent)
    assert found.pair_skewness.z[0] > Z_LIMIT
    assert "source_1 is skewed" in describe(found)
    assert not any("pair" in text for text in describe(found))


# Numbers


def test_linear_maps_of_variables_change_coordinates_only():
    x = scaled_alike(1000, 5)
    mixing = scipy.linalg.block_diag(*np.random.default_rng(5).normal(size=(3, 3, 3)))
    one, other = run(x), run(x @ mixing + 7)
    for name in CHECKS[1:]:
        np.testing.assert_allclose(getattr(other, name).z, getattr(one, name).z, rtol=1e-6, atol=1e-8)
    assert not np.allclose(one.coordinate.nats, other.coordinate.nats, rtol=1e-3)


def test_far_outliers_stay_finite():
    x = gaussian(1000)
    x[0, 7] = 1e6
    found = run(x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert found.coordinate.z[2] > 12
    assert found.coordinate_at[2] == 1


def test_singular_variables_are_checked_on_their_range():
    """Columns without variance and sums of others change nothing, and no deviation of the rest is lost."""
    x = banana(2000)
    wide = np.concatenate([x[:, :3], np.full((len(x), 1), 2.0), x[:, 3:], x[:, 6:7] - 2 * x[:, 8:]], axis=1)
    found, alone = run(wide, (4, 3, 4)), run(x)
    for name in CHECKS[1:]:
        np.testing.assert_allclose(getattr(found, name).z, getattr(alone, name).z, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(getattr(found, name).nats, getattr(alone, name).nats, rtol=1e-6, atol=1e-9)
    assert describe(found) == describe(alone) != ()


def test_what_does_not_vary_is_no_finding():
    x = gaussian(500)
    for width in (3, 6, 9):
        x[:, width - 3 : width] = 1.7
        assert describe(run(x)) == ()


def test_more_dimensions_than_samples_are_said():
    x = np.random.default_rng(7).normal(size=(8, 9))
    assert "the shape of the pair (source_1, target) was not checked" in " ".join(describe(run(x[:7])))


def test_equal_rows_are_tied():
    """Twice the same samples, in any order, have the correlation of the samples once."""
    once = whiten(np.random.default_rng(6).normal(size=(200, 4)))
    twice = np.concatenate([once, once[::-1]])
    with np.errstate(all="ignore"):
        one, two = (float(norm_correlation(white(w[:, :2]), white(w[:, 2:])).z) for w in (once, twice))
    assert two / np.sqrt(399) == pytest.approx(one / np.sqrt(199), abs=0.01)
