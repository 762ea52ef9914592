"""Whitening by both routes: canonical correlations, ranks, statuses, derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.gaussian.joint import JointGaussian
from pid_jax.gaussian.status import Status
from pid_jax.gaussian.whiten import whiten, whiten_any_rank, whiten_full_rank, whiten_psd
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import Problem, apply_maps, linear_map, pad, random_wishart, symmetric
from tests.shapes import SMALL

pytestmark = pytest.mark.filterwarnings("error")

RANK_CUT = 1e-13


@partial(jax.jit, static_argnames="route")
def _whiten_all(covs, route):
    return jax.vmap(lambda cov: route(cov, SMALL, RANK_CUT))(covs)


def by_route(route, covs):
    """Whiten up to eight problems with one compiled program; return the whitened and what comes with them."""
    padded = np.zeros((8, sum(SMALL), sum(SMALL)))
    padded[: len(covs)] = covs
    with double_precision():
        return jax.tree.map(lambda x: np.asarray(x)[: len(covs)], _whiten_all(jnp.asarray(padded), route))


def whitened(covs):
    return by_route(whiten_any_rank, covs)[0]


@pytest.fixture
def cov() -> np.ndarray:
    factor = np.random.default_rng(0).normal(size=(12, 24))
    return symmetric(factor @ factor.T / 24)


def canonical_correlations(cov, rows, columns):
    root_1, root_2 = (np.linalg.inv(np.linalg.cholesky(cov[np.ix_(at, at)])) for at in (rows, columns))
    return np.linalg.svd(root_1 @ cov[np.ix_(rows, columns)] @ root_2.T, compute_uv=False)


@pytest.mark.parametrize("route", [whiten_full_rank, whiten_any_rank])
def test_singular_values_of_the_cross_blocks_are_canonical_correlations(cov, route):
    result, _ = by_route(route, [cov])
    sources, target = np.arange(8), np.arange(8, 12)
    for cross, rows in zip((*result.cross, result.cross_all), (sources[:4], sources[4:], sources), strict=True):
        expected = canonical_correlations(cov, target, rows)
        np.testing.assert_allclose(np.linalg.svd(cross[0], compute_uv=False), expected, atol=1e-13)
    assert result.status == [Status.OK]


@pytest.mark.parametrize("route", [whiten_full_rank, whiten_any_rank])
def test_maps_whiten_in_the_units_of_the_data(cov, route):
    units = np.ones(12)
    units[[0, 5, 10]] = 1e6
    result, _ = by_route(route, [cov * units[:, None] * units])
    scaled = cov * units[:, None] * units
    for at, white in zip(np.split(np.arange(12), 3), (*result.source_maps, result.target_map), strict=True):
        np.testing.assert_allclose(white[0] @ scaled[np.ix_(at, at)] @ white[0].T, np.eye(4), atol=1e-12)
    cross = result.target_map[0] @ scaled[8:, :4] @ result.source_maps[0][0].T
    np.testing.assert_allclose(cross, result.cross[0][0], atol=1e-13)


def test_cross_blocks_share_one_whitened_target(cov):
    result = whitened([cov])
    known = [cross[0] @ cross[0].T for cross in (*result.cross, result.cross_all)]
    for part in known[:2]:
        assert scipy.linalg.eigvalsh(known[2] - part).min() >= -1e-13


@pytest.mark.parametrize("scale", [1e-150, 1e-9, 1e9, 1e150])
def test_units_of_single_coordinates_decide_nothing(cov, scale):
    units = np.ones(12)
    units[[0, 5, 10]] = scale
    original, rescaled = whitened([cov]), whitened([cov * units[:, None] * units])
    for one, other in zip((*original.cross, original.cross_all), (*rescaled.cross, rescaled.cross_all), strict=True):
        singular = [np.linalg.svd(cross[0], compute_uv=False) for cross in (one, other)]
        np.testing.assert_allclose(*singular, atol=1e-12)
    assert rescaled.status == [Status.OK]


def test_directions_without_variance_are_dropped(cov):
    rng = np.random.default_rng(1)
    maps = [linear_map(rng, 4, 2, 10.0), linear_map(rng, 4, 3, 10.0), linear_map(rng, 4, 1, 1.0)]
    rows = [0, 1, 4, 5, 6, 8]
    inner = Problem(cov[np.ix_(rows, rows)], (2, 3, 1))
    result = whitened([apply_maps(inner, maps).cov, pad(inner, SMALL, 0.0).cov])
    for white, rank in zip((*result.source_maps, result.target_map), (2, 3, 1), strict=True):
        np.testing.assert_array_equal((white != 0).any(axis=2).sum(axis=1), rank)
    embedded, padded = np.linalg.svd(result.cross_all, compute_uv=False)
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


def bad_problems(cov):
    indefinite = changed(cov, 0, 8, 1.01 * np.sqrt(cov[0, 0] * cov[8, 8]))
    copy = np.concatenate([np.eye(12)[:8], np.eye(12)[:1], np.eye(12)[9:]])
    return {
        "no variance at all": (np.zeros((12, 12)), Status.OK),
        "NaN": (changed(cov, 1, 2, np.nan), Status.NOT_FINITE),
        "infinite": (changed(cov, 3, 3, np.inf), Status.NOT_FINITE),
        "correlation above one": (indefinite, Status.NOT_PSD),
        "covariance without variance": (changed(cov, 0, 0, 0.0), Status.NOT_PSD),
        "target holds a copy of a source coordinate": (symmetric(copy @ cov @ copy.T), Status.INFINITE_INFORMATION),
    }


def test_statuses(cov):
    cases = bad_problems(cov) | {"as it is": (cov, Status.OK)}
    result, _ = by_route(whiten_any_rank, [case[0] for case in cases.values()])
    assert dict(zip(cases, result.status, strict=True)) == {name: status for name, (_, status) in cases.items()}
    assert all(np.isfinite(cross).all() for cross in (*result.cross, result.cross_all))


def test_only_what_is_clearly_definite_takes_the_fast_route(cov):
    """A copy among the sources is singular; a Kahan matrix is nearly so with pivots that all look harmless."""
    sine, size = 0.65, 12
    upper = np.diag(sine ** np.arange(size)) @ (np.eye(size) - np.sqrt(1 - sine**2) * np.triu(np.ones((size, size)), 1))
    kahan = np.linalg.matrix_power(upper.T, 2) @ np.linalg.matrix_power(upper, 2)
    scale = 1 / np.sqrt(np.diag(kahan))
    assert np.linalg.eigvalsh(kahan * scale[:, None] * scale)[0] < 1e-11
    copy = np.concatenate([np.eye(12)[:7], np.eye(12)[:1], np.eye(12)[8:]])
    unclear = [symmetric(copy @ cov @ copy.T), kahan, *(case for case, _ in bad_problems(cov).values())]
    assert by_route(whiten_full_rank, [cov])[1].all()
    assert not by_route(whiten_full_rank, unclear)[1].any()


@pytest.mark.slow
def test_no_singular_covariance_takes_the_fast_route():
    """As many samples as coordinates: centered they are one dimension short, in a direction that no one has chosen."""
    samples = np.random.default_rng(0).normal(size=(20_000, 9, 9))
    centered = samples - samples.mean(axis=1, keepdims=True)
    covs = np.swapaxes(centered, 1, 2) @ centered / 8
    assert (gaussian_pid(covs, (3, 3, 3)).status == Status.INFINITE_INFORMATION).all()
    whole = np.array([[609, 841, 94, 406, 216, 44, 593, 787], [480, 550, 319, 583, 234, 307, 382, 986],
                      [465, 473, 576, 402, 575, 192, 314, 917], [584, 106, 177, 907, 700, 593, 210, 334],
                      [760, 940, 214, 707, 369, 463, 677, 797], [659, 958, 958, 455, 981, 572, 733, 857],
                      [613, 697, 528, 433, 990, 586, 99, 380], [720, 389, 161, 485, 500, 767, 297, 231]])  # fmt: skip
    assert gaussian_pid(np.cov(whole, rowvar=False), (3, 3, 2)).status == Status.INFINITE_INFORMATION


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("seed", range(4))
def test_copies_between_any_two_coordinates_are_found(seed):
    cov = random_wishart(np.random.default_rng(seed), (32, 32, 32)).cov
    rng = np.random.default_rng(seed)
    covs, wanted = [], []
    for _ in range(64):
        of, at = rng.choice(96, size=2, replace=False)
        rows = np.arange(96)
        rows[at] = of
        covs.append(cov[np.ix_(rows, rows)])
        wanted.append(Status.OK if (of < 64) == (at < 64) else Status.INFINITE_INFORMATION)
    found = gaussian_pid(np.stack(covs), (32, 32, 32))
    np.testing.assert_array_equal(found.status, wanted)
    assert np.isfinite(found.gap[found.status == Status.OK]).all()


@pytest.mark.slow
def test_the_route_is_chosen_by_the_problem(cov):
    """Outside a batch only one route runs: Cholesky factors are triangular, principal axes are not."""
    with double_precision():
        definite = whiten(JointGaussian(jnp.asarray(cov), SMALL), RANK_CUT)
        singular = whiten(JointGaussian(jnp.asarray(pad(Problem(cov[:3, :3], (1, 1, 1)), SMALL, 0.0).cov), SMALL), 0.0)
    np.testing.assert_array_equal(np.triu(definite.target_map, 1), 0)
    assert definite.status == singular.status == Status.OK
    assert np.count_nonzero(np.asarray(singular.target_map).any(axis=1)) == 1


@pytest.mark.slow
def test_derivative_keeps_everything_white(cov):
    """The chosen differential fulfils d(W Σ Wᵀ) = 0 and d(W_t Σ_tk W_kᵀ) = dR_k."""
    rng = np.random.default_rng(2)
    change = symmetric(rng.normal(size=(12, 12)))
    with double_precision():
        base, moved = jax.tree.map(
            np.asarray,
            jax.jvp(
                lambda c: (lambda w: (w.cross, w.source_maps, w.target_map))(whiten(JointGaussian(c, SMALL), RANK_CUT)),
                (jnp.asarray(cov),),
                (jnp.asarray(change),),
            ),
        )
    (crosses, maps, target), (d_crosses, d_maps, d_target) = base, moved
    for white, d_white, at in ((maps[0], d_maps[0], np.arange(4)), (target, d_target, np.arange(8, 12))):
        block = np.ix_(at, at)
        half = d_white @ cov[block] @ white.T
        np.testing.assert_allclose(half + half.T + white @ change[block] @ white.T, 0, atol=1e-11)
    block = np.ix_(np.arange(8, 12), np.arange(4))
    direct = d_target @ cov[block] @ maps[0].T + target @ cov[block] @ d_maps[0].T + target @ change[block] @ maps[0].T
    np.testing.assert_allclose(d_crosses[0], direct, atol=1e-11)
    assert crosses[0].shape == (4, 4)
