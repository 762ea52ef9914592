"""Atoms after PCA and after a supervised reduction, on systems whose atoms are known.

The supervised one takes from each source the directions with the largest canonical correlation with the target. They
are fitted on one half of the rows and applied to the other, so that the atoms are not fitted on the same noise.
"""

from itertools import product
from typing import Any

import jax
import numpy as np

from benchmarks.problems import ATOMS, split, stacked
from benchmarks.tables import Row, collect
from pid_jax import PCA, Exact, NoGaussianization, NoReduction, PIDSpec, estimate_pid
from pid_jax.pid.atoms import quantities_of
from pid_jax.testing.systems import KnownSystem, parallel_channels

SAMPLES, DIM, REPEATS = 4000, 4, 3
# A canonical correlation needs an invertible covariance: below this fraction of the rows PCA comes first.
FRACTION_OF_ROWS = 0.25
GAUSSIAN = PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
SYSTEMS = {
    "both know, no synergy": parallel_channels([3.0, 3.0, 1.0, 1.0], [1.0, 1.0, 3.0, 3.0]),
    "both know, correlated noise": parallel_channels([2.0] * DIM, [2.0] * DIM, -0.6),
    "source_2 knows the noise of source_1 only": parallel_channels([1.0] * DIM, [0.0] * DIM, 0.8),
}


def observe(system: KnownSystem, features: int, scale: float, seed: int) -> list[np.ndarray]:
    """Draw samples whose sources lie in random directions of many features, next to unrelated unit variance.

    The informative coordinates are white; `scale` is their standard deviation, that of the others is 1.
    """
    rng = np.random.default_rng(seed)
    cov, dims = system.problem
    drawn = rng.multivariate_normal(np.zeros(len(cov)), cov, size=SAMPLES)
    *sources, target = split(drawn, dims)
    mixed = []
    for source in sources:
        others = rng.normal(size=(SAMPLES, features - DIM))
        directions = np.linalg.qr(rng.normal(size=(features, features)))[0]
        mixed.append(np.concatenate([scale * source / source.std(axis=0), others], axis=1) @ directions)
    return [*mixed, target]


def canonical_axes(source: np.ndarray, target: np.ndarray, dim: int) -> np.ndarray:
    """Directions of the source with the largest canonical correlations with the target."""
    source, target = source - source.mean(axis=0), target - target.mean(axis=0)
    _, sizes, rows = np.linalg.svd(source, full_matrices=False)
    keep = min(int(FRACTION_OF_ROWS * len(source)), len(sizes))
    whiten = rows[:keep].T / sizes[:keep]
    left = np.linalg.qr(target)[0]
    return whiten @ np.linalg.svd((source @ whiten).T @ left)[0][:, :dim]


def errors(samples: list[np.ndarray], system: KnownSystem, dim: int, way: str) -> np.ndarray:
    """Signed errors of redundancy, unique_1, unique_2, synergy and I_12 in nats."""
    *sources, target = samples
    spec = PIDSpec(reduction=PCA(dim=(dim, dim, DIM), solver=Exact()), gaussianize=NoGaussianization())
    if way == "CCA":
        half, spec = SAMPLES // 2, GAUSSIAN
        sources = [source[half:] @ canonical_axes(source[:half], target[:half], dim) for source in sources]
        target = target[half:]
    found = estimate_pid(*sources, target, spec=spec, key=jax.random.key(0))
    names = (*ATOMS, "i_12")
    ours, true = (stacked(quantities_of(one.atoms, one.information), names) for one in (found, system))
    return ours - true


def against_cca(case: tuple[int, str, float]) -> Row:
    """Largest mean error of an atom and mean error of I_12, for information in leading and in weak directions."""
    features, name, scale = case
    system = SYSTEMS[name]
    observed = [observe(system, features, scale, seed) for seed in range(REPEATS)]
    row: dict[str, Any] = {"system": name, "features": features, "standard deviation": scale}
    row["I_12 nats"] = system.information.i_12
    for way, dim in (("PCA", DIM), ("PCA", 4 * DIM), ("CCA", DIM)):
        mean = np.mean([errors(samples, system, dim, way) for samples in observed], axis=0)
        row |= {f"{way} {dim}: atom": np.abs(mean[:4]).max(), f"{way} {dim}: I_12": mean[4]}
    return row


def table() -> list[Row]:
    return collect(against_cca, product((32, 256), SYSTEMS, (3.0, 0.3)))
