"""Randomized components against exact ones, and their bound against the true angle."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.reduce.krylov import fit_basis_randomized
from pid_jax.reduce.pca import fit_basis, project
from pid_jax.reduce.solve import SMALL, fit_reduction, is_exact
from pid_jax.runtime.precision import double_precision
from pid_jax.settings.estimate import PCA, Exact, Randomized

pytestmark = pytest.mark.filterwarnings("error")

DIM, TOLERANCE, RANK_CUT = 6, 1e-3, 1e-10
SHAPES = [(400, 250), (250, 400)]
OPTIONS = {"oversample": 4, "power_iterations": 7, "tolerance": TOLERANCE, "restarts": 3}


@partial(jax.jit, static_argnames=("oversample", "power_iterations", "restarts"))
def _fit(samples, key, **options):
    basis = fit_basis_randomized(samples, DIM, RANK_CUT, key, **options)
    return basis, project(samples, basis)


def fitted(samples, seed=0, **options):
    with double_precision():
        return jax.tree.map(np.asarray, _fit(jnp.asarray(samples), jax.random.key(seed), **OPTIONS | options))


def draw(shape, variances, dtype=np.float64, offset=3.0):
    """Samples whose covariance has exactly these variances, in random directions."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=(shape[0], len(variances)))
    left = np.linalg.qr(left - left.mean(axis=0))[0]
    right = np.linalg.qr(rng.normal(size=(shape[1], len(variances))))[0]
    scores = left * np.sqrt(np.asarray(variances) * (shape[0] - 1))
    return (scores @ right.T + offset * rng.normal(size=shape[1])).astype(dtype)


def angle(samples, axes):
    samples = samples.astype(np.float64)
    exact = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)[2][: axes.shape[1]]
    return float(np.arcsin(min(1.0, np.linalg.norm(axes - exact.T @ (exact @ axes), 2))))


