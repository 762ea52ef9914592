"""A slow route to the same quantities, in NumPy from the definition; it shares no code with the library."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from pid_jax.testing.problems import Problem, block_rows, symmetric

# Below this fraction of a variable's largest variance a direction does not exist.
RANK_CUT = 1e-12


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Both sources as channels source_k = H_k target + noise_k, with target and noises white.

    Attributes:
        gain_1: H_1.
        gain_2: H_2.
        coupling: Covariance of the two noises in the data.
        embeddings: For each source the map from white source coordinates back to its own, and the root of the noise
            covariance in white coordinates.
    """

    gain_1: np.ndarray
    gain_2: np.ndarray
    coupling: np.ndarray
    embeddings: tuple[tuple[np.ndarray, np.ndarray], ...]


def channels(problem: Problem) -> Channels:
    """Write a problem as two channels with coupled noises."""
    cov, rows = problem.cov, block_rows(problem.dims)
    at_1, at_2, at_t = rows
    white = [_inverse_root(cov[np.ix_(at, at)]) for at in rows]
    cross = [white[k] @ cov[np.ix_(rows[k], at_t)] @ white[2].T for k in (0, 1)]
    noise_maps = [_inverse_root(np.eye(len(c)) - c @ c.T) for c in cross]
    between = white[0] @ cov[np.ix_(at_1, at_2)] @ white[1].T - cross[0] @ cross[1].T
    return Channels(
        gain_1=noise_maps[0] @ cross[0],
        gain_2=noise_maps[1] @ cross[1],
        coupling=noise_maps[0] @ between @ noise_maps[1].T,
        embeddings=tuple(
            (cov[np.ix_(at, at)] @ white[k].T, np.linalg.inv(noise_maps[k])) for k, at in enumerate((at_1, at_2))
        ),
    )


def coupled_covariance(problem: Problem, coupling: np.ndarray) -> np.ndarray:
    """Compute the joint covariance with another noise coupling; all pairs with the target stay as they are."""
    at_1, at_2, _ = block_rows(problem.dims)
    parts = channels(problem)
    (embed_1, root_1), (embed_2, root_2) = parts.embeddings
    between = root_1 @ (parts.gain_1 @ parts.gain_2.T + coupling) @ root_2.T
    cov = problem.cov.copy()
    cov[np.ix_(at_1, at_2)] = embed_1 @ between @ embed_2.T
    cov[np.ix_(at_2, at_1)] = cov[np.ix_(at_1, at_2)].T
    return symmetric(cov)


def optimal_coupling(gain_1: np.ndarray, gain_2: np.ndarray) -> np.ndarray:
    """Compute K* = H_1 C⁺ H_2ᵀ, where I + C is the larger of I + H_1ᵀ H_1 and I + H_2ᵀ H_2 in each direction."""
    eye = np.eye(gain_1.shape[1])
    ratio, axes = scipy.linalg.eigh(eye + gain_1.T @ gain_1, eye + gain_2.T @ gain_2)
    root = np.linalg.inv(axes).T  # Vᵀ B V = I, so B = V⁻ᵀ V⁻¹
    known = (root * np.maximum(ratio, 1)) @ root.T - eye
    return gain_1 @ np.linalg.pinv(known, rcond=1e-11, hermitian=True) @ gain_2.T


def coupled_information(gain_1: np.ndarray, gain_2: np.ndarray, coupling: np.ndarray) -> float:
    """Compute ½ log |I + Hᵀ N⁺ H| in nats, with N the noise covariance under a coupling."""
    noise = np.block([[np.eye(len(gain_1)), coupling], [coupling.T, np.eye(len(gain_2))]])
    gain = np.concatenate([gain_1, gain_2])
    known = gain.T @ np.linalg.pinv(noise, rcond=1e-11, hermitian=True) @ gain
    return 0.5 * np.linalg.slogdet(np.eye(len(known)) + known)[1]


def _inverse_root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    keep = values > RANK_CUT * values[-1]
    return vectors[:, keep].T / np.sqrt(values[keep])[:, None]
