"""Axioms that redundancy measures may satisfy, each as a law that can be run, and which measure satisfies which.

A law of `AXIOMS` is called as those of `pid_jax.testing.laws`. `HOLDS` lists for every registered measure the axioms
that it satisfies; the tests run each law on random problems where it is listed, and on a counterexample where it is
not.

Source: Williams & Beer (2010), arXiv:1004.2515; Harder, Salge & Polani (2013), Phys. Rev. E 87, 012130, for identity;
Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy 16(4), 2161, for the pairs and the Blackwell order.
"""

from dataclasses import dataclass

import numpy as np

from pid_jax.decompose.result import ATOMS
from pid_jax.testing.channels import channels, coupled_covariance
from pid_jax.testing.laws import (
    Law,
    atoms_are_not_negative,
    close,
    independent_systems_add,
    linear_maps_change_nothing,
    noise_on_a_source_does_not_add_to_its_unique,
    scalar_targets_have_one_unique,
    swapping_sources_swaps_uniques,
    uniques_depend_on_the_pairs_only,
)
from pid_jax.testing.problems import Decompose, Problem, block_rows, random_channel, symmetric

# Size of a change of the covariance, in units of standard deviations, and by how much it may move an atom in nats.
CHANGE, MOVED = 1e-8, 1e-4


