"""Variance that the scatter of samples does not show, limits of the union information, and cells of many classes."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax.categorical.assemble import COMBINED, union_estimate
from pid_jax.categorical.cells import find_cells
from pid_jax.categorical.union import number_of_cells
from pid_jax.categorical.unseen import LEARNING_SHARE, Unseen, alone, shared_freedom, union_response
from pid_jax.runtime.precision import double_precision

LINEAR = "LinearClassifier"


def unseen(response, classifiers=(LINEAR, LINEAR, LINEAR), learning=(0.01, 0.02, 0.03), width=0.0, noise=0.0):
    return Unseen(
        learning=np.array([learning]),
        freedom=shared_freedom(np.array([classifiers]), np.array([3, 5, 8]), 3, 100),
        response=np.array([response], float),
        width=np.array([width]),
        noise=np.array([noise]),
    )


def test_sources_that_add_up_leave_no_chance_to_synergy_and_redundancy():
    """I_12 and the union contain the chance gains, and the learning, of both sources."""
    both = unseen((1, 1))
    np.testing.assert_allclose(both.variance(COMBINED["synergy"]), 0, atol=1e-18)
    np.testing.assert_allclose(both.variance(COMBINED["redundancy"]), 0, atol=1e-18)
    # 2 · 3 coefficients, half of them over n².
    np.testing.assert_allclose(both.variance(COMBINED["unique_1"]), 3e-4 + LEARNING_SHARE * 0.01**2)


def test_a_union_of_one_source_has_its_chance():
    """Synergy is then I_12 - I_1, in which the chance of the second source is left."""
    np.testing.assert_allclose(unseen((1, 0)).variance(COMBINED["synergy"]), 5e-4 + LEARNING_SHARE * 0.02**2)
    np.testing.assert_allclose(unseen((1, 0)).variance(COMBINED["unique_2"]), 0, atol=1e-18)


def test_both_by_one_source_alone_are_that_source():
    same = unseen((1, 0), (LINEAR, LINEAR, alone(0)), learning=(0.01, 0.02, 0.01))
    np.testing.assert_allclose(same.variance(COMBINED["synergy"]), 0, atol=1e-18)
    np.testing.assert_allclose(same.variance(COMBINED["i_12"]), same.variance(COMBINED["i_1"]))


def test_what_two_conditions_share_cancels_but_for_chance():
    one = unseen((1, 0), width=0.1, noise=0.02)
    chance = 2 * unseen((1, 0), learning=(0, 0, 0)).variance(COMBINED["synergy"])
    np.testing.assert_allclose(one.variance_of_change(one, COMBINED["synergy"]), chance)
    assert one.variance(COMBINED["synergy"]) > unseen((1, 0)).variance(COMBINED["synergy"]) > 0


def test_response_to_each_source():
    sources = np.random.default_rng(0).normal(size=(2, 4, 500))
    unions = np.stack([sources[0], sources.sum(axis=0), 0 * sources[0], np.full_like(sources[0], np.nan)])[:, 0]
    found = union_response(unions, np.repeat(sources.transpose(1, 0, 2)[:1], 4, axis=0))
    np.testing.assert_allclose(found, [[1, 0], [1, 1], [0, 0], [0, 0]], atol=1e-9)
    copies = union_response(sources[0, :1], np.repeat(sources[0, :1, None], 2, axis=1))
    np.testing.assert_allclose(copies, [[0.5, 0.5]], atol=1e-9)


@pytest.mark.parametrize(
    ("i_12", "lower", "upper", "low", "high"),
    [
        (1.0, 0.7, 0.9, 0.7, 0.9),  # inside of all limits
        (0.8, 0.7, 0.9, 0.7, 0.8),  # not more than both
        (0.65, 0.7, 0.9, 0.7, 0.7),  # an I_12 below what is certified leaves the lower bound
        (3.0, 0.2, 2.0, 0.6, 1.0),  # between the larger information and their sum
    ],
)
def test_union_keeps_its_limits(i_12, lower, upper, low, high):
    union = SimpleNamespace(lower=np.array([lower]), upper=np.array([upper]), noise=np.zeros(1))
    value, width = union_estimate(union, np.array([[0.6, 0.4, i_12]]))
    np.testing.assert_allclose(value, (low + high) / 2)
    np.testing.assert_allclose(width, high - low, atol=1e-12)


def test_every_class_has_a_cell_where_cells_are_as_many():
    classes = 30
    posteriors = np.full((600, classes), 1e-4)
    posteriors[np.arange(600), np.arange(600) % classes] = 1 - (classes - 1) * 1e-4
    with double_precision():
        cell = np.asarray(find_cells(jnp.asarray(posteriors), classes, jax.random.key(0)))
    assert len(np.unique(cell)) == classes
    assert all(len(np.unique(cell[k::classes])) == 1 for k in range(classes))


def test_number_of_cells():
    assert number_of_cells(64, 2, 1000) == 64
    assert number_of_cells(64, 20, 1000) == 32
    assert number_of_cells(64, 30, 1000) == 30  # as many as classes
    assert number_of_cells(64, 100, 1000) == 12  # that the largest system allows
    assert number_of_cells(64, 2, 20) == 20
