"""Permutation tests: valid where the null holds, sharp where it does not, and adjusted for many layers."""

import json

import jax
import numpy as np
import pytest
from scipy.stats import false_discovery_control, kstest

from pid_jax import (
    MMI,
    OAS,
    Block,
    ConditionalIndependence,
    Copula,
    Independence,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    gaussian_pid,
    permutation_test,
    use_devices,
)
from pid_jax.gaussian.status import Status
from pid_jax.inference.multiplicity import (
    exceedance,
    false_discovery_rate,
    family_wise_by_maximum,
    settle,
    standardize,
)
from pid_jax.inference.permuted import draw_permutations
from pid_jax.pid.atoms import QUANTITIES

SPEC = PIDSpec(NoReduction(), NoGaussianization())
N = 100


def related(rng, layers, gain_1, gain_2):
    """A target that reads both sources, which share a part."""
    shared = rng.standard_normal((layers, N, 2))
    source_1, source_2 = (0.6 * shared + rng.standard_normal((layers, N, 2)) for _ in range(2))
    return source_1, source_2, gain_1 * source_1 + gain_2 * source_2 + rng.standard_normal((layers, N, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("null", "gain_2", "quantities"),
    [
        (Independence(), 0.0, ("redundancy", "unique_1", "synergy", "i_12")),
        (ConditionalIndependence(1), 0.8, ("synergy", "i_12")),
    ],
)
def test_p_values_are_uniform_where_the_null_holds(null, gain_2, quantities):
    """300 data sets; a true p-value falls below .001 of the KS test once in 1000 tests."""
    rng, found = np.random.default_rng(0), {name: [] for name in quantities}
    for seed in range(300):
        data = [x[0] for x in related(rng, 1, 0.0, gain_2)]
        test = permutation_test(*data, spec=SPEC, key=jax.random.key(seed), resamples=39, null=null)
        for name in quantities:
            found[name].append(float(getattr(test.p_value, name)))
    for values in found.values():
        spread = np.asarray(values) - rng.uniform(size=len(values)) / 40
        assert kstest(spread, "uniform").pvalue > 0.001


def test_conditional_independence_sees_what_a_source_adds(key):
    rng = np.random.default_rng(1)
    data = related(rng, 6, 0.7, 0.7)
    for source in (1, 2):
        test = permutation_test(*data, spec=SPEC, key=key, resamples=199, null=ConditionalIndependence(source))
        assert (test.p_value.i_12 <= 0.01).all()
        other = getattr(test.replicates, f"i_{3 - source}")
        np.testing.assert_allclose(other, np.broadcast_to(getattr(test.statistic, f"i_{3 - source}"), other.shape))
        assert (getattr(test.p_value, f"i_{3 - source}") == 1).all()
    nothing = permutation_test(
        *related(rng, 6, 0.7, 0.0), spec=SPEC, key=key, resamples=199, null=ConditionalIndependence(2)
    )
    assert (nothing.family_wise.i_12 > 0.01).all()


@pytest.mark.slow
def test_a_permuted_rest_keeps_what_belongs_to_the_sources(key):
    """Only the cross-covariance of target and source changes: informations stay possible, and the sources' relation."""
    data = related(np.random.default_rng(2), 1, 0.0, 0.9)
    test = permutation_test(*data, spec=SPEC, key=key, resamples=50, null=ConditionalIndependence(1))
    assert (test.replicates.i_12 >= test.replicates.i_2 - 1e-12).all()
    assert test.replicates.i_1.std() > 0


@pytest.mark.slow
def test_singular_sources_are_tested_as_without_their_copies(key):
    source_1, source_2, target = related(np.random.default_rng(3), 2, 0.0, 0.9)
    copied = np.concatenate([source_1, source_1[..., :1]], axis=-1)
    for null in (Independence(), ConditionalIndependence(1), ConditionalIndependence(2)):
        one, other = (
            permutation_test(x, source_2, target, spec=SPEC, key=key, resamples=50, null=null)
            for x in (source_1, copied)
        )
        for name in QUANTITIES:
            np.testing.assert_allclose(getattr(one.replicates, name), getattr(other.replicates, name), atol=1e-7)


def test_statistics_are_those_of_the_samples_and_axes_are_kept(key):
    data = related(np.random.default_rng(4), 6, 0.5, 0.5)
    shaped = [x.reshape(2, 3, N, 2) for x in data]
    test = permutation_test(*shaped, spec=SPEC, key=key, resamples=40)
    cov = np.stack([np.cov(np.concatenate(one, axis=-1).T) for one in zip(*data, strict=True)])
    np.testing.assert_allclose(test.statistic.synergy.ravel(), gaussian_pid(cov, (2, 2, 2)).atoms.synergy, atol=1e-12)
    assert test.p_value.i_12.shape == test.family_wise.i_12.shape == (2, 3)
    assert test.replicates.i_12.shape == (40, 2, 3)
    assert json.loads(json.dumps(test.settings))["null"] == {"method": "Independence"}
    np.testing.assert_allclose(test.in_bits().statistic.i_12, test.statistic.i_12 / np.log(2))
    assert "6 problems, target independent of both sources, 40 permutations" in repr(test)
    alone = permutation_test(*(x[0] for x in data), spec=SPEC, key=key, resamples=40, null=ConditionalIndependence(2))
    assert "target independent of source_2 given source_1, 40 replicates" in repr(alone)
    np.testing.assert_array_equal(alone.family_wise.i_12, alone.p_value.i_12)


@pytest.mark.slow
def test_ranks_are_the_same_for_every_permutation(key):
    """Of single variables they are, so that fitting them anew gives the same p-values."""
    source_1, source_2, target = (np.exp(x[0]) for x in related(np.random.default_rng(5), 1, 0.2, 0.2))
    spec = PIDSpec(NoReduction(), Copula(), redundancy=MMI())
    one, other = (
        permutation_test(source_1, source_2, target, spec=spec, key=key, resamples=30, refit=refit)
        for refit in (False, True)
    )
    np.testing.assert_allclose(one.replicates.synergy, other.replicates.synergy, atol=1e-10)
    assert one.p_value.i_12 == other.p_value.i_12


@pytest.mark.slow
def test_the_memory_budget_changes_nothing(key):
    data = related(np.random.default_rng(6), 3, 0.3, 0.3)
    with use_devices(budget_gb=1e-5):
        one = permutation_test(*data, spec=SPEC, key=key, resamples=50)
    other = permutation_test(*data, spec=SPEC, key=key, resamples=50)
    np.testing.assert_allclose(one.replicates.synergy, other.replicates.synergy, atol=1e-12)


def test_blocks_of_rows_stay_together():
    rows = next(draw_permutations(np.random.default_rng(0), 103, 10))
    assert sorted(rows) == list(range(103))
    assert ((rows[1:] - rows[:-1]) % 103 == 1).sum() >= 103 - 11
    rows = next(draw_permutations(np.random.default_rng(0), 103))
    assert sorted(rows) == list(range(103))
    assert ((rows[1:] - rows[:-1]) % 103 == 1).sum() < 10


@pytest.mark.slow
def test_rows_that_depend_on_their_neighbors_ask_for_blocks(key):
    """Both variables drift, and know nothing of each other: permuted rows take drift for dependence."""
    noise = np.random.default_rng(7).standard_normal((3, 420, 2))
    drifting = np.stack([np.convolve(np.ones(20), x, "valid") for x in noise.swapaxes(-1, -2).reshape(6, -1)])
    source_1, source_2, target = drifting.reshape(3, 2, -1).swapaxes(-1, -2)
    with pytest.warns(UserWarning, match=r"0\.9.*blocks=Block\(length\)"):
        rows = permutation_test(source_1, source_2, target, spec=SPEC, key=key, resamples=99)
    assert rows.notes
    blocks = permutation_test(source_1, source_2, target, spec=SPEC, key=key, resamples=99, blocks=Block(60))
    assert not blocks.notes
    assert blocks.replicates.i_12.mean() > 3 * rows.replicates.i_12.mean()
    assert rows.p_value.i_12 <= 0.01 < blocks.p_value.i_12


def test_false_discovery_rate_is_that_of_scipy():
    p = np.random.default_rng(0).uniform(size=33) ** 2
    np.testing.assert_allclose(false_discovery_rate(p), false_discovery_control(p))
    with_gap = np.append(p, np.nan)
    np.testing.assert_allclose(false_discovery_rate(with_gap)[:-1], false_discovery_control(p))
    assert np.isnan(false_discovery_rate(with_gap)[-1])


def test_the_maximum_adjusts_for_all_problems_together():
    """Where replicates are copies nothing has to be paid for many; where they are independent it is Šidák's price."""
    rng = np.random.default_rng(1)
    one = rng.standard_normal((4000, 1))
    statistic = np.full(33, 2.5)
    copies = family_wise_by_maximum(statistic, np.repeat(one, 33, axis=1))
    np.testing.assert_allclose(copies, exceedance(statistic[:1], one)[0])
    apart = family_wise_by_maximum(statistic, rng.standard_normal((4000, 33)))
    np.testing.assert_allclose(apart, 1 - (1 - 0.00621) ** 33, atol=0.03)
    clear = np.append(np.full(32, -9.0), 9.0)
    stepped = family_wise_by_maximum(clear, rng.standard_normal((4000, 33)))
    assert stepped[-1] == pytest.approx(1 / 4001)
    assert (stepped[:-1] == 1).all()


def test_problems_without_an_answer_are_left_out():
    rng = np.random.default_rng(2)
    statistic, replicates = np.asarray([3.0, np.nan, 1.0]), rng.standard_normal((99, 3))
    adjusted = family_wise_by_maximum(*standardize(statistic, replicates))
    assert np.isnan(adjusted[1])
    np.testing.assert_allclose(
        adjusted[[0, 2]], family_wise_by_maximum(*standardize(statistic[[0, 2]], replicates[:, [0, 2]]))
    )


def test_p_values_count_what_is_as_large_up_to_rounding():
    replicates = np.asarray([[1.0], [2.0], [3.0 - 1e-14]])
    assert exceedance(np.asarray([3.0]), replicates) == [0.5]
    assert exceedance(np.asarray([3.1]), replicates) == [0.25]


@pytest.mark.slow
@pytest.mark.parametrize("null", [Independence(), ConditionalIndependence(1)])
@pytest.mark.parametrize("gaussianize", [NoGaussianization(), Copula()])
@pytest.mark.parametrize("d", [1, 2])
def test_rounding_decides_nothing(null, gaussianize, d, key):
    """Of sources that are functions of each other U_1 and S are zero in all permutations: ties, and not small."""
    source_1, _, target = related(np.random.default_rng(8), 4, 0.8, 0.0)
    source_1, spec = source_1[..., :d], PIDSpec(NoReduction(), gaussianize)
    for source_2 in (source_1, source_1 @ np.random.default_rng(9).normal(size=(d, d))):
        test = permutation_test(source_1, source_2, target, spec=spec, key=key, resamples=40, null=null)
        is_tied = ["unique_1", "synergy"] if d == 1 or isinstance(gaussianize, NoGaussianization) else []
        for name in is_tied:
            assert (getattr(test.p_value, name) == 1).all()
            assert (getattr(test.family_wise, name) == 1).all()
        if isinstance(null, ConditionalIndependence):
            assert (test.p_value.i_12 == 1).all()


def test_ties_are_those_of_the_amounts_that_were_subtracted():
    statistic, replicates = np.asarray([-9e-16, 1.0]), np.asarray([[4e-16, 1.1], [-2e-15, 1.0 + 1e-12]])
    settled = settle(statistic, replicates, np.asarray([0.5, 2.0]))
    np.testing.assert_array_equal(settled, [[-9e-16, 1.1], [-9e-16, 1.0]])
    np.testing.assert_array_equal(exceedance(statistic, settled), [1, 1])
    np.testing.assert_array_equal(standardize(statistic, settled)[1][:, 0], 0)


def close_sources(rng, noise, n=400, sets=200):
    """Sources that are linear functions of each other but for some noise, and a target that reads source_2."""
    source_2 = rng.normal(size=(sets, n, 2))
    source_1 = source_2 @ rng.normal(size=(sets, 2, 2)) + noise * rng.normal(size=(sets, n, 2))
    return source_1, source_2, source_2 @ rng.normal(size=(sets, 2, 2)) + rng.normal(size=(sets, n, 2))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 0.01])
