"""Singular covariances on their range: nothing is lost, and corrections are those of variables of full rank."""

import jax
import numpy as np
import pytest

from pid_jax import (
    MMI,
    NoGaussianization,
    NoReduction,
    ParametricBootstrap,
    PIDSpec,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    gaussian_pid,
)
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.gaussian.range import restrict_to_range
from pid_jax.testing.problems import random_channel

SPEC = PIDSpec(NoReduction(), NoGaussianization())
PLAIN = PIDSpec(NoReduction(), NoGaussianization(), bias_correction=ParametricBootstrap())
QUANTITIES = (*ATOMS, *INFORMATION)


def stacked(estimate):
    parts = vars(estimate.atoms) | vars(estimate.information)
    return np.stack([np.asarray(parts[name]) for name in QUANTITIES], axis=-1)


def embed(cov, dims, maps):
    """The covariance of linear functions of every variable, which may have more coordinates than it had."""
    starts = np.cumsum((0, *dims))
    whole = np.zeros((sum(len(one) for one in maps), len(cov)))
    row = 0
    for one, start in zip(maps, starts[:-1], strict=True):
        whole[row : row + len(one), start : start + one.shape[1]] = one
        row += len(one)
    return whole @ cov @ whole.T, tuple(len(one) for one in maps)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("sizes", [(3, 5, 4), (5, 3, 2), (4, 4, 3)])
def test_nothing_is_lost(sizes):
    """Linear functions in more dimensions, or units far apart, keep all information, and ranks are found."""
    rng = np.random.default_rng(0)
    problem = random_channel(rng, (3, 3, 2), (1.0, 0.7))
    maps = [
        rng.normal(size=(size, d)) * 10.0**power for size, d, power in zip(sizes, (3, 3, 2), (-5, 0, 6), strict=True)
    ]
    cov, dims = embed(problem.cov, problem.dims, maps)
    restricted, ranks, shared = restrict_to_range(cov, dims, 1e-13)
    assert (ranks, shared) == ((3, 3, 2), 0)
    np.testing.assert_allclose(stacked(gaussian_pid(restricted, ranks)), stacked(gaussian_pid(*problem)), atol=1e-9)


def test_shared_directions_come_first_in_source_2():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(7, 7))
    cov = root @ root.T
    sources = np.zeros((3 + 4 + 2, 7))  # source_1: 0, 1, 2; source_2 is made of 1 + 2, 3, 4
    sources[:3, :3] = np.eye(3)
    sources[3:7] = rng.normal(size=(4, 3)) @ np.eye(7)[[1, 3, 4]]
    sources[7:, 5:] = np.eye(2)
    restricted, ranks, shared = restrict_to_range(sources @ cov @ sources.T, (3, 4, 2), 1e-13)
    assert (ranks, shared) == ((3, 3, 2), 1)
    first, second = restricted[:3, :3], restricted[3, 3]
    explained = restricted[3, :3] @ np.linalg.solve(first, restricted[:3, 3])
    np.testing.assert_allclose(explained, second, rtol=1e-10)


def samples(rng, n=400):
    shared = rng.normal(size=(n, 2))
    source_1, source_2 = (shared + rng.normal(size=(n, 2)) for _ in range(2))
    return source_1, source_2, 0.8 * source_1 + 0.5 * source_2 + rng.normal(size=(n, 2))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, PLAIN])
def test_copied_columns_change_no_information(spec, key):
    """The bias of informations is exact for any rank: nothing is drawn for it."""
    source_1, source_2, target = samples(np.random.default_rng(2))
    plain = estimate_pid(source_1, source_2, target, spec=spec, key=key)
    mixed = np.random.default_rng(3).normal(size=(2, 4))
    copied = estimate_pid(source_1 @ mixed, np.hstack([source_2, source_2[:, :1]]), target, spec=spec, key=key)
    for name in INFORMATION:
        np.testing.assert_allclose(getattr(copied.information, name), getattr(plain.information, name), atol=1e-10)
    np.testing.assert_allclose(stacked(copied), stacked(plain), atol=0.01)  # U_1 + U_2 has the noise of 100 draws
    assert np.isfinite(copied.lower.synergy)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [SPEC, PLAIN])
