"""Variables whose samples form classes are named; Gaussian ones and those of a flow are not."""

import dataclasses

import numpy as np
import pytest

from pid_jax.normality.diagnostics import Diagnostics, diagnose
from pid_jax.normality.light_tails import SMALLEST_KURTOSIS, describe_light_tails, kurtosis_left

SAMPLES, DIMS = 1000, (8, 6, 4)


def diagnosed(seed: int, *, modes: int) -> Diagnostics:
    """Diagnose rotated variables of which so many coordinates have two modes, as the only problem of a batch."""
    rng, parts = np.random.default_rng(seed), []
    for d in DIMS:
        x = rng.normal(size=(SAMPLES, d))
        x[:, :modes] += 3 * np.sign(x[:, :modes])
        parts.append(x @ np.linalg.qr(rng.normal(size=(d, d)))[0])
    found = diagnose(np.concatenate(parts, axis=1), DIMS)
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return Diagnostics(
        **{
            name: dataclasses.replace(one, z=one.z[None], nats=one.nats[None]) if hasattr(one, "nats") else one[None]
            for name, one in fields.items()
        }
    )


def test_classes_are_named_where_no_flow_bends_them():
    found = diagnosed(0, modes=3)
    (sentence,) = describe_light_tails(found, DIMS, np.array([False]))
    assert sentence.startswith("the variables have lighter tails than Gaussian ones, with a kurtosis of 2 instead of 3")
    assert "hold less often than their level" in sentence
    assert describe_light_tails(found, DIMS, np.array([True])) == ()


def test_the_kurtosis_is_that_of_the_coordinates():
    """Half of them are a normal number moved away from zero by 3: E (|x| + 3)^2 and E (|x| + 3)^4 by its moments."""
    first = np.sqrt(2 / np.pi)
    second, fourth = 1 + 6 * first + 9, 3 + 12 * 2 * first + 54 + 108 * first + 81
    assert kurtosis_left(diagnosed(1, modes=3), DIMS)[0] == pytest.approx((fourth / second**2 - 3) / 2, abs=0.08)


@pytest.mark.parametrize("seed", range(5))
def test_gaussians_are_not(seed):
    found = diagnosed(seed, modes=0)
    assert kurtosis_left(found, DIMS)[0] == 0 > SMALLEST_KURTOSIS
    assert describe_light_tails(found, DIMS, np.array([False])) == ()