def test_conditional_independence_holds_after_ranks_of_close_sources(noise, key):
    """Of 200 data sets 10 are rejected at .05 on average; 24 is 4.5 standard deviations above (it was 40 and more)."""
    data = close_sources(np.random.default_rng(10), noise)
    spec = PIDSpec(NoReduction(), Copula())
    test = permutation_test(*data, spec=spec, key=key, resamples=39, null=ConditionalIndependence(1))
    for name in ("unique_1", "synergy", "i_12"):
        assert (getattr(test.p_value, name) <= 0.05).sum() <= 23
    assert not test.notes


@pytest.mark.slow
def test_what_one_of_two_close_sources_adds_is_seen(key):
    source_1, source_2, target = (x[:1] for x in close_sources(np.random.default_rng(11), 0.1, sets=1))
    rest = source_1 - source_2 @ np.linalg.lstsq(source_2[0], source_1[0], rcond=None)[0]
    spec, null = PIDSpec(NoReduction(), Copula()), ConditionalIndependence(1)
    test = permutation_test(source_1, source_2, target + 10 * rest, spec=spec, key=key, resamples=99, null=null)
    assert test.p_value.i_12 == 0.01


@pytest.mark.slow
def test_close_sources_that_are_warped_get_a_note(key):
    data = [np.exp(x) for x in close_sources(np.random.default_rng(12), 0.01, sets=2)]
    spec, null = PIDSpec(NoReduction(), Copula()), ConditionalIndependence(2)
    (note,) = permutation_test(*data, spec=spec, key=key, resamples=20, null=null).notes
    assert "in 2 of 2 problems" in note


