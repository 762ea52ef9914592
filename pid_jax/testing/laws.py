"""Laws that a decomposition of jointly Gaussian variables obeys, one function each.

Every law takes the decomposition under test, a problem, a source of randomness and a tolerance in nats, and raises an
AssertionError that says what is broken:

    @given(problems())
    def test_my_estimator(problem):
        check_laws(my_decomposition, problem, np.random.default_rng(0), tolerance=1e-6)

`LAWS` hold for every measure with nonnegative atoms whose uniques depend on the pairs (source_k, target) alone, such as
MMI and BROJA; `BROJA_LAWS` add those of the BROJA measure. What a law needs to know of a problem it computes by a route
of its own, in NumPy from the definition (`pid_jax.testing.channels`). `POINTWISE_LAWS` hold for shares of samples; they
take a function of samples (source_1, source_2, target) that returns something with `.atoms`, `.information` and
`.pointwise`, and draw the samples from the problem.

Source: Williams & Beer (2010), arXiv:1004.2515, for the lattice; Bertschinger, Rauh, Olbrich, Jost & Ay (2014), Entropy
16(4), 2161, for BROJA.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pid_jax.decompose.result import ATOMS
from pid_jax.testing.channels import channels, coupled_covariance, coupled_information, optimal_coupling
from pid_jax.testing.problems import (
    Decompose,
    Problem,
    apply_maps,
    block_rows,
    join,
    linear_map,
    random_channel,
    swap_sources,
)

Law = Callable[[Decompose, Problem, np.random.Generator, float], None]


def check_laws(
    decompose: Decompose,
    problem: Problem,
    rng: np.random.Generator,
    tolerance: float,
    laws: Iterable[Law] | None = None,
) -> None:
    """Check several laws, `BROJA_LAWS` if not given.

    Example:
        >>> import numpy as np
        >>> from pid_jax import gaussian_pid
        >>> from pid_jax.testing.laws import atoms_are_not_negative, check_laws, each_source_splits
        >>> from pid_jax.testing.problems import random_channel
        >>> rng = np.random.default_rng(0)
        >>> problem = random_channel(rng, (2, 2, 2), gains=(0.3, 3.0))
        >>> check_laws(gaussian_pid, problem, rng, tolerance=1e-8, laws=[atoms_are_not_negative, each_source_splits])
    """
    for law in BROJA_LAWS if laws is None else laws:
        law(decompose, problem, rng, tolerance)


def atoms_sum_to_the_whole(decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """R + U_1 + U_2 + S = I_12."""
    found = decompose(*problem)
    total = sum(getattr(found.atoms, name) for name in ATOMS)
    close(total, found.information.i_12, tolerance, "R + U_1 + U_2 + S = I_12")


def each_source_splits(decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """R + U_k = I_k."""
    atoms, information = (found := decompose(*problem)).atoms, found.information
    close(atoms.redundancy + atoms.unique_1, information.i_1, tolerance, "R + U_1 = I_1")
    close(atoms.redundancy + atoms.unique_2, information.i_2, tolerance, "R + U_2 = I_2")


def information_is_that_of_the_channels(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """I_k = ½ log |I + H_kᵀ H_k|, and I_12 is the information under the noise coupling of the data."""
    information = decompose(*problem).information
    parts = channels(problem)
    for name, gain in (("i_1", parts.gain_1), ("i_2", parts.gain_2)):
        wanted = 0.5 * np.linalg.slogdet(np.eye(gain.shape[1]) + gain.T @ gain)[1]
        close(getattr(information, name), wanted, tolerance, f"{name} is the information of its channel")
    wanted = coupled_information(parts.gain_1, parts.gain_2, parts.coupling)
    close(information.i_12, wanted, tolerance, "i_12 is the information of both channels")


def atoms_are_not_negative(decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """Every atom is at least zero; for U_k and R this bounds R by the smaller information."""
    found = decompose(*problem)
    for name in ATOMS:
        value = getattr(found.atoms, name)
        assert value >= -tolerance, f"{name} is not negative, got {value}"


def swapping_sources_swaps_uniques(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Exchanging source_1 and source_2 exchanges their unique informations and changes nothing else."""
    found, swapped = decompose(*problem), decompose(*swap_sources(problem))
    pairs = {"redundancy": "redundancy", "unique_1": "unique_2", "unique_2": "unique_1", "synergy": "synergy"}
    for name, other in pairs.items():
        law = f"{name} becomes {other} when the sources are swapped"
        close(getattr(swapped.atoms, other), getattr(found.atoms, name), tolerance, law)