def copied_sources_are_redundant(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Where source_2 is an invertible map of source_1, all information is redundant."""
    d1 = problem.dims[0]
    found = decompose(*_replace_second(problem, rng.normal(size=(d1, d1)) + 2 * np.eye(d1), np.zeros((d1, d1))))
    close(found.atoms.redundancy, found.information.i_1, tolerance, "R = I_1 for copied sources")
    for name in ("unique_1", "unique_2", "synergy"):
        close(getattr(found.atoms, name), 0, tolerance, f"{name} is zero for copied sources")


def noisy_copies_have_no_unique(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Where source_2 is made from source_1 and noise, it has no unique information: target — source_1 — source_2."""
    found = decompose(*_noisy_copy(problem, rng))
    close(found.atoms.unique_2, 0, tolerance, "unique_2 is zero for a noisy copy of source_1")


def worse_channels_have_no_unique(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Where a noisy copy of source_1 has the pair (source_2, target), source_2 has no unique information (Blackwell).

    The noises of both sources depend on each other in another way than those of a copy do.
    """
    worse = _noisy_copy(problem, rng)
    actual = channels(worse).coupling
    drawn = rng.normal(size=actual.shape)
    other = 0.5 * actual + 0.5 * drawn * rng.uniform(0, 0.999) / max(np.linalg.norm(drawn, 2), 1e-300)
    found = decompose(coupled_covariance(worse, other), worse.dims)
    close(found.atoms.unique_2, 0, tolerance, "unique_2 is zero where source_1 is the better channel")


def independent_parts_are_unique(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Two independent sources that tell about two independent parts of the target share nothing: U_k = I_k."""
    at_1, _, at_t = block_rows(problem.dims)
    (d1, _, dt), own = problem.dims, np.concatenate([at_1, at_t])
    other = random_channel(rng, (1, 1, 1), (1.0, 1.0)).cov[1:, 1:]
    cov, first, second = np.zeros((d1 + dt + 2,) * 2), [*range(d1), *range(d1 + 1, d1 + 1 + dt)], [d1, d1 + 1 + dt]
    cov[np.ix_(first, first)], cov[np.ix_(second, second)] = problem.cov[np.ix_(own, own)], other
    found = decompose(cov, (d1, 1, dt + 1))
    close(found.atoms.unique_1, found.information.i_1, tolerance, "U_1 = I_1 for independent parts")
    close(found.atoms.unique_2, found.information.i_2, tolerance, "U_2 = I_2 for independent parts")


def small_changes_move_atoms_little(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """A change of a well-conditioned covariance of full rank by 1e-8 moves no atom by more than 1e-4 nats."""
    deviation = np.sqrt(np.diag(problem.cov))
    mixing = np.eye(len(deviation)) + CHANGE * rng.normal(size=problem.cov.shape) * deviation[:, None] / deviation
    changed = Problem(symmetric(mixing @ problem.cov @ mixing.T), problem.dims)
    found, moved = decompose(*problem), decompose(*changed)
    for name in ATOMS:
        law = f"{name} is continuous"
        close(getattr(moved.atoms, name), getattr(found.atoms, name), MOVED + tolerance, law)


@dataclass(frozen=True, kw_only=True)
class Axiom:
    """An axiom.

    Attributes:
        name: What tables call it.
        law: The function that checks it; its docstring is the statement.
    """

    name: str
    law: Law


AXIOMS: tuple[Axiom, ...] = (
    Axiom(name="atoms are not negative", law=atoms_are_not_negative),
    Axiom(name="symmetry of the sources", law=swapping_sources_swaps_uniques),
    Axiom(name="invariance under linear maps", law=linear_maps_change_nothing),
    Axiom(name="self-redundancy", law=copied_sources_are_redundant),
    Axiom(name="continuity", law=small_changes_move_atoms_little),
    Axiom(name="no unique information in a noisy copy", law=noisy_copies_have_no_unique),
    Axiom(name="no unique information in a worse channel", law=worse_channels_have_no_unique),
    Axiom(name="unique information from the pairs alone", law=uniques_depend_on_the_pairs_only),
    Axiom(name="one unique atom for a scalar target", law=scalar_targets_have_one_unique),
    Axiom(name="identity for independent parts", law=independent_parts_are_unique),
    Axiom(name="noise raises neither R nor the own U", law=noise_on_a_source_does_not_add_to_its_unique),
    Axiom(name="additivity over independent systems", law=independent_systems_add),
)
_BASIC = ("symmetry of the sources", "invariance under linear maps", "self-redundancy")
_CONTINUOUS = (*_BASIC, "atoms are not negative", "continuity", "no unique information in a noisy copy")
_OF_PAIRS = (
    *_CONTINUOUS,
    "no unique information in a worse channel",
    "unique information from the pairs alone",
    "one unique atom for a scalar target",
)
HOLDS: dict[str, frozenset[str]] = {
    "broja": frozenset(axiom.name for axiom in AXIOMS),
    "mmi": frozenset({*_OF_PAIRS, "noise raises neither R nor the own U"}),
    "idep": frozenset({*_CONTINUOUS, "identity for independent parts"}),
    "iig": frozenset(_CONTINUOUS),
    "iccs": frozenset({*_BASIC, "identity for independent parts"}),
    "deficiency": frozenset({*_OF_PAIRS, "identity for independent parts"}),
}


def _replace_second(problem: Problem, gain: np.ndarray, noise: np.ndarray) -> Problem:
    """Make source_2 anew: gain source_1 + noise of a covariance."""
    at_1, _, at_t = block_rows(problem.dims)
    d1, dt, d2 = len(at_1), len(at_t), len(gain)
    own = np.concatenate([at_1, at_t])
    whole = np.zeros((d1 + d2 + dt, d1 + dt))
    whole[:d1, :d1], whole[d1 : d1 + d2, :d1], whole[d1 + d2 :, d1:] = np.eye(d1), gain, np.eye(dt)
    cov = whole @ problem.cov[np.ix_(own, own)] @ whole.T
    cov[d1 : d1 + d2, d1 : d1 + d2] += noise
    return Problem(symmetric(cov), (d1, d2, dt))


def _noisy_copy(problem: Problem, rng: np.random.Generator) -> Problem:
    """Make source_2 from source_1 and noise of a comparable size."""
    (d1, d2, _), at_1 = problem.dims, block_rows(problem.dims)[0]
    gain, factor = rng.normal(size=(d2, d1)), rng.normal(size=(d2, d2)) + np.eye(d2)
    size = np.trace(problem.cov[np.ix_(at_1, at_1)]) / d1
    return _replace_second(problem, gain, size * (factor @ factor.T + 0.1 * np.eye(d2)))
