"""Sources as channels of the target, and what their samples show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax import gaussian_pid
from pid_jax.gaussian.channels import all_gains, noise_factor, sample_gains, split_channels
from pid_jax.gaussian.wishart import WhiteFactors, information_bias
from pid_jax.pid.gains import half_log_ratios, information_of_gains
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel, random_readout

SHAPES = [(2, 2, 2), (3, 2, 4), (1, 4, 2), (2, 5, 1), (2, 2, 7)]


def _amounts(gains):
    information = information_of_gains(*gains)
    ratios = half_log_ratios(*gains[:2])
    return jnp.stack([information.i_1, information.i_2, information.i_12, jnp.abs(ratios).sum(), ratios.sum()])


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize("make", [random_channel, random_readout])
def test_channels_have_the_informations_and_unique_atoms_of_the_covariance(make, dims):
    cov, _ = make(np.random.default_rng(3), dims, (0.8, 0.5))
    with double_precision():
        found = np.asarray(_amounts(all_gains(split_channels(jnp.asarray(cov), dims))))
    known = gaussian_pid(cov, dims)
    information, atoms = known.information, known.atoms
    expected = [information.i_1, information.i_2, information.i_12, atoms.unique_1 + atoms.unique_2]
    np.testing.assert_allclose(found, [*expected, information.i_2 - information.i_1], atol=1e-12)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dims", SHAPES)
def test_gains_of_samples_are_those_of_the_sample_covariance(dims):
    """The same white noise, once through the triangular factor and once through a covariance that is factored anew."""
    first = dims[0] + dims[1]
    cov, _ = random_channel(np.random.default_rng(4), dims, (1.0, 0.7))
    (white,) = WhiteFactors(jax.random.key(0), sum(dims), 49).draw(1)
    order = np.r_[first : sum(dims), 0:first]  # target first
    root = np.linalg.cholesky(cov[np.ix_(order, order)])
    sampled = np.empty_like(cov)
    sampled[np.ix_(order, order)] = root @ white @ white.T @ root.T / 49
    with double_precision():
        channels = split_channels(jnp.asarray(cov), dims)
        found = _amounts(sample_gains(channels, noise_factor(channels), jnp.asarray(white)))
        expected = _amounts(all_gains(split_channels(jnp.asarray(sampled), dims)))
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-10)


def test_white_factors_have_the_moments_of_a_wishart_matrix():
    """E W Wᵀ = f I, and the variance of a diagonal entry is 2 f; tolerances of five standard errors."""
    factors = WhiteFactors(jax.random.key(1), 4, 30).draw(4000)
    products = factors @ np.swapaxes(factors, -1, -2)
    np.testing.assert_allclose(products.mean(axis=0), 30 * np.eye(4), atol=5 * np.sqrt(60 / 4000))
    variances = products[:, range(4), range(4)].var(axis=0)
    np.testing.assert_allclose(variances, 60, rtol=5 * np.sqrt(3.0 / 4000))


def test_bias_of_information_is_that_of_sample_covariances():
    """The means of 4000 sample covariances, within five standard errors."""
    dims, freedom = (3, 2, 4), 39
    cov, _ = random_channel(np.random.default_rng(5), dims, (1.0, 0.7))
    whites = WhiteFactors(jax.random.key(3), 9, freedom).draw(4000)
    with double_precision():
        channels = split_channels(jnp.asarray(cov), dims)
        root = noise_factor(channels)
        of = jax.jit(jax.vmap(lambda white: information_of_gains(*sample_gains(channels, root, white))))
        found = of(jnp.asarray(whites))
        truth, bias = information_of_gains(*all_gains(channels)), information_bias(float(freedom), dims)
    for sampled, known, off in zip(*(jax.tree.leaves(x) for x in (found, truth, bias)), strict=True):
        error = np.asarray(sampled) - float(known)
        assert abs(error.mean() - float(off)) < 5 * error.std() / np.sqrt(4000)
        assert float(off) > 0.05