def power_law(exponent, count=200):
    return np.arange(1.0, count + 1) ** -exponent


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [0.5, 1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_subspace_is_the_exact_one_within_the_bound(shape, exponent, dtype):
    variances = power_law(exponent)
    samples = draw(shape, variances, dtype)
    basis, reduced = fitted(samples)
    true = angle(samples, basis.axes)
    assert true <= basis.angle <= TOLERANCE
    assert basis.rank == reduced.rank == DIM
    np.testing.assert_allclose(basis.axes.T @ basis.axes, np.eye(DIM), atol=1e-6)
    np.testing.assert_allclose(basis.variances, variances[:DIM], rtol=1e-5)
    np.testing.assert_allclose(reduced.explained_variance, variances[:DIM].sum() / variances.sum(), rtol=1e-5)
    largest = basis.axes[np.abs(basis.axes).argmax(axis=0), range(DIM)]
    assert (largest > 0).all()


@pytest.mark.slow
def test_axes_and_scores_are_those_of_the_exact_solver():
    samples = draw(SHAPES[0], 2.0 ** -np.arange(30))
    basis, reduced = fitted(samples, tolerance=1e-9)
    with double_precision():
        exact = fit_basis(jnp.asarray(samples), DIM, RANK_CUT)
        np.testing.assert_allclose(basis.axes, exact.axes, atol=1e-9)
        np.testing.assert_allclose(reduced.scores, project(jnp.asarray(samples), exact).scores, atol=1e-8)


def test_a_large_mean_does_not_disturb_float32():
    samples = draw(SHAPES[0], power_law(1), np.float32, offset=300.0)
    basis, _ = fitted(samples)
    assert angle(samples, basis.axes) <= TOLERANCE


@pytest.mark.slow
def test_restarts_close_a_weak_gap():
    samples = draw(SHAPES[0], power_law(0.1))
    once, _ = fitted(samples, power_iterations=2, tolerance=0.99)
    often, _ = fitted(samples, power_iterations=2, restarts=60)
    assert once.angle > TOLERANCE
    assert angle(samples, often.axes) <= often.angle <= TOLERANCE


def test_the_bound_says_that_a_subspace_without_a_gap_is_undefined():
    samples = draw(SHAPES[0], np.concatenate([[4.0, 2.0], np.full(50, 1.0)]))
    basis, reduced = fitted(samples)
    assert basis.angle > 0.1
    np.testing.assert_allclose(reduced.explained_variance, 10 / 56, rtol=1e-9)  # which is all that can be asked for


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_components_beyond_the_rank_are_exactly_zero(shape, dtype):
    samples = draw(shape, [3.0, 1.0], dtype)
    basis, reduced = fitted(samples)
    assert basis.rank == reduced.rank == 2
    np.testing.assert_array_equal(reduced.scores[:, 2:], 0)
    np.testing.assert_array_equal(basis.axes[:, 2:], 0)
    assert angle(samples, basis.axes[:, :2]) <= basis.angle <= TOLERANCE
    np.testing.assert_allclose(reduced.explained_variance, 1, rtol=1e-5)


def test_products_that_vanish_exactly_add_no_variance():
    """Whole numbers in two columns: after the first block the Krylov space has nothing to grow by."""
    samples = np.zeros((256, 100))
    samples[::2, 0], samples[::4, 1] = 1.0, 2.0
    basis, reduced = fitted(samples)
    assert basis.rank == 2
    expected = np.linalg.eigvalsh(np.cov(samples[:, :2].T))[::-1]
    np.testing.assert_allclose(basis.variances[:2], expected, rtol=1e-12)
    np.testing.assert_allclose(reduced.explained_variance, 1, rtol=1e-12)


def test_constant_variable_is_zero_without_nan():
    basis, reduced = fitted(np.full((100, 90), 3.25))
    np.testing.assert_array_equal(reduced.scores, 0)
    assert basis.rank == reduced.explained_variance == basis.angle == 0


def test_result_depends_on_the_key_within_the_bound_only():
    samples = draw(SHAPES[0], power_law(1), np.float32)
    first, again, other = (fitted(samples, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.axes, again.axes)
    assert (first.axes != other.axes).any()
    turned = other.axes.astype(float) - first.axes @ (first.axes.T @ other.axes.astype(float))
    assert np.linalg.norm(turned, 2) <= first.angle + other.angle + 1e-6


@pytest.mark.slow
def test_layers_are_mapped_although_they_need_different_restarts():
    layers = np.stack([draw(SHAPES[0], power_law(e)) for e in (0.3, 2)])
    keys = jax.random.split(jax.random.key(3), 2)
    options = OPTIONS | {"power_iterations": 2, "restarts": 20}
    with double_precision():
        together, _ = jax.vmap(partial(_fit, **options))(jnp.asarray(layers), keys)
        for i, layer in enumerate(layers):
            alone, _ = _fit(jnp.asarray(layer), keys[i], **options)
            np.testing.assert_allclose(together.axes[i], alone.axes, atol=1e-7)
            np.testing.assert_allclose(together.angle[i], alone.angle, rtol=1e-3)
            assert alone.angle <= TOLERANCE


@pytest.mark.slow
def test_the_spec_chooses_the_solver():
    large, small = draw((SMALL + 88, SMALL + 9), power_law(1)), draw(SHAPES[0], power_law(1))
    with double_precision():
        for samples, solver, is_krylov in (
            (large, Randomized(), True),
            (large, Exact(), False),
            (small, Randomized(), False),
        ):
            basis = fit_reduction(jnp.asarray(samples), DIM, PCA(solver=solver), jax.random.key(0))
            assert (basis.angle > 0) == is_krylov
            assert angle(samples, np.asarray(basis.axes)) <= TOLERANCE


def test_a_krylov_space_that_would_fill_the_whole_is_not_built():
    assert not is_exact((5000, 4096), 16, PCA())
    assert is_exact((5000, 4096), 300, PCA())
    assert is_exact((5000, SMALL), 16, PCA())
    assert is_exact((SMALL, 4096), 16, PCA())
    assert is_exact((5000, 4096), 16, PCA(solver=Exact()))
