"""Refits to samples of models whose information is known."""

import jax
import numpy as np
import pytest

from pid_jax import Copula, NoReduction, PIDSpec, RealNVP, estimate_pid
from pid_jax.flow.fit import fit_flow
from pid_jax.flow.refit import refit_covariances
from pid_jax.runtime.progress import no_progress

QUICK = RealNVP(couplings=1, width=4, epochs=1)


def _gaussian(problems, samples):
    rng = np.random.default_rng(5)
    mixing = rng.normal(size=(problems, 3, 3))
    return np.split(rng.normal(size=(problems, samples, 3)) @ mixing, 3, axis=-1)


@pytest.mark.slow
def test_replicates_of_both_models_have_the_covariances_of_the_fit_up_to_sampling():
    fit = fit_flow(*_gaussian(2, 2000), spec=QUICK, key=jax.random.key(0))
    found = refit_covariances(fit, _gaussian(2, 2000), jax.random.key(1), no_progress)
    for cov in (found.drawn, found.found):
        assert cov.shape == (2, 1, 2, 3, 3)
        # Scales of latents are free: correlations compare, to five standard errors of n = 2000.
        np.testing.assert_allclose(_correlations(cov), np.broadcast_to(_correlations(fit.cov), cov.shape), atol=0.11)
    # A flow of one step that has hardly moved finds what its samples have, far closer than sampling.
    np.testing.assert_allclose(_correlations(found.found), _correlations(found.drawn), atol=0.02)


@pytest.mark.slow
def test_scatter_of_the_refitted_samples_is_not_in_the_correction():
    """A flow that hardly does anything is the copula, and so are its corrected atoms, with a single refit."""
    variables = _gaussian(8, 400)
    found = {
        name: estimate_pid(*variables, spec=PIDSpec(NoReduction(), way), key=jax.random.key(2)).atoms
        for name, way in (("flow", RealNVP(couplings=1, width=4, epochs=1, intervals=False)), ("copula", Copula()))
    }
    apart = np.abs(np.subtract(*(np.stack(jax.tree.leaves(atoms)) for atoms in found.values())))
    assert apart.mean() < 0.004  # .002; with the refit alone as the correction it is .009


def _correlations(cov):
    scale = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    return cov / (scale[..., :, None] * scale[..., None, :])
