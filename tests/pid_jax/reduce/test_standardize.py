"""Components of columns in units of their standard deviations: the units of columns change nothing, by any route."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pid_jax import (
    PCA,
    Exact,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    Randomized,
    compare_pid,
    estimate_pid,
    stream_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.reduce.solve import describe_outliers
from pid_jax.reduce.variable import reduce_variable
from pid_jax.settings.estimate import spec_to_dict

KEY = jax.random.key(0)
SPEC = PIDSpec(reduction=PCA(dim=3, standardize=True), gaussianize=NoGaussianization())


def steep(n, p, seed=0):
    """Draw samples of dependent columns whose variances fall along some orthonormal directions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, p)) / np.arange(1, p + 1) @ np.linalg.qr(rng.normal(size=(p, p)))[0]


def reduced(samples, pca):
    dim = min(pca.dims[0], samples.shape[-1])
    return reduce_variable("x", samples[None], None, dim, PIDSpec(reduction=pca), KEY)


def three(n=400, p=9, seed=3):
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 2))
    return tuple(common @ rng.normal(size=(2, p)) + rng.normal(size=(n, p)) for _ in range(3))


def units(seed, p):
    """Draw positive factors of columns over eight orders of magnitude."""
    return 10 ** np.random.default_rng(seed).uniform(-4, 4, p)


@given(
    seed=st.integers(0, 100),
    shape=st.sampled_from([(60, 9), (12, 20)]),
    variance=st.sampled_from([None, 0.8]),
)
def test_units_of_columns_change_nothing(seed, shape, variance):
    samples, pca = steep(*shape, seed=seed), PCA(dim=4, standardize=True, variance=variance)
    one, other = (reduced(x, pca) for x in (samples, samples * units(seed, shape[1])))
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-8)
    np.testing.assert_allclose(other.explained_variance, one.explained_variance, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "atol"), [(Exact(), 1e-3), (Randomized(), 1e-2)])
def test_units_of_columns_change_nothing_in_wide_samples(solver, atol):
    samples, pca = steep(550, 600), PCA(dim=3, standardize=True, solver=solver)
    one, other = (reduced(x, pca).scores[0] for x in (samples, samples * units(1, 600)))
    # Wide samples are scaled as a whole before any cast, so that scores may differ by one factor.
    one, other = (x / np.linalg.norm(x) for x in (one, other))
    np.testing.assert_allclose(other, one, atol=atol * np.abs(one).max())


def test_units_of_columns_change_no_estimate():
    variables = three()
    scaled = [x * units(i, x.shape[1]) for i, x in enumerate(variables)]
    one, other = (estimate_pid(*x, spec=SPEC, key=KEY) for x in (variables, scaled))
    halves = slice(0, 150), slice(150, None)
    streamed = stream_pid([tuple(x[rows] for x in scaled) for rows in halves], spec=SPEC, key=KEY)
    for name in ATOMS:
        for found in (other, streamed):
            assert getattr(found.atoms, name) == pytest.approx(getattr(one.atoms, name), abs=1e-6)
    assert spec_to_dict(SPEC)["reduction"]["standardize"] is True


@pytest.mark.slow
def test_conditions_count_in_units_of_the_baseline():
    baseline, factors = three(), [units(i, 9) for i in range(3)]
    weaker = (0.3 * baseline[0], *baseline[1:])
    scaled = [[x * f for x, f in zip(cell, factors, strict=True)] for cell in (baseline, weaker)]
    one, other = (compare_pid(*cells, spec=SPEC, key=KEY, resamples=50) for cells in ((baseline, weaker), scaled))
    for part in ("baseline", "intervention"):
        found, wanted = (getattr(x, part).information.i_12 for x in (other, one))
        assert found == pytest.approx(wanted, abs=1e-8)


def test_huge_columns_take_no_components():
    source_1, source_2, target = three()
    noise = np.random.default_rng(5).normal(size=(400, 3))
    huge = np.concatenate([source_1, 50 * source_1.std() * noise], axis=1)
    wanted = estimate_pid(source_1, source_2, target, spec=SPEC, key=KEY).information.i_1
    plain = PIDSpec(reduction=PCA(dim=3), gaussianize=NoGaussianization())
    lost, kept = (estimate_pid(huge, source_2, target, spec=one, key=KEY).information.i_1 for one in (plain, SPEC))
    assert lost < 0.2 * wanted
    assert kept > 0.9 * wanted


def test_columns_that_take_components_are_noted():
    """Two of 40 columns, in one of two problems; none where columns are alike, standardized or all kept."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(2, 100, 40))
    huge = plain.copy()
    huge[1, :, [3, 7]] *= 50
    (note,) = describe_outliers("target", huge, 8, PCA(dim=8))
    assert note.startswith("target: 2 of 40 columns")
    assert "standardize" in note
    assert describe_outliers("target", plain, 8, PCA(dim=8)) == ()
    assert describe_outliers("target", huge, 8, PCA(dim=8, standardize=True)) == ()
    assert describe_outliers("target", huge, 40, PCA(dim=40)) == ()
    assert describe_outliers("target", huge, 40, NoReduction()) == ()
    sparse = np.where(np.arange(40) < 3, huge, 0.0)  # most columns are constant: there is no median to compare with
    assert describe_outliers("target", sparse, 8, PCA(dim=8)) == ()
