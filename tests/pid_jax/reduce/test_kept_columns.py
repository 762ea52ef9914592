"""Columns where nothing is reduced, monotone maps, ties, offsets and magnitudes: no number changes in silence."""

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from pid_jax import (
    PCA,
    Copula,
    Exact,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    Randomized,
    RealNVP,
    compare_pid,
    estimate_pid,
    fit_flow,
    permutation_test,
    stream_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.reduce.prepare import SinglePrecision, scale_extremes

KEY = jax.random.key(0)
RAW = PIDSpec(NoReduction(), NoGaussianization())
SAMPLES = 1000


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((SAMPLES, 1))
    return one, rng.standard_normal((SAMPLES, 1)), one + 0.5 * rng.standard_normal((SAMPLES, 1))


def atoms_of(estimate):
    return np.array([float(getattr(estimate.atoms, name)) for name in ATOMS])


def information(*variables, **options):
    return float(estimate_pid(*variables, key=KEY, **options).information.i_1)


MAPS = {
    "an outlier": lambda x: np.where(x == x.max(axis=0), 1e8, x),
    "exp(7 x)": lambda x: np.exp(7 * x),
    "exp(150 x)": lambda x: np.exp(150 * x),
    "x^3, tiny": lambda x: 1e-170 * x**3,
    "x, far off": lambda x: 1e7 + x,
}


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("spec", [PIDSpec(), PIDSpec(NoReduction(), Copula())])
def test_monotone_maps_change_no_atom_after_ranks(variables, name, spec):
    plain = atoms_of(estimate_pid(*variables, spec=spec, key=KEY))
    mapped = [MAPS[name](x) if place < 2 else x for place, x in enumerate(variables)]
    np.testing.assert_array_equal(atoms_of(estimate_pid(*mapped, spec=spec, key=KEY)), plain)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4), st.integers(0, 3))
def test_any_monotone_map_of_each_coordinate_changes_no_atom(powers, seed):
    rng = np.random.default_rng(seed)
    target = rng.standard_normal((60, 2))
    one, other = (target + rng.standard_normal((60, 2)) for _ in range(2))
    with np.errstate(over="ignore"):
        mapped = [np.sinh(10.0 ** np.array(powers[at : at + 2]) * x) for at, x in ((0, one), (2, other))]
    mapped = [np.where(np.isfinite(x), x, np.sign(x) * 1e308) for x in mapped]
    spec = PIDSpec(NoReduction(), Copula())
    has_ties = any(len(np.unique(column)) < 60 for x in mapped for column in x.T)
    if has_ties:  # the map was not strictly monotone in floating-point numbers
        return
    plain, found = (atoms_of(estimate_pid(*x, target, spec=spec, key=KEY)) for x in ((one, other), mapped))
    np.testing.assert_array_equal(found, plain)


@pytest.mark.slow
def test_an_outlier_leaves_the_test_its_power(variables):
    one, other, target = variables
    far = one.copy()
    far[0] = 1e8
    scores = scipy.stats.norm.ppf((scipy.stats.rankdata(far) - 0.5) / SAMPLES)
    of_target = scipy.stats.norm.ppf((scipy.stats.rankdata(target) - 0.5) / SAMPLES)
    expected = -0.5 * np.log1p(-(np.corrcoef(scores, of_target)[0, 1] ** 2))
    assert information(far, other, target) == pytest.approx(expected, abs=0.01)
    assert permutation_test(far, other, target, key=KEY, resamples=40).p_value.i_1 == pytest.approx(1 / 41)


@pytest.mark.slow
def test_equal_states_share_ranks_after_a_reduction_also_in_float32():
    rng = np.random.default_rng(1)
    states = rng.standard_normal((50, 40)).astype(np.float32)
    rows = np.repeat(states, 4, axis=0)[rng.permutation(200)]
    target = rows[:, :1] + rng.standard_normal((200, 1))
    for solver in (Exact(), Randomized(oversample=1, power_iterations=1)):
        spec = PIDSpec(PCA(dim=2, solver=solver), Copula(), bias_correction=RAW.bias_correction)
        permuted = estimate_pid(rows, rows[:, ::-1] + 0.0, target, spec=spec, key=KEY)
        again = estimate_pid(rows[::-1], rows[::-1, ::-1] + 0.0, target[::-1], spec=spec, key=KEY)
        np.testing.assert_allclose(atoms_of(permuted), atoms_of(again), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e3, 1e6, 1e12, 1e-9])
def test_no_column_is_lost_beside_a_large_one(variables, factor):
    one, other, target = variables
    both = np.hstack([one, factor * other])
    whole = float(estimate_pid(both, other, target, spec=RAW, key=KEY).information.i_1)
    for spec in (PIDSpec(), PIDSpec(gaussianize=NoGaussianization())):
        found = estimate_pid(both, other, target, spec=spec, key=KEY)
        assert float(found.information.i_1) == pytest.approx(whole, abs=0.02)
        assert found.rank.tolist() == [2, 1, 1]
    streamed = stream_pid([(both, other, target)], key=KEY)
    assert float(streamed.information.i_1) == pytest.approx(whole, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1e-2, 1e-5, 1e-6])
def test_what_tells_columns_apart_is_kept(variables, size):
    one, other, target = variables
    near = np.hstack([other, other + size * one])
    assert information(near, other, target) == pytest.approx(information(one, other, target), abs=0.02)


