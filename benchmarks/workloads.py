"""Problems of the usual size, and calls on them, that several benchmarks measure."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from pid_jax import Copula, NoCorrection, NoReduction, PIDSpec, RealNVP, estimate_pid, fit_flow
from pid_jax.testing.problems import random_wishart

DIM = 16
CORRECTED = PIDSpec(NoReduction(), Copula())
PLAIN = PIDSpec(NoReduction(), Copula(), bias_correction=NoCorrection())
# Of the size that a study fits, with few steps: what a layer costs does not depend on how many there are.
FLOW: dict[str, Any] = {
    "couplings": 6,
    "width": 64,
    "epochs": 4,
    "batch_size": 256,
    "validation_fraction": 0.1,
    "evaluations": 1,
}


def covariances(count: int, dim: int = DIM) -> np.ndarray:
    """Draw joint covariances of two sources and a target of equal dims."""
    return np.stack([random_wishart(np.random.default_rng(seed), (dim, dim, dim)).cov for seed in range(count)])


def draw(covs: np.ndarray, samples: int) -> list[np.ndarray]:
    """Draw samples of both sources and the target, each (layers, n, d)."""
    rng, roots = np.random.default_rng(0), np.linalg.cholesky(covs)
    drawn = np.stack([rng.standard_normal((samples, len(root))) @ root.T for root in roots])
    return [np.ascontiguousarray(part) for part in np.split(drawn, 3, axis=-1)]


def estimate(variables: Sequence[np.ndarray], spec: PIDSpec = CORRECTED, **more: Any) -> object:
    """Estimate from ranks."""
    return estimate_pid(*variables, spec=spec, key=jax.random.key(0), **more)


def fit(variables: Sequence[np.ndarray], **more: Any) -> object:
    """Fit flows."""
    return fit_flow(*variables, spec=RealNVP(**FLOW), key=jax.random.key(0), **more)