@pytest.mark.parametrize("d", [1, 2])
def test_one_source_twice_has_redundancy_only(spec, d, key):
    """Informations of both sources together have the bias of d dimensions, not of 2 d."""
    source_1, _, target = samples(np.random.default_rng(4))
    found = estimate_pid(source_1[:, :d], source_1[:, :d], target, spec=spec, key=key)
    np.testing.assert_allclose(found.information.i_12, found.information.i_1, atol=1e-10)
    for name in ("unique_1", "unique_2", "synergy"):
        for amounts in (found.atoms, found.lower, found.upper):
            np.testing.assert_allclose(getattr(amounts, name), 0, atol=1e-7)
    assert found.lower.redundancy < found.atoms.redundancy < found.upper.redundancy


@pytest.mark.slow
def test_informations_of_sources_that_share_a_column_are_unbiased():
    """Over 400 data sets, to four standard errors: source_2 holds a column of source_1."""
    rng, n = np.random.default_rng(5), 30
    whole = rng.normal(size=(400, n, 5))
    source_1, source_2 = whole[..., :2], whole[..., 1:4]
    target = 0.5 * whole[..., :1] + 0.5 * whole[..., 3:4] + whole[..., 4:]
    found = estimate_pid(source_1, source_2, target, spec=PLAIN, key=jax.random.key(0)).information
    for name, truth in (
        ("i_1", 0.5 * np.log(1.5 / 1.25)),
        ("i_2", 0.5 * np.log(1.5 / 1.25)),
        ("i_12", 0.5 * np.log(1.5)),
    ):
        values = getattr(found, name)
        assert abs(values.mean() - truth) < 4 * values.std() / 20


@pytest.mark.slow
def test_bootstrap_replicates_of_a_copied_column_scatter_as_those_without_it(key):
    """Standard errors of 400 replicates, to five of their own standard errors; means to five of theirs."""
    source_1, source_2, target = samples(np.random.default_rng(6))
    one, other = (
        bootstrap_pid(x, source_2, target, spec=SPEC, key=key, resamples=400, level=0.8)
        for x in (source_1[:, :1], np.hstack([source_1[:, :1]] * 2))
    )
    for name in ATOMS:
        scatter, expected = (getattr(x.standard_error, name) for x in (other, one))
        np.testing.assert_allclose(scatter, expected, rtol=5 / np.sqrt(400))
        means = (getattr(x.replicates, name).mean() for x in (other, one))
        np.testing.assert_allclose(*means, atol=5 * np.sqrt(2 / 400) * expected)


@pytest.mark.slow
@pytest.mark.parametrize("redundancy", [None, MMI()])
def test_what_did_not_change_has_no_difference(redundancy, key):
    """Copies, turned coordinates and other units: the same atoms of the same rows, whatever is drawn for their bias."""
    source_1, source_2, target = samples(np.random.default_rng(7))
    spec = PIDSpec(NoReduction(), NoGaussianization(), redundancy=redundancy) if redundancy else SPEC
    turn = np.linalg.qr(np.random.default_rng(8).normal(size=(2, 2)))[0]
    options = {"spec": spec, "key": key, "share_reduction": False, "resamples": 50}
    for other in (np.hstack([source_1, source_1[:, :1]]), -3.0 * source_1 @ turn):
        found = compare_pid((source_1, source_2, target), (other, source_2, target), **options)
        for name in QUANTITIES:
            assert getattr(found.difference, name) == getattr(found.standard_error, name) == 0
            assert getattr(found.p_value, name) == getattr(found.family_wise, name) == 1


@pytest.mark.slow
def test_an_unchanged_source_has_no_difference_where_the_other_one_changed(key):
    """Two copies of its first column in place of source_1: it is I_2 that stays."""
    source_1, source_2, target = samples(np.random.default_rng(9))
    found = compare_pid(
        (source_1, source_2, target), (source_1[:, [0, 0]], source_2, target), spec=SPEC, key=key, share_reduction=False
    )
    assert found.difference.i_2 == 0
    assert found.p_value.i_2 == 1
    assert found.p_value.i_1 < 0.01