@pytest.mark.slow
def test_what_is_left_out_is_noted(variables):
    one, other, target = variables
    twice = estimate_pid(np.hstack([one, one]), other, target, key=KEY)
    assert any(note.startswith("source_1 has rank 1") for note in twice.notes)
    assert "rank 1" in repr(twice)
    wide = np.hstack([one, np.random.default_rng(2).standard_normal((SAMPLES, 5))])
    spec = PIDSpec(PCA(dim=(3, 1, 1)), NoGaussianization())
    for found in (
        estimate_pid(wide, other, target, spec=spec, key=KEY),
        stream_pid([(wide, other, target)], spec=spec, key=KEY),
    ):
        assert any(note.startswith("source_1: 3 components of 6 columns keep ") for note in found.notes)
    assert not estimate_pid(one, other, target, key=KEY).notes


@pytest.mark.slow
def test_standardized_columns_count_alike(variables):
    one, other, target = variables
    noise = np.random.default_rng(3).standard_normal((SAMPLES, 9))
    wide = np.hstack([one + 0.1 * noise[:, :1], one + 0.1 * noise[:, 1:2], 1e6 * noise[:, 2:]])
    for factory in (estimate_pid, lambda *x, spec, key: stream_pid([x], spec=spec, key=key)):
        plain, scaled = (
            factory(wide, other, target, spec=PIDSpec(PCA(dim=4, standardize=flag), NoGaussianization()), key=KEY)
            for flag in (False, True)
        )
        assert float(plain.information.i_1) < 0.05
        assert float(scaled.information.i_1) > 0.6
    with pytest.raises(TypeError, match="standardize"):
        PCA(standardize=1)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 600])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_an_offset_changes_nothing_that_its_type_resolves(columns, dtype):
    rng = np.random.default_rng(4)
    hidden = rng.standard_normal((SAMPLES, 2))
    wide = (hidden @ rng.standard_normal((2, columns)) + 0.1 * rng.standard_normal((SAMPLES, columns))).astype(dtype)
    target, other = hidden[:, :1] + 0.5 * rng.standard_normal((SAMPLES, 1)), hidden[:, 1:]
    offset = 1e8 if dtype == np.float64 else 2**12
    spec = PIDSpec(PCA(dim=4), NoGaussianization())
    plain, far = (estimate_pid(x, other, target, spec=spec, key=KEY) for x in (wide, wide + dtype(offset)))
    np.testing.assert_allclose(atoms_of(far), atoms_of(plain), atol=2e-3)
    np.testing.assert_allclose(far.explained_variance, plain.explained_variance, atol=1e-3)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("power", [-250, -160, 160, 300])
def test_magnitudes_change_nothing(variables, power):
    scaled = [x * 10.0**p for x, p in zip(variables, (power, -power, power), strict=True)]
    for spec in (RAW, PIDSpec(), PIDSpec(gaussianize=NoGaussianization())):
        plain, found = (estimate_pid(*x, spec=spec, key=KEY) for x in (variables, scaled))
        np.testing.assert_allclose(atoms_of(found), atoms_of(plain), rtol=1e-9, atol=1e-12)
    assert any("divided by 2^" in note for note in estimate_pid(*scaled, spec=RAW, key=KEY).notes)


@pytest.mark.slow
def test_conditions_of_any_magnitude_are_compared(variables):
    one, other, target = variables
    after = (one + 0.5 * other, other, target)
    plain, found = (
        compare_pid([x * f for x in variables], [x * f for x in after], spec=RAW, key=KEY, resamples=50)
        for f in (1, 1e170)
    )
    np.testing.assert_allclose(float(found.difference.i_1), float(plain.difference.i_1), rtol=1e-9)


def test_extremes_are_divided_by_powers_of_two_for_each_column_or_each_problem():
    rows = np.random.default_rng(5).standard_normal((2, 20, 3))
    same, exponents = scale_extremes(rows, is_each=True)
    assert same is rows
    assert exponents is None
    large = rows * [1, 1e200, 1e-200]
    each, exponents = scale_extremes(large, is_each=True)
    assert exponents.shape == (2, 1, 3)
    assert (np.abs(each).max(axis=1) < 10).all()
    np.testing.assert_array_equal(np.ldexp(each, exponents), large)
    one, exponents = scale_extremes(large, is_each=False)
    assert exponents.shape == (2, 1, 1)
    assert np.abs(one).max() <= 1


def test_single_precision_is_of_deviations_from_the_mean():
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((2, 3000, 4))
    single = SinglePrecision(1e9 + 1e45 * rows)
    taken = single[0:2].astype(np.float64) * single.scales[:, None, None]
    expected = 1e45 * (rows - rows.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(taken, expected, rtol=1e-5, atol=1e40)
    assert len(single) == 2


@pytest.mark.slow
@pytest.mark.parametrize("offset", [1e6, 1e8])
def test_flows_are_fitted_to_deviations(offset):
    rng = np.random.default_rng(7)
    samples = [rng.standard_normal((300, 2)), rng.standard_normal((300, 1))]
    flow = RealNVP(couplings=1, width=4, epochs=3, refits=0, intervals=False)
    near, far = (fit_flow(*(x + off for x in samples), spec=flow, key=KEY) for off in (0.0, offset))
    for plain, moved in zip(near.transform(*samples), far.transform(*(x + offset for x in samples)), strict=True):
        np.testing.assert_allclose(moved, plain, atol=2e-3)
    np.testing.assert_allclose(far.log_prob(*(x + offset for x in samples)), near.log_prob(*samples), atol=2e-2)
    back = far.inverse(*far.transform(*(x + offset for x in samples)))
    np.testing.assert_allclose(back[0] - offset, samples[0], atol=1e-4)
