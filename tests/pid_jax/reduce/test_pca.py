"""Principal components against the singular value decomposition of NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.reduce.pca import fit_basis, keep_all, project
from pid_jax.runtime.precision import double_precision

pytestmark = pytest.mark.filterwarnings("error")

RANK_CUT = 1e-10
DIM = 4
SHAPES = [(40, 6), (9, 25)]


@partial(jax.jit, static_argnames="dim")
def _reduce(samples, rank_cut, *, dim):
    return project(samples, fit_basis(samples, dim, rank_cut))


def reduced(samples, rank_cut=RANK_CUT):
    with double_precision():
        return jax.tree.map(np.asarray, _reduce(jnp.asarray(samples, jnp.float64), rank_cut, dim=DIM))


def draw(shape, rank=None):
    rng = np.random.default_rng(0)
    rank = min(shape) if rank is None else rank
    return rng.normal(size=(shape[0], rank)) @ rng.normal(size=(rank, shape[1])) + rng.normal(size=shape[1])


def svd_scores(samples):
    left, sizes, right = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)
    return left * sizes, sizes**2, right


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_the_svd_up_to_sign(shape):
    samples = draw(shape)
    actual = reduced(samples)
    expected, variances, _ = svd_scores(samples)
    signs = np.sign((actual.scores * expected[:, :DIM]).sum(axis=0))
    np.testing.assert_allclose(actual.scores * signs, expected[:, :DIM], atol=1e-11)
    np.testing.assert_allclose(actual.explained_variance, variances[:DIM].sum() / variances.sum(), rtol=1e-12)
    assert actual.rank == DIM


@pytest.mark.parametrize("shape", SHAPES)
def test_largest_loading_of_every_component_is_positive(shape):
    samples = draw(shape)
    scores = reduced(samples).scores
    loadings = (samples - samples.mean(axis=0)).T @ scores
    assert (loadings[np.abs(loadings).argmax(axis=0), range(DIM)] > 0).all()
    np.testing.assert_allclose(reduced(-samples).scores, -scores, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_components_beyond_the_rank_are_exactly_zero(shape):
    samples = draw(shape, rank=2)
    actual = reduced(samples)
    assert actual.rank == 2
    np.testing.assert_array_equal(actual.scores[:, 2:], 0)
    np.testing.assert_allclose(actual.explained_variance, 1, rtol=1e-12)
    np.testing.assert_allclose(actual.scores[:, :2] ** 2, svd_scores(samples)[0][:, :2] ** 2, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_rounding_noise_of_float32_states_is_no_component(shape):
    samples = draw(shape, rank=2).astype(np.float32)
    assert reduced(samples).rank == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_rank_cut_is_a_fraction_of_the_leading_variance(shape):
    samples = draw(shape)
    variances = svd_scores(samples)[1]
    assert reduced(samples, rank_cut=float(variances[1] / variances[0] * 0.999)).rank == 2
    assert reduced(samples, rank_cut=float(variances[1] / variances[0] * 1.001)).rank == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_variable_is_zero_without_nan(shape):
    actual = reduced(np.full(shape, 3.25))
    np.testing.assert_array_equal(actual.scores, 0)
    assert actual.rank == actual.explained_variance == 0


def test_no_reduction_keeps_every_column():
    samples = draw((40, 6))
    samples[:, 3] = 7.0
    with double_precision():
        actual = jax.tree.map(np.asarray, keep_all(jnp.asarray(samples)))
    np.testing.assert_array_equal(actual.scores, samples)
    assert actual.rank == 5
    assert actual.explained_variance == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_a_basis_projects_other_samples(shape):
    fitted, others = draw(shape), draw(shape)[::-1] * np.linspace(0.5, 2, shape[1]) + 1.0
    _, variances, right = svd_scores(fitted)
    axes = right[:DIM].T * np.sign(right[range(DIM), np.abs(right[:DIM]).argmax(axis=1)])
    with double_precision():
        basis = jax.jit(fit_basis, static_argnums=1)(jnp.asarray(fitted), DIM, RANK_CUT)
        actual = jax.tree.map(np.asarray, jax.jit(project)(jnp.asarray(others), basis))
        np.testing.assert_allclose(basis.axes, axes, atol=1e-11)
        np.testing.assert_allclose(basis.variances, variances[:DIM] / (shape[0] - 1), rtol=1e-11)
        assert basis.angle == 0
    expected = (others - fitted.mean(axis=0)) @ axes
    np.testing.assert_allclose(actual.scores, expected, atol=1e-11)
    kept = expected.var(axis=0).sum() / others.var(axis=0).sum()
    np.testing.assert_allclose(actual.explained_variance, kept, rtol=1e-11)
    assert kept < svd_scores(others)[1][:DIM].sum() / svd_scores(others)[1].sum() - 1e-3  # their own would keep more


@pytest.mark.slow
def test_a_direction_that_other_samples_lack_is_exactly_zero():
    fitted = draw((40, 6)) * [9, 5, 3, 1, 1, 1]
    axes = svd_scores(fitted)[2]
    others = draw((40, 6)) @ (np.eye(6) - np.outer(axes[1], axes[1]))
    with double_precision():
        basis = fit_basis(jnp.asarray(fitted), DIM, RANK_CUT)
        actual = jax.tree.map(np.asarray, project(jnp.asarray(others), basis))
    assert actual.rank == DIM - 1
    np.testing.assert_array_equal((actual.scores == 0).all(axis=0), [False, True, False, False])


@pytest.mark.slow
def test_bases_are_mapped_over_layers():
    layers = np.stack([draw((40, 6)), draw((40, 6), rank=2), np.full((40, 6), 2.0)])
    with double_precision():
        together = jax.vmap(lambda x: project(x, fit_basis(x, DIM, RANK_CUT)))(jnp.asarray(layers))
        assert together.rank.tolist() == [4, 2, 0]
        for scores, layer in zip(together.scores, layers, strict=True):
            np.testing.assert_allclose(scores, reduced(layer).scores, atol=1e-11)
