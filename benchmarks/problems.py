"""Problems whose atoms are known, samples of them, and how estimates compare with the truth."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pid_jax import gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.atoms import quantities_of
from pid_jax.testing.problems import Problem, random_wishart
from pid_jax.testing.systems import parallel_channels

# Samples of a data set, and how the system is made.
Systems = Mapping[str, tuple[int, Callable[[np.random.Generator], Problem]]]
# Equal to within rounding: atoms that are smaller in truth are zero.
ZERO = 1e-9


def parallel(snr_1: object, snr_2: object, noise_correlation: object = 0.0) -> Problem:
    return parallel_channels(snr_1, snr_2, noise_correlation).problem  # type: ignore[arg-type]


def covariances(count: int, dims: Sequence[int]) -> np.ndarray:
    """Draw joint covariances of sources and a target, for measuring speed."""
    return np.stack([random_wishart(np.random.default_rng(seed), dims).cov for seed in range(count)])


def draw(problem: Problem, rng: np.random.Generator, *shape: int) -> list[np.ndarray]:
    """Draw samples of both sources and the target, each (*shape, d)."""
    return split(rng.standard_normal((*shape, len(problem.cov))) @ np.linalg.cholesky(problem.cov).T, problem.dims)


def split(rows: np.ndarray, dims: Sequence[int]) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(dims)[:-1], axis=-1)


def stacked(values: object, names: Sequence[str] = ATOMS) -> np.ndarray:
    """Put the named fields of a result into one array (..., name)."""
    return np.stack([np.asarray(getattr(values, name)) for name in names], axis=-1)


def truth_of(problem: Problem, names: Sequence[str] = ATOMS) -> np.ndarray:
    """Compute the true atoms and informations in nats."""
    found = gaussian_pid(problem.cov, problem.dims)
    return stacked(quantities_of(found.atoms, found.information), names)


def is_inside(lower: np.ndarray, upper: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return (lower <= truth + ZERO) & (truth - ZERO <= upper)


def held(lower: object, upper: object, truth: np.ndarray, names: Sequence[str] = ATOMS) -> dict[str, float]:
    """Compute the share of data sets whose interval holds the truth, for each quantity."""
    inside = is_inside(stacked(lower, names), stacked(upper, names), truth).mean(axis=0)
    return {f"{name} held": share for name, share in zip(names, inside, strict=True)}


def bias(atoms: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compare the mean of estimated atoms (data set, atom) with the truth, in their standard deviations and in nats."""
    error = atoms - truth
    deviations = error.mean(axis=0) / error.std(axis=0)
    row = {f"bias of {atom}, sd": one for atom, one in zip(ATOMS, deviations, strict=True)}
    return row | {"largest bias, nats": np.abs(error.mean(axis=0)).max()}
