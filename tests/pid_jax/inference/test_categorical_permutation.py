"""Permutation tests of what sources tell about a categorical answer."""

import jax
import numpy as np
import pytest

from pid_jax import (
    Block,
    CategoricalSpec,
    ConditionalIndependence,
    Independence,
    LinearClassifier,
    NetworkClassifier,
    PIDTest,
    Status,
    permutation_test,
)
from pid_jax.categorical.forward import draw_common_folds, forward_weights
from pid_jax.pid.atoms import QUANTITIES
from tests.pid_jax.categorical.systems import PROBLEMS, SAMPLES, SPEC, draw

ATOMS, INFORMATION = QUANTITIES[:4], QUANTITIES[4:]
RESAMPLES = 99


def permute(*data, spec=SPEC, **options):
    return permutation_test(*data, spec=spec, key=jax.random.key(0), resamples=RESAMPLES, **options)


@pytest.fixture(scope="module")
def data():
    one, two, answer = draw(clarity=(2.0, 0.0))
    one[1] = np.random.default_rng(9).normal(size=one[1].shape)
    one[2] = 1.0
    return one, two, answer


@pytest.fixture(scope="module")
def found(data):
    return permute(*data)


def test_what_is_there_is_found_and_what_is_not_is_not(found):
    np.testing.assert_array_equal(found.p_value.i_1[[0, 3]], 0.01)
    np.testing.assert_array_equal(found.p_value.i_12[[0, 3]], 0.01)
    assert (found.p_value.i_2 > 0.01).all()
    assert found.p_value.i_1[1] > 0.05
    assert found.statistic.i_1[0] > 0.2


def test_a_constant_source_ties_with_every_permutation(found):
    assert found.p_value.i_1[2] == 1
    np.testing.assert_allclose(found.replicates.i_1[:, 2], found.statistic.i_1[2], atol=1e-6)


def test_p_values_follow_from_the_replicates(found):
    for name in INFORMATION:
        statistic, drawn, p = (getattr(x, name) for x in (found.statistic, found.replicates, found.p_value))
        assert drawn.shape == (RESAMPLES, PROBLEMS)
        np.testing.assert_allclose(p, (1 + (drawn >= statistic - 1e-9).sum(axis=0)) / (1 + RESAMPLES))
        assert (getattr(found.family_wise, name) >= p).all()
        assert (getattr(found.false_discovery, name) >= p).all()


def test_atoms_have_no_p_value(found):
    assert all(np.isnan(getattr(found.p_value, name)).all() for name in ATOMS)
    assert any("atoms" in note for note in found.notes)


def test_permutations_are_the_same_for_all_problems(data, found):
    """Equal problems have equal replicates, whatever their place."""
    one, two, answer = data
    order = [3, 0, 1, 2]
    moved = permute(one[order], two[order], answer)
    np.testing.assert_allclose(moved.replicates.i_12, found.replicates.i_12[:, order], atol=1e-6)


def test_axes_files_and_text(data, found, tmp_path):
    one, two, answer = (x.copy() for x in data)
    two[1, 0, 0] = np.inf
    shaped = permute(one.reshape(2, 2, SAMPLES, -1), two.reshape(2, 2, SAMPLES, -1), answer)
    assert shaped.replicates.i_1.shape == (RESAMPLES, 2, 2)
    assert shaped.status[0, 1] == Status.NOT_FINITE
    assert np.isnan(shaped.p_value.i_1[0, 1])
    np.testing.assert_array_equal(shaped.p_value.i_1[1, 1], found.p_value.i_1[3])
    again = PIDTest.load(shaped.in_bits().save(tmp_path / "test.nc"))
    np.testing.assert_allclose(again.statistic.i_12, shaped.statistic.i_12 / np.log(2))
    assert "99 permutations" in repr(again)
    assert again.settings["null"]["method"] == "Independence"


def test_a_source_that_adds_to_the_other(data):
    for source, expected in ((1, True), (2, False)):
        found = permute(*data, null=ConditionalIndependence(source=source))
        assert (found.p_value.i_12[0] <= 0.02) == expected
        assert found.p_value.i_12[1] > 0.05
        assert np.isnan(found.p_value.i_1).all()
        np.testing.assert_allclose(
            found.p_value.i_12, (1 + (found.replicates.i_12 >= found.statistic.i_12 - 1e-9).sum(axis=0)) / 100
        )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"spec": CategoricalSpec(folds=2)}, ValueError),
        ({"blocks": Block(5)}, ValueError),
        ({"refit": True}, ValueError),
        ({"null": "independence"}, TypeError),
    ],
)
def test_what_cannot_be_tested_is_refused(data, options, error):
    with pytest.raises(error, match=next(iter(options))):
        permute(*data, **options)


def test_folds_are_common_stratified_and_in_a_sequence():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, size=(4, 90))
    fold = draw_common_folds(codes, 3, np.array([1]))
    np.testing.assert_array_equal(np.bincount(fold), 30)
    counts = np.stack([np.bincount(codes[0][fold == one], minlength=3) for one in range(3)])
    assert np.ptp(counts, axis=0).max() <= 1
    np.testing.assert_array_equal(forward_weights(fold, 3), [fold == 0, fold < 2])


SYSTEMS = {
    "linear, 2 classes": (2, LinearClassifier()),
    "linear, 10 classes": (10, LinearClassifier()),
    "network": (2, NetworkClassifier(epochs=20, fewest_steps=100)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_size_is_nominal_where_there_is_nothing_to_learn(name, key):
    """Of 200 problems 10 are expected below .05; 4 % and 2 % more or less are three standard deviations or less."""
    classes, classifier = SYSTEMS[name]
    rng = np.random.default_rng(classes)
    one, two = rng.normal(size=(2, 200, 500, 8))
    spec = CategoricalSpec(classifier=classifier)
    found = permutation_test(one, two, rng.integers(0, classes, 500), spec=spec, key=key, null=Independence())
    for quantity in INFORMATION:
        assert 0.005 <= (getattr(found.p_value, quantity) <= 0.05).mean() <= 0.095
        assert (getattr(found.family_wise, quantity) <= 0.05).sum() <= 2


@pytest.mark.slow
def test_weak_signals_are_found(key):
    rng = np.random.default_rng(0)
    answer, direction = rng.integers(0, 2, 500), rng.normal(size=(2, 8))
    one = 0.15 * direction[answer] + rng.normal(size=(50, 500, 8))
    spec = CategoricalSpec(classifier=LinearClassifier())
    found = permutation_test(one, rng.normal(size=(50, 500, 8)), answer, spec=spec, key=key)
    assert (found.p_value.i_1 <= 0.05).mean() > 0.8
    assert (found.p_value.i_12 <= 0.05).mean() > 0.6