@pytest.mark.slow
@pytest.mark.parametrize("null", [Independence(), ConditionalIndependence(1)])
def test_infinite_information_has_a_status_and_p_values_of_what_is_known(null, key):
    """T = S_1 + S_2 in the first problem, T = S_1 in the second, nothing special in the third."""
    source_1, source_2, target = (x[..., :1] for x in related(np.random.default_rng(13), 3, 0.5, 0.5))
    target[0], target[1] = source_1[0] + source_2[0], source_1[1]
    test = permutation_test(source_1, source_2, target, spec=SPEC, key=key, resamples=40, null=null)
    infinite = Status.INFINITE_INFORMATION
    assert test.status.tolist() == [infinite, infinite, Status.OK]
    assert np.isinf(test.statistic.synergy).tolist() == [True, False, False]
    assert np.isfinite(test.statistic.redundancy).tolist() == [True, False, True]
    assert np.isfinite(test.p_value.redundancy).tolist() == [True, False, True]
    assert test.p_value.i_12[:2].tolist() == test.family_wise.i_12[:2].tolist() == [1 / 41, 1 / 41]
    assert "INFINITE_INFORMATION" in repr(test)
    assert "INFINITE_INFORMATION" in repr(test.reshape((3, 1)))
    alone = permutation_test(source_1[1], source_2[1], target[1], spec=SPEC, key=key, resamples=40, null=null)
    assert alone.status == infinite
    assert "NaN" in repr(alone)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"resamples": 19}, ValueError, r"resamples=19 are too few.*would be 0.05; use at least 20"),
        ({"null": "independence"}, TypeError, r"null needs Independence\(\) or ConditionalIndependence"),
        ({"blocks": 10}, TypeError, r"blocks needs Block\(length\) or None, got 10"),
        ({"blocks": Block(50)}, ValueError, r"leaves fewer than 5 blocks in 100 rows: use 20"),
        ({"key": 0}, TypeError, r"key needs a JAX random key"),
        ({"refit": 1}, TypeError, r"refit needs True or False"),
        ({"refit": True, "null": ConditionalIndependence(1)}, ValueError, r"refit=True needs null=Independence\(\)"),
        ({"spec": PIDSpec(NoReduction(), covariance=OAS())}, ValueError, r"covariance=SampleCovariance\(\), got OAS"),
    ],
)
def test_bad_arguments(changes, kind, message, key):
    data = [x[0] for x in related(np.random.default_rng(0), 1, 0.5, 0.5)]
    with pytest.raises(kind, match=message):
        permutation_test(*data, **({"spec": SPEC, "key": key, "resamples": 50} | changes))


def test_the_source_of_a_null_is_checked():
    with pytest.raises(ValueError, match=r"ConditionalIndependence\(source=...\)"):
        ConditionalIndependence(3)
