"""Whitening, ranks, statuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pid_jax.gaussian.joint import JointGaussian, whiten, whiten_psd
from pid_jax.precision import double_precision
from pid_jax.status import Status
from tests.strategies import SMALL, Problem, apply_maps, linear_map, pad, symmetric

pytestmark = pytest.mark.filterwarnings("error")

RANK_CUT = 1e-13


@jax.jit
def _whiten_all(covs):
    return jax.vmap(lambda cov: whiten(JointGaussian(cov, SMALL), RANK_CUT))(covs)


def whitened(covs):
    """Whiten up to eight problems with one compiled program."""
    padded = np.zeros((8, sum(SMALL), sum(SMALL)))
    padded[: len(covs)] = covs
    with double_precision():
        return jax.tree.map(lambda x: np.asarray(x)[: len(covs)], _whiten_all(jnp.asarray(padded)))


@pytest.fixture
def cov() -> np.ndarray:
    factor = np.random.default_rng(0).normal(size=(12, 24))
    return symmetric(factor @ factor.T / 24)


def canonical_correlations(cov, rows, columns):
    root_1, root_2 = (np.linalg.inv(np.linalg.cholesky(cov[np.ix_(at, at)])) for at in (rows, columns))
    return np.linalg.svd(root_1 @ cov[np.ix_(rows, columns)] @ root_2.T, compute_uv=False)


def test_singular_values_of_the_cross_blocks_are_canonical_correlations(cov):
    result = whitened([cov])
    sources, target = np.arange(8), np.arange(8, 12)
    for cross, rows in (
        (result.cross_t1, sources[:4]),
        (result.cross_t2, sources[4:]),
        (result.cross_t12, sources),
    ):
        expected = canonical_correlations(cov, target, rows)
        np.testing.assert_allclose(np.linalg.svd(cross[0], compute_uv=False), expected, atol=1e-13)
    assert result.keep_1.all()
    assert result.keep_2.all()
    assert result.status == [Status.OK]


def test_cross_blocks_share_one_whitened_target(cov):
    result = whitened([cov])
    known = [cross[0] @ cross[0].T for cross in (result.cross_t1, result.cross_t2, result.cross_t12)]
    for part in known[:2]:
        assert scipy.linalg.eigvalsh(known[2] - part).min() >= -1e-13


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_units_of_single_coordinates_decide_nothing(cov, scale):
    units = np.ones(12)
    units[[0, 5, 10]] = scale
    original, rescaled = whitened([cov]), whitened([cov * units[:, None] * units])
    for name in ("cross_t1", "cross_t2", "cross_t12"):
        np.testing.assert_allclose(
            np.linalg.svd(getattr(rescaled, name)[0], compute_uv=False),
            np.linalg.svd(getattr(original, name)[0], compute_uv=False),
            atol=1e-12,
        )
    assert rescaled.status == [Status.OK]


def test_directions_without_variance_are_dropped(cov):
    rng = np.random.default_rng(1)
    maps = [linear_map(rng, 4, 2, 10.0), linear_map(rng, 4, 3, 10.0), linear_map(rng, 4, 1, 1.0)]
    rows = [0, 1, 4, 5, 6, 8]
    inner = Problem(cov[np.ix_(rows, rows)], (2, 3, 1))
    result = whitened([apply_maps(inner, maps).cov, pad(inner, SMALL)])
    np.testing.assert_array_equal(result.keep_1.sum(axis=1), [2, 2])
    np.testing.assert_array_equal(result.keep_2.sum(axis=1), [3, 3])
    embedded, padded = np.linalg.svd(result.cross_t12, compute_uv=False)
    np.testing.assert_allclose(embedded, padded, atol=1e-13)
    assert np.count_nonzero(embedded > 1e-12) == 1


def test_whitening_map_whitens_its_range(cov):
    with double_precision():
        singular = cov[:4, :2] @ cov[:2, :4]
        transform, keep = (np.asarray(x) for x in whiten_psd(jnp.asarray(singular), RANK_CUT))
    np.testing.assert_allclose(transform @ singular @ transform.T, np.diag(keep.astype(float)), atol=1e-12)
    assert keep.sum() == 2
    np.testing.assert_array_equal(transform[~keep], 0)


def changed(cov, row, column, value):
    result = cov.copy()
    result[row, column] = result[column, row] = value
    return result


def test_statuses(cov):
    indefinite = changed(cov, 0, 8, 1.01 * np.sqrt(cov[0, 0] * cov[8, 8]))
    copy = np.concatenate([np.eye(12)[:8], np.eye(12)[:1], np.eye(12)[9:]])
    cases = {
        "as it is": (cov, Status.OK),
        "no variance at all": (np.zeros((12, 12)), Status.OK),
        "NaN": (changed(cov, 1, 2, np.nan), Status.NOT_FINITE),
        "infinite": (changed(cov, 3, 3, np.inf), Status.NOT_FINITE),
        "correlation above one": (indefinite, Status.NOT_PSD),
        "target holds a copy of a source coordinate": (symmetric(copy @ cov @ copy.T), Status.INFINITE_INFORMATION),
    }
    found = whitened([case[0] for case in cases.values()]).status
    assert dict(zip(cases, found, strict=True)) == {name: status for name, (_, status) in cases.items()}


def test_covariance_without_variance_is_not_psd(cov):
    """A coordinate without variance has no covariance with anything either."""
    assert whitened([changed(cov, 0, 0, 0.0)]).status == [Status.NOT_PSD]
