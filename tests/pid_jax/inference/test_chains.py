"""Chains have the density of the model, their agreement is seen, and what t distributions add is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import halfcauchy, multivariate_t

from pid_jax import LKJ, InverseWishart
from pid_jax.gaussian.student import student_scatter, tail_information
from pid_jax.inference.chains import effective_draws, gaussian_evidence, potential_scale_reduction, run_chains
from pid_jax.inference.posterior_draws import conjugate_covariances
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel

COV, _ = random_channel(np.random.default_rng(0), (2, 1, 2), (1.0, 0.6))


def minors(cov):
    """Log determinants of the leading blocks: they show every factor of a density of covariances, scale included."""
    return np.stack([np.linalg.slogdet(cov[:, :j, :j])[1] for j in range(1, cov.shape[-1] + 1)], axis=-1)


def chain_minors(samples, numbers, prior, draws, key):
    with double_precision():
        evidence = gaussian_evidence(COV, samples - 1.0)
        cov, _, _ = run_chains(key, evidence, numbers, prior=prior, warmup=300, chains=4, thinning=3, draws=draws)
        return minors(np.asarray(cov).reshape(-1, 5, 5))


@pytest.mark.slow
def test_chains_of_few_samples_have_the_density_of_the_prior(key):
    """Exact draws, weighted by LKJ's density over Jeffreys' for LKJ, have the means of the chains."""
    first, second, third = jax.random.split(key, 3)
    samples, exact = 25, conjugate_covariances(COV, 25, 0.0, 40_000, first)
    values = minors(exact)
    for numbers, prior, draws, one in (((0.0,), InverseWishart, 500, second), ((2.0, 0.7), LKJ, 250, third)):
        log_weight = np.zeros(len(exact))
        if prior is LKJ:
            s = np.sqrt(np.diagonal(exact, axis1=1, axis2=2))
            log_determinant = values[:, -1]
            in_units = s / np.sqrt(np.diag(COV))
            log_weight = (log_determinant - 2 * np.log(s).sum(axis=1)) * (2.0 - 1) + (5 + 1) / 2 * log_determinant
            log_weight += (halfcauchy.logpdf(in_units, scale=0.7) - 5 * np.log(s)).sum(axis=1)
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        mean = weight @ values
        variance = weight @ (values - mean) ** 2
        found = chain_minors(samples, numbers, prior, draws, one)
        error = np.sqrt(variance * ((weight**2).sum() + 1 / (0.7 * len(found))))
        assert (np.abs(found.mean(axis=0) - mean) < 4 * error).all()
        np.testing.assert_allclose(found.std(axis=0), np.sqrt(variance), rtol=0.12)


def test_tail_information_is_the_whole_of_uncorrelated_t_variables():
    """The mean of log p(x, y) / p(x) p(y) over 200,000 draws, with its standard error; and none for a large ν."""
    dims, freedom = (2, 1, 1), 3.0
    rows = multivariate_t(np.zeros(4), np.eye(4), df=freedom, seed=2).rvs(200_000)
    found = tail_information(jnp.asarray(freedom), dims)
    for at, value in (([0, 1], found.i_1), ([2], found.i_2), ([0, 1, 2], found.i_12)):
        log_densities = [
            multivariate_t(np.zeros(len(part)), np.eye(len(part)), df=freedom).logpdf(rows[:, part])
            for part in ([*at, 3], at, [3])
        ]
        ratio = log_densities[0] - log_densities[1] - log_densities[2]
        assert abs(ratio.mean() - value) < 4 * ratio.std() / np.sqrt(len(ratio))
        assert value > 0.03
    assert abs(tail_information(jnp.asarray(1e3), dims).i_12) < 1e-3


def test_robust_scatter_is_that_of_the_distribution():
    rows = multivariate_t(np.full(5, 2.0), COV, df=1.5, seed=3).rvs(20_000)
    location, root = student_scatter(jnp.asarray(rows, jnp.float32), 1.5)
    np.testing.assert_allclose(location, 2, atol=0.08)
    np.testing.assert_allclose(root @ root.T, COV, atol=0.12)


def test_chains_that_disagree_are_noticed():
    rng = np.random.default_rng(0)
    white = rng.standard_normal((4, 500, 3))
    assert (potential_scale_reduction(white) < 1.01).all()
    assert (np.abs(effective_draws(white) / 2000 - 1) < 0.25).all()
    moved, wider = white.copy(), white.copy()
    moved[0] += 1
    wider[0] *= 3
    assert (potential_scale_reduction(moved) > 1.05).all()
    assert (potential_scale_reduction(wider) > 1.05).all()
    slow = np.cumsum(rng.standard_normal((4, 500)), axis=1)
    assert effective_draws(slow) < 50
    assert np.isnan(potential_scale_reduction(np.zeros((4, 10))))
    assert potential_scale_reduction(np.tile(np.arange(4.0)[:, None], 10)) == np.inf
