"""What a cell keeps so that its shares can be compared with those of random systems, or of random tables."""

from typing import Any

import numpy as np

from pid_jax.decompose.covariances import solve_covariances
from pid_jax.decompose.result import PIDEstimate
from pid_jax.inference.null_systems import SystemSpectra, spectra_of
from pid_jax.inference.null_tables import CLASSES, pool

ONE = {"units": "1"}
SPECTRA = {"gain_1": "direction", "gain_2": "direction", "source_correlation": "source_direction"}
DIMS = ("dims_1", "dims_2", "dims_target")


def null_spectra(estimate: PIDEstimate) -> dict[str, Any]:
    """Return the spectra of all layers (layer, direction), and dims, as variables of a cell.

    Args:
        estimate: Decompositions of the layers.
    """
    d1, d2, dt = estimate.dims
    spectra: SystemSpectra = solve_covariances(estimate.cov, estimate.dims, spectra_of, rank_cut=1e-13)
    found = dict(zip(SPECTRA, (spectra.gains_1, spectra.gains_2, spectra.between), strict=True))
    sizes = {"direction": dt, "source_direction": min(d1, d2)}
    data: dict[str, Any] = {}
    for name, dim in SPECTRA.items():
        missing = sizes[dim] - found[name].shape[-1]
        data[name] = (("layer", dim), np.pad(found[name], ((0, 0), (0, missing))), ONE)
    return data | {name: ((), np.int32(size), ONE) for name, size in zip(DIMS, estimate.dims, strict=True)}


def class_probabilities(codes: np.ndarray) -> dict[str, Any]:
    """Return the probabilities of the most common classes, the rarest pooled, as a variable of a cell.

    Args:
        codes: Class of every sample (n,).
    """
    pooled = pool(np.bincount(codes) / len(codes))
    return {"class_probability": ("common_class", np.pad(pooled, (0, CLASSES - len(pooled))), ONE)}
