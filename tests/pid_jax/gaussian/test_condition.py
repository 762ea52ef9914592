"""Variables that are nearly singular: how far rounding moves atoms, and that a note says so."""

import numpy as np
import pytest

from pid_jax import NoGaussianization, NoReduction, PIDSpec, estimate_pid, gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.condition import ROUNDING, condition_numbers
from pid_jax.testing.problems import random_channel

DIMS = (4, 4, 4)


def stretched(condition, seed=0):
    """The same channels twice: as they are, and with a source_1 whose covariance has some condition."""
    rng = np.random.default_rng(seed)
    problem = random_channel(rng, DIMS, (1.0, 1.0))
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    white = np.linalg.inv(np.linalg.cholesky(problem.cov[:4, :4]))
    change = np.eye(12)
    change[:4, :4] = (turn * np.geomspace(1, condition**-0.5, 4)) @ turn.T @ white
    return problem.cov, change @ problem.cov @ change.T


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("condition", [1e6, 1e8, 1e11, 1e12])
def test_a_note_says_how_far_rounding_goes(condition):
    errors, notes = [], []
    for seed in range(5):
        plain, changed = stretched(condition, seed)
        found, expected = gaussian_pid(changed, DIMS), gaussian_pid(plain, DIMS)
        errors += [abs(float(getattr(found.atoms, name) - getattr(expected.atoms, name))) for name in ATOMS]
        notes += found.notes
        assert not expected.notes
    assert max(errors) < max(30 * ROUNDING * condition, 1e-9)
    if condition >= 1e11:
        assert len(notes) == 5
        assert all(note.startswith("source_1") and "condition" in note for note in notes)
        assert max(errors) > 1e-6
    else:
        assert not notes
        assert max(errors) < 1e-6


def test_batches_count_and_directions_that_do_not_exist_are_left_out():
    plain, changed = stretched(1e12)
    empty = plain.copy()
    empty[1, :] = empty[:, 1] = 0
    copied = np.eye(12)[[0, 0, 2, 3, *range(4, 12)]]
    covs = np.stack([plain, changed, empty, copied @ plain @ copied.T, np.full((12, 12), np.nan)])
    condition = condition_numbers(covs, DIMS, 1e-13)
    assert (condition[[0, 2, 3, 4]] < 1e6).all()
    assert 1e11 < condition[1, 0] < 1e14
    (note,) = gaussian_pid(covs, DIMS).notes
    assert "in 1 of 5 problems" in note


@pytest.mark.slow
def test_estimates_of_samples_have_the_note(key):
    rng = np.random.default_rng(0)
    source = rng.normal(size=(200, 2))
    source[:, 1] = source[:, 0] + 1e-6 * source[:, 1]
    target = rng.normal(size=(200, 2)) + source[:, :1]
    estimate = estimate_pid(target, source, target[:, :1] + rng.normal(size=(200, 1)), key=key,
                            spec=PIDSpec(NoReduction(), NoGaussianization()))  # fmt: skip
    assert any(note.startswith("source_2 has columns that nearly repeat others") for note in estimate.notes)
    assert "nearly repeat" in repr(estimate)
