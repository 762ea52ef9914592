"""Covariance estimators against scikit-learn and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.covariance

from pid_jax.decompose.result import PIDEstimate
from pid_jax.estimate.samples import estimate_pid
from pid_jax.gaussian.covariance import ledoit_wolf, oracle_approximating, sample_covariance
from pid_jax.runtime.precision import double_precision
from pid_jax.settings.estimate import OAS, PCA, LedoitWolf, NoReduction, PIDSpec
from pid_jax.settings.gaussianize import NoGaussianization

pytestmark = pytest.mark.filterwarnings("error")

SHRUNK = {
    "LedoitWolf": (ledoit_wolf, sklearn.covariance.ledoit_wolf),
    "OAS": (oracle_approximating, sklearn.covariance.oas),
}
SPECS = {"LedoitWolf": LedoitWolf(), "OAS": OAS()}


def batch_of_samples(n, size):
    rng = np.random.default_rng(n)
    mixing = rng.normal(size=(3, size, size)) * np.geomspace(0.1, 3, size)
    return rng.standard_t(8, size=(3, n, size)) @ mixing + 5.0


@pytest.mark.parametrize("name", SHRUNK)
@pytest.mark.parametrize(("n", "size"), [(5, 12), (40, 12), (400, 3)])
def test_equal_scikit_learn(name, n, size):
    ours, theirs = SHRUNK[name]
    samples = batch_of_samples(n, size)
    with double_precision():
        covs, amounts = jax.tree.map(np.asarray, jax.jit(jax.vmap(ours))(jnp.asarray(samples)))
    for one, cov, amount in zip(samples, covs, amounts, strict=True):
        expected_cov, expected_amount = theirs(one)
        np.testing.assert_allclose(cov, expected_cov, rtol=0, atol=1e-10)
        np.testing.assert_allclose(amount, expected_amount, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SHRUNK)
def test_samples_without_structure_are_shrunk_wholly_or_not_at_all(name):
    """Equal variances and no correlation: S = μ I, and the amount has no meaning but must be finite."""
    samples = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    with double_precision():
        cov, amount = jax.tree.map(np.asarray, SHRUNK[name][0](jnp.asarray(samples)))
    np.testing.assert_allclose(cov, np.eye(2), atol=1e-15)
    assert amount in (0, 1)


def test_sample_covariance_is_that_of_numpy():
    samples = batch_of_samples(40, 5)[0]
    with double_precision():
        cov = np.asarray(sample_covariance(jnp.asarray(samples)))
    np.testing.assert_allclose(cov, np.cov(samples, rowvar=False), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_fewer_samples_than_dimensions_are_decomposed_with_shrinkage(name, key, tmp_path):
    samples = batch_of_samples(20, 36)
    spec = PIDSpec(NoReduction(), NoGaussianization(), SPECS[name])
    estimate = estimate_pid(*np.split(samples, 3, axis=-1), spec=spec, key=key)
    assert estimate.status.tolist() == [0, 0, 0]
    assert estimate.dims == (12, 12, 12)
    assert estimate.settings["covariance"] == {"method": name}
    for one, cov, amount in zip(samples, estimate.cov, estimate.shrinkage, strict=True):
        expected_cov, expected_amount = SHRUNK[name][1](one)
        np.testing.assert_allclose(cov, expected_cov, rtol=0, atol=1e-10)
        assert 0 < amount == pytest.approx(expected_amount, abs=1e-10)
    loaded = PIDEstimate.load(estimate.save(tmp_path / "estimate.nc"))
    np.testing.assert_array_equal(loaded.shrinkage, estimate.shrinkage)


@pytest.mark.slow
def test_components_are_at_most_those_that_the_samples_span(key):
    """PCA of 10 samples has 9 components, also where 16 are wanted."""
    samples = batch_of_samples(10, 60)
    spec = PIDSpec(PCA(dim=16), covariance=OAS())
    estimate = estimate_pid(*np.split(samples, 3, axis=-1), spec=spec, key=key)
    assert estimate.dims == (9, 9, 9)
    assert (estimate.rank == 9).all()
    np.testing.assert_allclose(estimate.explained_variance, 1, atol=1e-12)
    assert (estimate.status == 0).all()


@pytest.mark.slow
def test_the_sample_covariance_is_not_shrunk(key):
    estimate = estimate_pid(*np.split(batch_of_samples(50, 6)[0], 3, axis=-1), key=key)
    assert estimate.shrinkage == 0
