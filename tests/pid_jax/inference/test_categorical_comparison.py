"""Differences between two conditions in what sources tell about a categorical answer."""

import jax
import numpy as np
import pandas as pd
import pytest

from pid_jax import (
    Block,
    CategoricalComparison,
    CategoricalSpec,
    LinearClassifier,
    PoolRare,
    Status,
    compare_pid,
    estimate_categorical_pid,
)
from pid_jax.categorical.estimate import predict_classified
from pid_jax.categorical.samples import read_classified
from pid_jax.inference.categorical_comparison import _pairs
from pid_jax.pid.atoms import QUANTITIES, quantities_of
from tests.pid_jax.categorical.systems import SAMPLES, SPEC, draw


def stacked(values):
    return np.stack([np.asarray(getattr(values, name)) for name in QUANTITIES])


def compared(before, after, spec=SPEC, **options):
    return compare_pid(before, after, spec=spec, key=jax.random.key(0), **options)


@pytest.fixture(scope="module")
def conditions():
    """Two problems each; under the intervention the first source loses what it knows in the first one."""
    one, two, answer = draw(leading=(2,))
    noisy = one.copy()
    noisy[0] = np.random.default_rng(5).normal(size=one[0].shape)
    return (one, two, answer), (noisy, two, answer)


@pytest.fixture(scope="module")
def found(conditions):
    return compared(*conditions)


def test_differences_are_those_of_the_two_estimates(conditions, found):
    (one, two, answer), (noisy, _, _) = conditions
    both = estimate_categorical_pid(
        np.stack([one, noisy]), np.stack([two, two]), answer, spec=SPEC, key=jax.random.key(0)
    )
    values = stacked(quantities_of(both.atoms, both.information))
    np.testing.assert_allclose(stacked(found.difference), values[:, 1] - values[:, 0], atol=1e-12)
    np.testing.assert_allclose(
        stacked(found.upper) - stacked(found.difference), 1.96 * stacked(found.standard_error), rtol=1e-3
    )


def test_what_an_intervention_takes_is_found(found):
    assert found.upper.i_1[0] < 0
    assert found.p_value.i_1[0] < 1e-4
    assert found.family_wise.i_1[0] < 0.01
    np.testing.assert_array_equal(found.status, Status.OK)


def test_identical_conditions_do_not_differ(conditions, found):
    """The second problem is the same in both, and both are when the baseline is compared with itself."""
    for one, problems in ((found, 1), (compared(conditions[0], conditions[0]), slice(None))):
        np.testing.assert_array_equal(stacked(one.difference)[:, problems], 0)
        np.testing.assert_array_equal(stacked(one.p_value)[:, problems], 1)
        np.testing.assert_array_equal(stacked(one.family_wise)[:, problems], 1)


def test_files_and_text(found, tmp_path):
    bits = found.in_bits()
    assert bits.baseline.unit == "bits"
    np.testing.assert_allclose(stacked(bits.lower), stacked(found.lower) / np.log(2))
    again = CategoricalComparison.load(bits.save(tmp_path / "comparison.nc"))
    np.testing.assert_array_equal(stacked(again.p_value), stacked(bits.p_value))
    np.testing.assert_array_equal(stacked(again.intervention.pointwise), stacked(bits.intervention.pointwise))
    assert repr(again) == repr(bits)
    assert "CategoricalComparison of 2 problems" in repr(found)


def test_a_problem_that_cannot_be_computed_leaves_the_other_alone(conditions, found):
    before, (noisy, two, answer) = conditions
    broken = noisy.copy()
    broken[1, 7, 0] = np.nan
    other = compared(before, (broken, two, answer))
    np.testing.assert_array_equal(other.status, [Status.OK, Status.NOT_FINITE])
    assert np.isnan(stacked(other.p_value)[:, 1]).all()
    np.testing.assert_allclose(other.difference.i_1[0], found.difference.i_1[0], atol=1e-6)


@pytest.mark.slow
def test_answers_that_only_one_condition_has_are_classes_of_both(conditions):
    """Rare ones are pooled over both conditions, and a note says so."""
    (one, two, answer), after = conditions
    odd = answer.copy()
    odd[:6] = 7
    spec = CategoricalSpec(**{**vars(SPEC), "rare": PoolRare(fewest=10)})
    other = compared((one, two, answer), (*after[:2], odd), spec=spec)
    assert other.baseline.classes == other.intervention.classes == (0, 1)
    assert other.baseline.samples == SAMPLES - 6
    assert any("left out" in note for note in other.notes)


