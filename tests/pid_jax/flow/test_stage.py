"""The stages in front of a flow: linear maps to independent components where samples call for them, splines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.flow.stage import fit_stages, independent_components, stage_forward, stage_inverse, stages_forward

SIZE = 5


def heavy_tailed(seed, n=3000, size=SIZE):
    rng = np.random.default_rng(seed)
    return np.sinh(1.5 * rng.normal(size=(n, size))), np.linalg.qr(rng.normal(size=(size, size)))[0]


def standardized(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def fit(x, unmixings=2, is_mixed=True):
    x = jnp.asarray(standardized(x), jnp.float32)
    is_held_out = np.arange(len(x)) % 10 == 0
    settings = {"knots": 15, "unmixings": unmixings}
    return fit_stages(x[~is_held_out], x[is_held_out], jnp.float32(1e-5), jnp.asarray(is_mixed), **settings), x


def test_components_of_a_mixture_are_found():
    sources, mixing = heavy_tailed(0)
    found = independent_components(jnp.asarray(sources @ mixing))
    assert found.has_converged
    gains = np.abs(mixing @ np.asarray(found.matrix)) * sources.std(axis=0)[:, None]
    assert np.sort(gains, axis=0)[-1] == pytest.approx(1, abs=0.05)
    assert (np.sort(gains, axis=0)[:-1] < 0.1).all()


def test_components_that_are_the_coordinates_keep_their_order():
    sources, _ = heavy_tailed(1)
    found = independent_components(jnp.asarray(standardized(sources)))
    assert np.asarray(jnp.abs(found.matrix).argmax(axis=0)).tolist() == list(range(SIZE))


def test_singular_samples_have_no_components():
    sources, _ = heavy_tailed(2)
    sources[:, 1] = sources[:, 0]
    assert not independent_components(jnp.asarray(sources)).is_regular


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_a_rotated_basis_is_undone_by_the_first_stage(seed):
    sources, mixing = heavy_tailed(seed)
    stages, x = fit(sources @ mixing)
    assert stages[0].is_unmixing
    scores = np.asarray(stages_forward(stages, x)[0])
    truth = np.arcsinh(sources) / 1.5
    assert np.sort(np.abs(np.corrcoef(scores.T, truth.T)[:SIZE, SIZE:]), axis=0)[-1].min() > 0.98


def bimodal_among_normal(seed):
    rng = np.random.default_rng(seed)
    sources = rng.normal(size=(1000, 8))
    sources[:, :2] += 3 * np.tanh(4 * sources[:, :2])
    return sources, standardized(sources) @ np.linalg.qr(rng.normal(size=(8, 8)))[0]


@pytest.mark.parametrize("seed", range(8, 20))
def test_components_are_white_whether_or_not_the_search_converges(seed):
    """Directions of normal components have almost no gradient: the axes of an iteration may be nearly singular."""
    found = independent_components(jnp.asarray(bimodal_among_normal(seed)[1], jnp.float32))
    components = bimodal_among_normal(seed)[1] @ np.asarray(found.matrix, float)
    np.testing.assert_allclose(np.cov(components.T, bias=True), np.eye(8), atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [8, 13, 14, 15])
def test_a_few_bimodal_components_are_found_among_normal_ones(seed):
    """Axes of the normal components keep turning, and the search need not converge."""
    sources, mixed = bimodal_among_normal(seed)
    stages, x = fit(mixed)
    assert stages[0].is_unmixing
    images = np.asarray(stage_forward(stages[0], x)[0])
    found = np.abs(np.corrcoef(images.T, sources[:, :2].T)[:8, 8:])
    assert found.max(axis=0).min() > 0.9


@pytest.mark.slow
def test_mixed_components_behind_warped_coordinates_are_undone_by_the_second_stage():
    """Neither a linear map nor single coordinates are enough: warp of (rotation of (warp of independent normals))."""
    rng = np.random.default_rng(5)
    normal = rng.normal(size=(4000, SIZE))
    mixing = np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0]
    stages, x = fit(np.exp(0.8 * standardized(np.cbrt(normal) @ mixing)))
    assert not stages[0].is_unmixing
    assert stages[1].is_unmixing
    scores = np.asarray(stages_forward(stages, x)[0])
    assert np.sort(np.abs(np.corrcoef(scores.T, normal.T)[:SIZE, SIZE:]), axis=0)[-1].min() > 0.9


@pytest.mark.slow
def test_gaussian_samples_are_hardly_ever_unmixed():
    """A gain of two standard errors arises by chance in about 2 % of the comparisons."""
    fits = [fit(np.random.default_rng(seed).normal(size=(2000, SIZE)))[0] for seed in range(20)]
    assert sum(bool(stage.is_unmixing) for stages in fits for stage in stages) <= 4
    assert all(bool(stages[1].is_used) == bool(stages[1].is_unmixing) for stages in fits)


@pytest.mark.slow
def test_linear_maps_can_be_forbidden():
    sources, mixing = heavy_tailed(6)
    for stages in (fit(sources @ mixing, is_mixed=False)[0], fit(sources @ mixing, unmixings=0)[0]):
        assert not any(bool(stage.is_unmixing) for stage in stages)
    assert len(fit(sources, unmixings=0)[0]) == 1


@pytest.mark.slow
def test_a_stage_is_a_bijection_with_its_jacobian():
    sources, mixing = heavy_tailed(7)
    stage, x = fit(sources @ mixing, unmixings=1)
    (stage,) = stage
    some = x[:40]
    y, log_det = stage_forward(stage, some)
    assert np.asarray(stage_inverse(stage, y)) == pytest.approx(np.asarray(some), abs=2e-3)
    jacobian = jax.vmap(jax.jacfwd(lambda row: stage_forward(stage, row[None])[0][0]))(some)
    assert np.asarray(log_det) == pytest.approx(np.linalg.slogdet(np.asarray(jacobian))[1], abs=1e-3)
