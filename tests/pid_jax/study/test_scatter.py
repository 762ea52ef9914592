"""Scatter of atoms where samples are so few that replicates are singular."""

import numpy as np
import pytest

from pid_jax import BROJA, NoGaussianization, NoReduction, PIDSpec, estimate_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.gaussianizer import Latents
from pid_jax.study.scatter import scatter_of_atoms

SAMPLES, SPEC = 16, PIDSpec(NoReduction(), NoGaussianization())


def scatter_of(weights, key):
    rows = np.random.default_rng(0).standard_normal((1, SAMPLES, 9))
    estimate = estimate_pid(*np.split(rows, 3, axis=-1), spec=SPEC, key=key)
    return scatter_of_atoms(Latents.of(NoGaussianization(), rows), estimate, BROJA(), weights)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_replicates_with_infinite_information_leave_the_scatter_finite(key):
    """Of 16 samples drawn with replacement fewer than 10 differ now and then, too few for 9 dimensions."""
    weights = np.random.default_rng(1).multinomial(SAMPLES, np.full(SAMPLES, 1 / SAMPLES), size=30).astype(float)
    assert 0 < ((weights > 0).sum(axis=1) < 10).sum() < 15
    scatter = scatter_of(weights, key)
    for name in ATOMS:
        found = getattr(scatter, name)
        assert found.shape == (1, 30)
        assert np.isfinite(found).all()
        assert found.std() > 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_scatter_that_no_replicate_shows_is_unknown_and_not_zero(key):
    """The influences of the atom are zero, since one source is ahead in every direction."""
    weights = np.zeros((30, SAMPLES))
    weights[:, :4] = SAMPLES / 4
    scatter = scatter_of(weights, key)
    is_zero = [name for name in ATOMS if (getattr(scatter, name) == 0).all()]
    is_unknown = [name for name in ATOMS if np.isnan(getattr(scatter, name)).all()]
    assert not is_zero
    assert is_unknown
