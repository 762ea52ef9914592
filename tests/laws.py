"""Laws that every decomposition obeys, one function each.

The coupling laws rest on a route of their own, in NumPy from the definition: whiten, build the noise coupling, take a
log-determinant. They share no code with the library.
"""

import numpy as np
import scipy.linalg

from pid_jax.result import ATOMS, PIDEstimate

# Rounding of a sum of a few logarithms of size 1 to 30.
EXACT = 1e-11
# Below this fraction of a variable's largest variance a direction does not exist.
RANK_CUT = 1e-12


def total(estimate: PIDEstimate) -> np.ndarray:
    return sum(getattr(estimate.atoms, name) for name in ATOMS)


def union(estimate: PIDEstimate) -> np.ndarray:
    """I_∪ = I_1 + I_2 − R."""
    return estimate.information.i_1 + estimate.information.i_2 - estimate.atoms.redundancy


def close(actual, wanted, tolerance: float, law: str) -> None:
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance, err_msg=law)


def atoms_sum_to_the_whole(estimate: PIDEstimate, tolerance: float = EXACT) -> None:
    close(total(estimate), estimate.information.i_12, tolerance, "R + U_1 + U_2 + S = I_12")


def each_source_splits(estimate: PIDEstimate, tolerance: float = EXACT) -> None:
    atoms, information = estimate.atoms, estimate.information
    close(atoms.redundancy + atoms.unique_1, information.i_1, tolerance, "R + U_1 = I_1")
    close(atoms.redundancy + atoms.unique_2, information.i_2, tolerance, "R + U_2 = I_2")


def information_is_monotone(estimate: PIDEstimate, tolerance: float = EXACT) -> None:
    information = estimate.information
    smallest = np.minimum(information.i_1, information.i_2)
    assert (smallest >= -tolerance).all(), f"information is not negative, got {smallest}"
    rest = information.i_12 - np.maximum(information.i_1, information.i_2)
    assert (rest >= -tolerance).all(), f"I_12 is at least I_1 and I_2, got less by {rest}"


def atoms_are_not_negative(estimate: PIDEstimate, tolerance: float = EXACT) -> None:
    for name in ATOMS:
        value = getattr(estimate.atoms, name)
        assert (value >= -tolerance).all(), f"{name} is not negative, got {value}"


def certificate_is_tight(estimate: PIDEstimate, tolerance: float) -> None:
    close(estimate.gap, 0, tolerance, "the coupling attains the closed form (gap = 0)")


def swap_exchanges_uniques(estimate: PIDEstimate, swapped: PIDEstimate, tolerance: float) -> None:
    pairs = {"redundancy": "redundancy", "unique_1": "unique_2", "unique_2": "unique_1", "synergy": "synergy"}
    for name, other in pairs.items():
        law = f"{name} becomes {other} when the sources are swapped"
        close(getattr(swapped.atoms, other), getattr(estimate.atoms, name), tolerance, law)


def atoms_are_equal(estimate: PIDEstimate, other: PIDEstimate, tolerance: float, why: str) -> None:
    for name in ATOMS:
        close(getattr(other.atoms, name), getattr(estimate.atoms, name), tolerance, f"{name}: {why}")


def broja_finds_less_redundancy(broja: PIDEstimate, mmi: PIDEstimate, tolerance: float = EXACT) -> None:
    surplus = broja.atoms.redundancy - mmi.atoms.redundancy
    assert (surplus <= tolerance).all(), f"R of BROJA is at most R of MMI, got more by {surplus}"
    for name in ("unique_1", "unique_2"):
        lack = getattr(mmi.atoms, name) - getattr(broja.atoms, name)
        assert (lack <= tolerance).all(), f"{name} of BROJA is at least that of MMI, got less by {lack}"


def independent_systems_add(first: PIDEstimate, second: PIDEstimate, together: PIDEstimate, tolerance: float) -> None:
    for name in ATOMS:
        parts = getattr(first.atoms, name) + getattr(second.atoms, name)
        close(getattr(together.atoms, name), parts, tolerance, f"{name} adds over independent systems")


