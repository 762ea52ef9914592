"""How many samples intervals need."""

import json

import jax
import numpy as np
import pytest

from pid_jax import (
    MMI,
    NoGaussianization,
    NoReduction,
    PIDSpec,
    bootstrap_pid,
    estimate_pid,
    gaussian_pid,
    samples_needed,
)
from pid_jax.decompose.result import ATOMS
from pid_jax.gaussian.channels import joint_covariance, split_channels
from pid_jax.inference.power import _crossing
from pid_jax.runtime.precision import double_precision
from pid_jax.testing.problems import random_channel

COV, DIMS = random_channel(np.random.default_rng(0), (2, 2, 2), (1.0, 0.6))
SPEC = PIDSpec(NoReduction(), NoGaussianization())


def stacked(atoms):
    return np.stack([np.asarray(getattr(atoms, name)) for name in ATOMS])


@pytest.mark.slow
def test_that_many_samples_are_enough(key):
    """In fresh data sets of that size the interval is narrow enough in the share asked for.

    The standard error has a part of the 60 simulations, and one of the 60 data sets.
    """
    needed = samples_needed(gaussian_pid(COV, DIMS), width=0.2, key=key, assurance=0.8, simulations=60)
    for name in ("redundancy", "unique_1"):
        n = int(getattr(needed.samples, name))
        rows = np.random.default_rng(1).multivariate_normal(np.zeros(6), COV, size=(60, n))
        wide = []
        for one, own_key in zip(rows, jax.random.split(key, 60), strict=True):
            found = bootstrap_pid(*np.split(one, 3, axis=-1), spec=SPEC, key=own_key, resamples=200)
            wide.append(getattr(found.upper, name) - getattr(found.lower, name))
        assert abs(np.mean(np.asarray(wide) <= 0.2) - 0.8) < 3 * np.sqrt(2 * 0.8 * 0.2 / 60)


@pytest.mark.slow
def test_widths_fall_and_more_samples_are_needed_for_less(key):
    wide, narrow = (samples_needed(gaussian_pid(COV, DIMS), width=width, key=key) for width in (0.3, 0.15))
    assert (stacked(narrow.samples) > 2 * stacked(wide.samples)).all()
    assert (np.diff(stacked(narrow.width)[:, ::3]) < 0).all()
    assert narrow.tried[-1] >= stacked(narrow.samples).max()
    assert "95% intervals of 0.15 nats or less in 50% of data sets" in repr(narrow)


@pytest.mark.slow
def test_bits_are_nats_in_other_words_and_a_pilot_has_axes(key):
    rows = np.random.default_rng(2).multivariate_normal(np.zeros(6), COV, size=(1, 2, 300))
    pilot = estimate_pid(*np.split(rows, 3, axis=-1), spec=SPEC, key=key)
    nats = samples_needed(pilot, width=0.3, key=key, simulations=20)
    bits = samples_needed(pilot.in_bits(), width=0.3 / np.log(2), key=key, simulations=20)
    np.testing.assert_array_equal(stacked(nats.samples), stacked(bits.samples))
    np.testing.assert_allclose(stacked(nats.in_bits().width), stacked(bits.width))
    assert nats.samples.synergy.shape == (1, 2)
    assert nats.width.synergy.shape == (len(nats.tried), 1, 2)
    assert json.loads(json.dumps(nats.settings))["pilot_samples"] == 300


def test_what_is_out_of_reach_is_infinite(key):
    needed = samples_needed(gaussian_pid(COV, DIMS, redundancy=MMI()), width=0.01, key=key, most=200, simulations=10)
    assert np.isinf(stacked(needed.samples)).all()
    assert "more than 200" in repr(needed)


def test_crossing_is_found_on_a_power_law():
    tried = np.asarray([100, 200, 400, 800])
    assert _crossing(tried, 2 / np.sqrt(tried), 0.12) == pytest.approx((2 / 0.12) ** 2, abs=1)
    assert _crossing(tried, 2 / np.sqrt(tried), 1.0) == 100
    assert _crossing(tried, 2 / np.sqrt(tried), 0.01) == np.inf


def test_channels_make_the_covariance_they_came_from():
    """Up to a linear map of each variable, which no atom sees."""
    with double_precision():
        again = np.asarray(joint_covariance(split_channels(COV, DIMS)))
    for name in ATOMS:
        one, other = (getattr(gaussian_pid(cov, DIMS).atoms, name) for cov in (COV, again))
        assert one == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"width": 0}, ValueError, r"width needs a number above 0"),
        ({"key": 0}, TypeError, r"key needs a JAX random key"),
        ({"level": 1}, ValueError, r"level needs a number between 0 and 1"),
        ({"assurance": 1.0}, ValueError, r"assurance needs a number between 0 and 1"),
        ({"simulations": 9}, ValueError, r"simulations=9 are too few: use at least 10"),
        ({"most": 11}, ValueError, r"most=11 is below 12, twice the dims \(2, 2, 2\)"),
    ],
)
def test_bad_arguments(changes, kind, message, key):
    with pytest.raises(kind, match=message):
        samples_needed(gaussian_pid(COV, DIMS), **({"width": 0.1, "key": key} | changes))


def test_bad_estimates(key):
    with pytest.raises(TypeError, match=r"estimate_pid.*gaussian_pid"):
        samples_needed(COV, width=0.1, key=key)
    singular = np.stack([COV, np.where(np.eye(6, dtype=bool)[0] | np.eye(6, dtype=bool)[:, :1], 0.0, COV)])
    with pytest.raises(ValueError, match=r"1 singular covariances, the first at place 1"):
        samples_needed(gaussian_pid(singular, DIMS), width=0.1, key=key)
    assert isinstance(key, jax.Array)
