"""Refits to samples of models whose information is known, and fits to folds."""

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


def test_folds_give_the_atoms_of_held_out_latents():
    """Gaussian samples behind flows that hardly move: close to the copula's atoms, up to the smaller folds."""
    variables = _gaussian(2, 3000)
    spec = PIDSpec(NoReduction(), RealNVP(couplings=1, width=4, epochs=1, folds=3))
    found = estimate_pid(*variables, spec=spec, key=jax.random.key(3))
    copula = estimate_pid(*variables, spec=PIDSpec(NoReduction(), Copula()), key=jax.random.key(3))
    for name in ("redundancy", "unique_1", "unique_2", "synergy"):
        np.testing.assert_allclose(getattr(found.atoms, name), getattr(copula.atoms, name), atol=0.02)
        plain = getattr(found.atoms, name) + getattr(found.bias, name)
        assert np.isfinite(plain).all()
    assert np.isnan(found.lower.redundancy).all()
    assert found.flow.spec.folds == 3
    assert found.flow.spec.refits == 0


def test_folds_of_too_few_samples_are_refused():
    spec = PIDSpec(NoReduction(), RealNVP(couplings=1, width=4, epochs=1, folds=50))
    with pytest.raises(ValueError, match=r"leaves 4 of 200 samples in a fold.* 40 folds or fewer"):
        estimate_pid(*_gaussian(1, 200), spec=spec, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"RealNVP\(folds=...\)"):
        RealNVP(folds=1)


def _correlations(cov):
    scale = np.sqrt(np.diagonal(cov, axis1=-2, axis2=-1))
    return cov / (scale[..., :, None] * scale[..., None, :])
