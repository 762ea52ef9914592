"""Recalibration of posteriors: against a general optimizer, and laws of the largest likelihood."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from pid_jax.categorical.recalibrate import influence, recalibrate
from pid_jax.testing.strategies import seeds

N = 40


def drawn(seed, classes, rarest=1.0, is_gold=False):
    """Posteriors and answers that agree in part; the last class is rare."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(N, classes))
    noise = 2 * rng.normal(size=logits.shape) + rng.normal(size=classes)
    answers = softmax(3 * logits + np.log([*[1.0] * (classes - 1), rarest]), axis=1)
    if is_gold:
        answers = np.eye(classes)[np.append(np.arange(classes), answers.argmax(axis=1)[classes:])]
    return softmax(rng.choice([0.3, 1, 10]) * (logits + noise), axis=1), answers


def gain(logs, answers):
    return np.sum(answers * logs, axis=1).mean()


@given(seed=seeds(), classes=st.integers(2, 12), rarest=st.sampled_from([1.0, 1e-3, 1e-7]), is_gold=st.booleans())
def test_conditions_of_the_largest_likelihood(seed, classes, rarest, is_gold):
    posteriors, answers = drawn(seed, classes, rarest, is_gold)
    found = recalibrate(posteriors, answers)
    frequencies = answers.mean(axis=0)
    np.testing.assert_allclose(found.posteriors.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found.posteriors.mean(axis=0), frequencies, rtol=1e-6)
    logs = np.log(found.posteriors)
    worth, claimed = gain(logs, answers), gain(logs, found.posteriors)
    assert worth == pytest.approx(claimed, abs=1e-6)
    assert worth >= gain(np.log(frequencies)[None], answers) - 1e-9  # knowing nothing
    assert worth >= gain(np.log(posteriors), answers) - 1e-7  # as they are


@pytest.mark.parametrize("seed", range(3))
def test_general_optimizer(seed):
    posteriors, answers = drawn(seed, 4)
    logs = np.log(posteriors)

    def loss(x):
        return -gain(log_softmax(x[0] * logs + x[1:], axis=1), answers)

    best = minimize(loss, [0.5, 0, 0, 0, 0], bounds=[(0, None), *[(None, None)] * 4], tol=1e-14)
    found = recalibrate(posteriors, answers)
    assert gain(np.log(found.posteriors), answers) == pytest.approx(-best.fun, abs=1e-7)
    assert 1 / found.temperature == pytest.approx(best.x[0], abs=1e-3)


def test_posteriors_that_exclude_answers_or_tell_all_apart():
    """Zeros where the answer is possible, and a classifier that is always right."""
    answers = np.eye(3)[np.arange(N) % 3]
    perfect = recalibrate(answers, answers)
    np.testing.assert_allclose(perfect.posteriors, answers, atol=1e-6)
    wrong = answers.copy()
    wrong[0] = wrong[1]
    found = recalibrate(wrong, answers)
    assert np.isfinite(np.log(found.posteriors)).all()
    assert gain(np.log(found.posteriors), answers) > -0.3  # of log 3


@pytest.mark.parametrize("scale", [1, 0])
def test_influence_is_the_derivative_in_the_weight_of_a_sample(scale):
    """A sample that is repeated moves the mean by its influence; also where the posteriors know nothing."""
    posteriors, answers = drawn(0, 4)
    posteriors = posteriors if scale else np.full_like(posteriors, 0.25)
    table = np.random.default_rng(1).normal(size=answers.shape)
    given_ = recalibrate(posteriors, answers)
    found = influence(table, given_, answers)
    mean = np.sum(given_.posteriors * table, axis=1).mean()
    assert found.mean() == pytest.approx(mean, abs=1e-8)
    copies = 200  # of all others, so that a repeated sample weighs little
    for row in (0, 17):
        index = np.append(np.tile(np.arange(N), copies), row)
        moved = recalibrate(posteriors[index], answers[index]).posteriors
        change = np.sum(moved * table[index], axis=1).mean() - mean
        assert change * len(index) == pytest.approx(found[row] - mean, abs=0.02)