def coupling_attains_the_union(cov: np.ndarray, dims: tuple[int, int, int], estimate: PIDEstimate, tol: float) -> None:
    """K* = H_1 C⁺ H_2ᵀ is feasible and its information is the closed form: an upper bound on I_∪ that is attained."""
    gain_1, gain_2, _ = channels(cov, dims)
    best = optimal_coupling(gain_1, gain_2)
    assert np.linalg.norm(best, 2) <= 1 + tol, f"the optimal coupling is feasible, got norm {np.linalg.norm(best, 2)}"
    close(coupled_information(gain_1, gain_2, best), union(estimate), tol, "K* attains the union information")


def actual_coupling_gives_the_whole(
    cov: np.ndarray, dims: tuple[int, int, int], estimate: PIDEstimate, tol: float
) -> None:
    """The noise correlation of the data themselves gives I_12."""
    gain_1, gain_2, actual = channels(cov, dims)
    close(coupled_information(gain_1, gain_2, actual), estimate.information.i_12, tol, "the data's coupling gives I_12")


def no_coupling_is_below_the_union(
    cov: np.ndarray, dims: tuple[int, int, int], estimate: PIDEstimate, rng: np.random.Generator, tol: float
) -> None:
    """Feasible couplings, anywhere and close to the optimum, never tell less than the closed form."""
    gain_1, gain_2, _ = channels(cov, dims)
    best = optimal_coupling(gain_1, gain_2)
    for weight in (1.0, 1.0, 1.0, 0.3, 0.1, 0.03, 1e-2, 1e-3):
        drawn = rng.normal(size=best.shape)
        drawn *= rng.uniform(0, 0.999) / max(np.linalg.norm(drawn, 2), 1e-300)
        value = coupled_information(gain_1, gain_2, (1 - weight) * best + weight * drawn)
        assert value >= union(estimate) - tol, (
            f"a coupling {weight} away from the optimum tells {value}, less than the union {union(estimate)}"
        )


def channels(cov: np.ndarray, dims: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write source_k = H_k target + noise_k with target and noises white; return H_1, H_2 and the noise coupling."""
    ends = np.cumsum(dims)
    at = [slice(end - d, end) for d, end in zip(dims, ends, strict=True)]
    white = [_inverse_root(cov[i, i]) for i in at]
    cross_1, cross_2 = (white[k] @ cov[at[k], at[2]] @ white[2].T for k in (0, 1))
    root_1, root_2 = (_inverse_root(np.eye(len(cross)) - cross @ cross.T) for cross in (cross_1, cross_2))
    noise = white[0] @ cov[at[0], at[1]] @ white[1].T - cross_1 @ cross_2.T
    return root_1 @ cross_1, root_2 @ cross_2, root_1 @ noise @ root_2.T


def optimal_coupling(gain_1: np.ndarray, gain_2: np.ndarray) -> np.ndarray:
    eye = np.eye(gain_1.shape[1])
    ratio, axes = scipy.linalg.eigh(eye + gain_1.T @ gain_1, eye + gain_2.T @ gain_2)
    # eigh returns V with Vᵀ B V = I, so B = V⁻ᵀ V⁻¹; the precision of the best estimate takes the larger of both.
    root = np.linalg.inv(axes).T
    known = (root * np.maximum(ratio, 1)) @ root.T - eye
    return gain_1 @ np.linalg.pinv(known, rcond=1e-11, hermitian=True) @ gain_2.T


def coupled_information(gain_1: np.ndarray, gain_2: np.ndarray, coupling: np.ndarray) -> float:
    """½ log |I + Hᵀ N⁺ H| with N the noise covariance under a coupling."""
    noise = np.block([[np.eye(len(gain_1)), coupling], [coupling.T, np.eye(len(gain_2))]])
    gain = np.concatenate([gain_1, gain_2])
    known = gain.T @ np.linalg.pinv(noise, rcond=1e-11, hermitian=True) @ gain
    return 0.5 * np.linalg.slogdet(np.eye(len(known)) + known)[1]


def _inverse_root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    keep = values > RANK_CUT * values[-1]
    return vectors[:, keep].T / np.sqrt(values[keep])[:, None]