def linear_maps_change_nothing(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Invertible linear maps of single variables leave all atoms as they are."""
    mapped = apply_maps(problem, [linear_map(rng, d, d, condition=10.0) for d in problem.dims])
    _same_atoms(decompose, problem, mapped, tolerance, "unchanged by invertible linear maps of each variable")


def repeated_coordinates_change_nothing(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """A coordinate that follows from the others of its variable leaves all atoms as they are.

    The covariance is singular then: a decomposition has to reduce it to its range.
    """
    maps = []
    for at in block_rows(problem.dims):
        block = problem.cov[np.ix_(at, at)]
        weights = rng.uniform(0.5, 1.5, size=len(at)) * np.where(block[0] < 0, -1, 1)  # so that the sum does not cancel
        maps.append(np.concatenate([np.eye(len(at)), weights[None]]))
    mixed = apply_maps(problem, maps)
    _same_atoms(decompose, problem, mixed, tolerance, "unchanged by coordinates that follow from the others")


def independent_systems_add(decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """Atoms of two systems that have nothing to do with each other add (BROJA; not MMI)."""
    other = random_channel(rng, (1, 1, 1), (1.0, 0.5))
    parts, together = (decompose(*problem), decompose(*other)), decompose(*join(problem, other))
    for name in ATOMS:
        total = sum(getattr(part.atoms, name) for part in parts)
        close(getattr(together.atoms, name), total, tolerance, f"{name} adds over independent systems")


def uniques_depend_on_the_pairs_only(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Another dependence between the sources, with the same (source_k, target) pairs, changes synergy alone."""
    actual = channels(problem).coupling
    other = 0.5 * actual + 0.5 * _random_coupling(rng, actual.shape)
    changed = Problem(coupled_covariance(problem, other), problem.dims)
    found, again = decompose(*problem), decompose(*changed)
    for name in ("redundancy", "unique_1", "unique_2"):
        law = f"{name} depends on the pairs (source_k, target) only"
        close(getattr(again.atoms, name), getattr(found.atoms, name), tolerance, law)


def noise_on_a_source_does_not_add_to_its_unique(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Independent noise on source_1 does not raise U_1, nor the redundancy, and does not lower U_2 (BROJA)."""
    at_1 = block_rows(problem.dims)[0]
    cov = problem.cov.copy()
    factor = rng.normal(size=(len(at_1), len(at_1)))
    cov[np.ix_(at_1, at_1)] += factor @ factor.T * np.trace(cov[np.ix_(at_1, at_1)]) / len(at_1) ** 2
    found, noisy = decompose(*problem), decompose(cov, problem.dims)
    for name, sign in (("unique_1", 1), ("redundancy", 1), ("unique_2", -1)):
        rise = sign * (getattr(noisy.atoms, name) - getattr(found.atoms, name))
        assert rise <= tolerance, f"noise on source_1 moves {name} the wrong way, by {rise}"


def scalar_targets_have_one_unique(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """For a scalar target R = min(I_1, I_2), for every measure that depends on the pairs only (Barrett 2015)."""
    at_t = block_rows(problem.dims)[2]
    rows = np.concatenate([np.arange(at_t[0]), at_t[:1]])
    found = decompose(problem.cov[np.ix_(rows, rows)], (*problem.dims[:2], 1))
    smaller = min(found.information.i_1, found.information.i_2)
    close(found.atoms.redundancy, smaller, tolerance, "R = min(I_1, I_2) for a scalar target")


def union_is_attained(decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """The coupling K* = H_1 C⁺ H_2ᵀ is feasible, and its information is I_1 + I_2 − R (BROJA)."""
    parts = channels(problem)
    best = optimal_coupling(parts.gain_1, parts.gain_2)
    largest = np.linalg.norm(best, 2)
    assert largest <= 1 + tolerance, f"the optimal coupling is feasible, got norm {largest}"
    union = _union(decompose(*problem))
    value = coupled_information(parts.gain_1, parts.gain_2, best)
    close(union, value, tolerance, "a coupling attains the union information")


def no_coupling_is_below_the_union(
    decompose: Decompose, problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """Couplings with the same pairs, anywhere and close to the optimum, never tell less than I_1 + I_2 − R (BROJA)."""
    parts = channels(problem)
    union = _union(decompose(*problem))
    best = optimal_coupling(parts.gain_1, parts.gain_2)
    for weight in (1.0, 1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3):
        drawn = (1 - weight) * best + weight * _random_coupling(rng, best.shape)
        value = coupled_information(parts.gain_1, parts.gain_2, drawn)
        assert value >= union - tolerance, (
            f"a coupling {weight} away from the optimum tells {value}, less than the union information {union}"
        )


def shares_average_to_the_atoms(
    pointwise: Callable[..., Any], problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """The mean of the samples' shares in an atom or information is that atom or information."""
    found = pointwise(*_draw(problem, rng))
    for name, value in (vars(found.atoms) | vars(found.information)).items():
        close(getattr(found.pointwise, name).mean(), value, tolerance, f"shares in {name} average to it")


def shares_add_up(pointwise: Callable[..., Any], problem: Problem, rng: np.random.Generator, tolerance: float) -> None:
    """Sample by sample, r + u_k = i_k and r + u_1 + u_2 + s = i_12 for every sample."""
    shares = pointwise(*_draw(problem, rng)).pointwise
    close(shares.redundancy + shares.unique_1, shares.i_1, tolerance, "r + u_1 = i_1")
    close(shares.redundancy + shares.unique_2, shares.i_2, tolerance, "r + u_2 = i_2")
    close(sum(getattr(shares, name) for name in ATOMS), shares.i_12, tolerance, "r + u_1 + u_2 + s = i_12")


def shares_in_information_are_local(
    pointwise: Callable[..., Any], problem: Problem, rng: np.random.Generator, tolerance: float
) -> None:
    """i_k of a sample is log p(x_k, t) / (p(x_k) p(t)) under the Gaussian with the unbiased sample covariance."""
    variables = _draw(problem, rng)
    shares = pointwise(*variables).pointwise
    *sources, target = variables
    for name, source in (("i_1", sources[0]), ("i_2", sources[1]), ("i_12", np.concatenate(sources, axis=1))):
        joint = _log_density(np.concatenate([source, target], axis=1))
        local = joint - _log_density(source) - _log_density(target)
        close(getattr(shares, name), local, tolerance, f"shares in {name} are local informations")


LAWS: tuple[Law, ...] = (
    atoms_sum_to_the_whole,
    each_source_splits,
    information_is_that_of_the_channels,
    atoms_are_not_negative,
    swapping_sources_swaps_uniques,
    linear_maps_change_nothing,
    repeated_coordinates_change_nothing,
    uniques_depend_on_the_pairs_only,
    scalar_targets_have_one_unique,
)
BROJA_LAWS: tuple[Law, ...] = (
    *LAWS,
    independent_systems_add,
    noise_on_a_source_does_not_add_to_its_unique,
    union_is_attained,
    no_coupling_is_below_the_union,
)
POINTWISE_LAWS: tuple[Law, ...] = (
    shares_average_to_the_atoms,
    shares_add_up,
    shares_in_information_are_local,
)


def close(actual: Any, wanted: Any, tolerance: float, law: str) -> None:
    """Assert that two numbers agree, and name the law if not."""
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance, err_msg=law)


def _same_atoms(decompose: Decompose, first: Problem, second: Problem, tolerance: float, why: str) -> None:
    found, again = decompose(*first), decompose(*second)
    for name in ATOMS:
        close(getattr(again.atoms, name), getattr(found.atoms, name), tolerance, f"{name}: {why}")


def _union(found: Any) -> float:
    return found.information.i_1 + found.information.i_2 - found.atoms.redundancy


def _random_coupling(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    drawn = rng.normal(size=shape)
    return drawn * rng.uniform(0, 0.999) / max(np.linalg.norm(drawn, 2), 1e-300)


def _draw(problem: Problem, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw samples of the three variables, a few more than dims."""
    size = len(problem.cov)
    values, axes = np.linalg.eigh(problem.cov)
    rows = rng.normal(size=(4 * size + 2, size)) * np.sqrt(np.maximum(values, 0)) @ axes.T
    return np.split(rows, np.cumsum(problem.dims)[:-1], axis=1)


def _log_density(rows: np.ndarray) -> np.ndarray:
    """Compute log densities of rows under the Gaussian of their mean and unbiased covariance, up to what cancels."""
    centered = rows - rows.mean(axis=0)
    cov = centered.T @ centered / (len(rows) - 1)
    return -0.5 * ((centered @ np.linalg.inv(cov) * centered).sum(axis=1) + np.linalg.slogdet(cov)[1])
