"""Scatter of atoms: samples so few that replicates are singular, errors of fits, and atoms below zero."""

import dataclasses

import jax
import numpy as np
import pytest

from pid_jax import BROJA, NoGaussianization, NoReduction, PIDSpec, estimate_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.estimate.gaussianizer import Latents
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.study.scatter import scatter_of_atoms, without_impossible_signs

SAMPLES, SPEC = 16, PIDSpec(NoReduction(), NoGaussianization())


def scatter_of(weights, key):
    rows = np.random.default_rng(0).standard_normal((1, SAMPLES, 9))
    estimate = estimate_pid(*np.split(rows, 3, axis=-1), spec=SPEC, key=key)
    return scatter_of_atoms(Latents.of(NoGaussianization(), rows), estimate, BROJA(), weights, key, 0.95)


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


ERROR = 1e-3


def shifted(values, error=ERROR):
    """Shift the atoms of one layer, whose replicates scatter by `error`."""
    rows = np.random.default_rng(0).standard_normal((1, 100, 9))
    plain = estimate_pid(*np.split(rows, 3, axis=-1), spec=SPEC, key=jax.random.key(0))
    atoms = PIDAtoms(**{name: np.array([x]) for name, x in zip(ATOMS, values, strict=True)})
    ends = {end: jax.tree.map(lambda x, side=side: x + side, atoms) for end, side in (("lower", -0.1), ("upper", 0.1))}
    noise = np.random.default_rng(1).standard_normal((len(ATOMS), 1, 50))
    noise = error * (noise - noise.mean(-1, keepdims=True)) / noise.std(-1, ddof=1, keepdims=True)
    scatter = PIDAtoms(**dict(zip(ATOMS, noise, strict=True)))
    return without_impossible_signs(dataclasses.replace(plain, atoms=atoms, **ends), scatter)


def stacked(atoms):
    return np.stack([getattr(atoms, name)[0] for name in ATOMS])


def test_atoms_far_below_zero_are_raised_and_informations_stay():
    before = np.array([1.0, -0.01, 6.5, 2.0])
    estimate, drawn = shifted(before)
    by = 0.01 - 2 * ERROR
    np.testing.assert_allclose(stacked(estimate.atoms), before + by * np.array([-1, 1, 1, -1]))
    np.testing.assert_allclose(stacked(estimate.lower), stacked(estimate.atoms) - 0.1)
    np.testing.assert_allclose(stacked(drawn).mean(axis=-1), stacked(estimate.atoms))


def test_atoms_within_their_scatter_stay():
    before = np.array([1.0, -1.9 * ERROR, 6.5, 2.0])
    np.testing.assert_array_equal(stacked(shifted(before)[0].atoms), before)


@pytest.mark.parametrize("left", [0.001, -0.001])
def test_what_the_correction_leaves_of_an_atom_of_zero_is_taken_off(left):
    before = np.array([1.0, left, 6.5, 2.0])
    found = stacked(shifted(before, error=0.0)[0].atoms)
    np.testing.assert_allclose(found, before - left * np.array([-1, 1, 1, -1]), atol=1e-15)


def test_replicates_after_flows_scatter_as_wide_as_the_interval_says(key):
    rows = np.random.default_rng(2).standard_normal((2, 400, 6))
    rows[..., 4:] += rows[..., :2] + rows[..., 2:4]
    estimate = estimate_pid(*np.split(rows, 3, axis=-1), spec=SPEC, key=key)
    wide = jax.tree.map(lambda x, low: x - 3 * (x - low), estimate.atoms, estimate.lower)
    high = jax.tree.map(lambda x, top: x + 3 * (top - x), estimate.atoms, estimate.upper)
    estimate = dataclasses.replace(estimate, lower=wide, upper=high)
    latents = Latents.of(NoGaussianization(), rows)
    weights = np.random.default_rng(1).multinomial(400, np.full(400, 1 / 400), size=2000).astype(float)
    plain = scatter_of_atoms(latents, estimate, BROJA(), weights, key, 0.95)
    with_flow = dataclasses.replace(latents, used=np.array([1]), replicates=object())
    found = scatter_of_atoms(with_flow, estimate, BROJA(), weights, key, 0.95)
    for name in ATOMS:
        sd = getattr(found, name).std(axis=1)
        width = getattr(estimate.upper, name) - getattr(estimate.lower, name)
        assert sd[0] == getattr(plain, name)[0].std()
        assert sd[1] == pytest.approx(width[1] / (2 * 1.95996), rel=0.1)