def test_a_class_that_only_the_intervention_has(conditions):
    (one, two, answer), (noisy, _, _) = conditions
    changed = np.where(np.arange(SAMPLES) % 4, answer, 2)
    other = compared((one, two, answer), (noisy, two, changed))
    np.testing.assert_array_equal(other.status, Status.OK)
    assert other.baseline.classes == (0, 1, 2)
    assert np.isfinite(stacked(other.difference)).all()
    assert (other.baseline.information.i_1 > 0.1).all()
    (note,) = [note for note in other.notes if "never" in note]
    assert note.startswith("intervention: 1 class of 3 ")
    assert note.endswith(" 2")


def test_one_class_under_the_intervention(conditions):
    """In one problem it is a status and a note on that problem, in all of them an error."""
    (one, two, answer), _ = conditions
    before = (one, two, np.stack([answer, answer]))
    same = np.zeros_like(answer)
    other = compared(before, (one, two, np.stack([answer, same])))
    np.testing.assert_array_equal(other.status, [Status.OK, Status.CONSTANT])
    assert any(note.startswith("problem 1 of the intervention: ") for note in other.notes)
    with pytest.raises(ValueError, match="intervention"):
        compared((one[0], two[0], answer), (one[0], two[0], same))


@pytest.mark.parametrize("change", ["samples", "features", "kinds", "labels", "ids", "parts", "blocks", "resamples"])
def test_conditions_that_do_not_belong_together_are_refused(conditions, change):
    (one, two, answer), (noisy, _, _) = conditions
    before, after, options, error = (one, two, answer), [noisy, two, answer], {}, ValueError
    if change == "samples":
        after = [x[..., :-1, :] for x in (noisy, two)] + [answer[:-1]]
    elif change == "features":
        after[0] = noisy[..., :1]
    elif change == "kinds":
        after[2], error = np.array(["no", "yes"])[answer], TypeError
    elif change == "labels":
        before, after = (one[0], two[0], pd.Series(answer)), (noisy[0], two[0], pd.Series(answer[::-1])[::-1])
    elif change == "ids":
        options["ids"] = (range(SAMPLES), range(1, SAMPLES + 1))
    elif change == "parts":
        after, error = after[:2], TypeError
    else:
        options[change] = Block(5) if change == "blocks" else 0
    with pytest.raises(error, match=change if change in ("ids", "blocks", "resamples") else "intervention"):
        compared(before, after, **options)


@pytest.mark.slow
def test_paired_differences_have_their_size(key):
    """Two noisy views of one thing do not differ: of 100 problems 5 are expected below .05."""
    rng = np.random.default_rng(0)
    answer = rng.integers(0, 2, 400)
    true = answer[:, None] * 1.5 + rng.normal(size=(100, 400, 2))
    views = [true + 0.5 * rng.normal(size=true.shape) for _ in range(2)]
    two = rng.normal(size=(100, 400, 2))
    spec = CategoricalSpec(classifier=LinearClassifier(), cells=24)
    found = compare_pid(*((one, two, answer) for one in views), spec=spec, key=key)
    for name in ("i_1", "i_12", "unique_1"):
        p_value = getattr(found.p_value, name)
        assert 0.01 <= (p_value <= 0.05).mean() <= 0.12, name
        assert 0.35 <= (p_value <= 0.5).mean() <= 0.65, name


def test_a_sample_is_in_the_same_fold_in_both_conditions(conditions):
    """Also where its answer changes; folds keep the classes of both balanced."""
    (one, two, answer), _ = conditions
    other = answer.copy()
    other[::9] = 1 - other[::9]
    samples = read_classified(
        np.stack([one, one]), np.stack([two, two]), np.stack([answer, other])[:, None].repeat(2, 1), SPEC
    )
    pairs = _pairs(samples)
    fold = predict_classified(samples, SPEC, jax.random.split(jax.random.key(0), 3), strata=pairs).fold
    np.testing.assert_array_equal(fold[:2], fold[2:])
    for codes in (answer, other):
        counts = np.array([np.bincount(codes[fold[0] == one], minlength=2) for one in range(SPEC.folds)])
        assert np.ptp(counts, axis=0).max() <= 2
