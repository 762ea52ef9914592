"""Problems of a batch that cannot be decomposed: a status and a line for them, numbers for all others."""

import jax
import numpy as np
import pytest

from pid_jax import (
    Auto,
    Block,
    ConditionalIndependence,
    Copula,
    NoGaussianization,
    NoReduction,
    Pairs,
    PIDSpec,
    RealNVP,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    permutation_test,
    posterior_pid,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.usable import find_usable
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import QUANTITIES

pytestmark = pytest.mark.filterwarnings("error")

KEY = jax.random.key(0)
RAW = PIDSpec(NoReduction(), NoGaussianization())
WANTED = [Status.NOT_FINITE, Status.OK, Status.CONSTANT, Status.OK]
GOOD = [1, 3]


@pytest.fixture(scope="module")
def batch():
    """Four layers, of which one holds NaN and one is constant."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal((200, 1))
    one = target + 0.5 * rng.standard_normal((4, 200, 1))
    other = rng.standard_normal((200, 1))
    one[0, 5], one[2] = np.nan, 0.1
    return one, other, target


def good(batch):
    one, other, target = batch
    return one[GOOD], other, target


def values(tree, names=ATOMS):
    return np.stack([np.asarray(getattr(tree, name)) for name in names], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [PIDSpec(), RAW, PIDSpec(NoReduction(), Copula())])
def test_other_problems_are_estimated_as_alone(batch, spec):
    found, alone = estimate_pid(*batch, spec=spec, key=KEY), estimate_pid(*good(batch), spec=spec, key=KEY)
    assert found.status.tolist() == WANTED
    np.testing.assert_allclose(values(found.atoms)[GOOD], values(alone.atoms), rtol=1e-9, atol=1e-12)
    for numbers in (found.atoms, found.information, found.lower, found.upper, found.bias):
        every = np.stack(jax.tree.leaves(numbers), axis=-1)
        assert np.isnan(every[[0, 2]]).all()
        assert np.isfinite(every[GOOD]).all()
    assert any(note.startswith("problem 0: source_1 holds NaN") for note in found.notes)
    assert any(note.startswith("problem 2: source_1 ") and "constant" in note for note in found.notes)
    assert "NOT_FINITE" in repr(found)


@pytest.mark.slow
def test_bootstrap_tests_comparisons_and_posteriors_leave_them_out(batch):
    results = [
        bootstrap_pid(*batch, key=KEY, resamples=60, level=0.8),
        bootstrap_pid(*batch, key=KEY, resamples=60, level=0.8, kind=Pairs()),
        bootstrap_pid(*batch, key=KEY, resamples=60, level=0.8, kind=Block(5)),
    ]
    for found in results:
        assert found.status.tolist() == WANTED
        for numbers in (found.estimate, found.lower, found.upper, found.standard_error):
            assert np.isnan(values(numbers)[[0, 2]]).all()
            assert np.isfinite(values(numbers)[GOOD]).all()
    for null in (None, ConditionalIndependence(1)):
        test = permutation_test(*batch, key=KEY, resamples=20, null=null)
        assert test.status.tolist() == WANTED
        assert np.isnan(values(test.p_value, QUANTITIES)[[0, 2]]).all()
        assert (test.p_value.i_12[GOOD] < 0.1).all()
        assert (test.family_wise.i_12[GOOD] < 0.1).all()
    after = (np.nan_to_num(batch[0]) + 0.1 * batch[1], *batch[1:])
    change = compare_pid(batch, after, key=KEY, resamples=50)
    assert change.status.tolist() == WANTED
    assert any(note.startswith("problem 0: baseline source_1 holds NaN") for note in change.notes)
    for numbers in (change.difference, change.standard_error, change.p_value):
        assert np.isnan(values(numbers)[[0, 2]]).all()
        assert np.isfinite(values(numbers)[GOOD]).all()
    posterior = posterior_pid(*batch, key=KEY, draws=200)
    assert np.isnan(posterior.mean.i_12[[0, 2]]).all()
    assert np.isfinite(posterior.mean.i_12[GOOD]).all()
    assert any("holds NaN" in note for note in posterior.notes)


@pytest.mark.slow
def test_flows_and_their_choice_leave_them_out():
    rng = np.random.default_rng(1)
    target = rng.standard_normal((3, 200, 2))
    one, other = (target + rng.standard_normal((3, 200, 2)) for _ in range(2))
    one[1, :, 0] = other[1, :, 0]  # both sources share a column
    one[2, 0] = np.inf
    flow = RealNVP(couplings=1, width=4, epochs=2, refits=0, intervals=False)
    found = estimate_pid(one, other, target, spec=PIDSpec(NoReduction(), Auto(flow)), key=KEY)
    assert found.status.tolist() == [Status.OK, Status.OK, Status.NOT_FINITE]
    assert found.gaussianizer[1] == "Copula"
    assert any("sources share some direction in problem 1" in note for note in found.notes)
    assert np.isfinite(values(found.atoms)[:2]).all()


def test_a_single_problem_or_a_variable_of_all_is_refused(batch):
    one, other, target = batch
    with pytest.raises(ValueError, match=r"source_1.*NaN"):
        estimate_pid(one[0], other, target, key=KEY)
    with pytest.raises(ValueError, match="source_1 is constant"):
        estimate_pid(one[2], other, target, key=KEY)
    with pytest.raises(ValueError, match="target is constant"):
        estimate_pid(one[GOOD], other, np.ones((200, 1)), key=KEY)
    with pytest.raises(ValueError, match=r"source_1.*constant"):
        estimate_pid(one[2], other, target, spec=RAW, key=KEY)


def test_the_first_reason_counts_and_huge_values_are_finite():
    rng = np.random.default_rng(2)
    one = 1e307 * rng.uniform(0.5, 1, (3, 50, 2))  # the sum of a problem overflows
    other = rng.standard_normal((3, 50, 1))
    other[0], one[0, 0] = 1.0, np.nan
    usable = find_usable([("one", one), ("other", other)], is_whole=True)
    assert usable.status.tolist() == [Status.NOT_FINITE, Status.OK, Status.OK]
    assert len(usable.notes) == 2
    np.testing.assert_array_equal(usable.arrays[0][1:], one[1:])
    assert np.isfinite(usable.arrays[0]).all()
