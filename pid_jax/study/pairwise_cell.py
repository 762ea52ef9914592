"""One cell of a study as arXiv 2602.15580 is said to estimate it: a flow for each information, and MMI."""

import json
from typing import Any

import jax
import numpy as np
import xarray as xr

from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.estimate.by_pairs import information_of_pairs, map_pairs, mmi_of
from pid_jax.estimate.gaussianizer import FitOptions
from pid_jax.gaussian.status import Status
from pid_jax.inference.weighted import weighted_covariances
from pid_jax.runtime.progress import Progress
from pid_jax.settings.gaussianize import RealNVP
from pid_jax.study.cell import NATS, CellData, accuracy_of, check_cell, describe_variables, finite_or_nan, replicates_of
from pid_jax.study.spec import StudySpec


def solve_pairwise_cell(cell: CellData, spec: StudySpec, key: jax.Array, progress: Progress) -> xr.Dataset:
    """Estimate all layers of a task and condition, and draw the samples again under the fitted maps.

    The arguments and errors are those of `solve_cell`.

    Returns:
        The variables of docs/study_dataset.md that need no joint covariance: atoms, informations, replicates. There
        are no intervals; replicates hold the fits fixed, so that their scatter is that of the samples alone.
    """
    flow, samples = spec.pid.gaussianize, cell.weights.shape[1]
    assert isinstance(flow, RealNVP)
    reduced = check_cell(cell.variables, spec)
    options = FitOptions(key=key, progress=progress, is_corrected=False, labels=spec.labels, problem="layer")
    pairs = map_pairs(reduced, flow, options)
    centered = [one.values - one.values.mean(axis=1, keepdims=True) for one in pairs.latents]

    def informations(weights: np.ndarray) -> Any:
        return information_of_pairs(pairs, [weighted_covariances(values, weights) for values in centered])

    information = jax.tree.map(lambda x: x[:, 0], informations(np.ones((1, samples))))
    atoms = mmi_of(information)
    size, dims = len(information.i_1), ("measure", "layer")
    data: dict[str, Any] = {name: (dims, getattr(atoms, name)[None], NATS) for name in ATOMS}
    data |= {name: ("layer", getattr(information, name), NATS) for name in INFORMATION}
    data["gap"] = (dims, np.full((1, size), np.nan), NATS)
    is_finite = np.isfinite(information.i_12)
    data["status"] = (dims, np.where(is_finite, Status.OK, Status.INFINITE_INFORMATION)[None], STATUS_FLAGS)
    data["findings"] = ((), json.dumps([*pairs.notes, *_findings(np.asarray(atoms.synergy))]))
    data["gaussianized_by"] = ("layer", np.asarray(pairs.gaussianizer, dtype=object))
    data |= describe_variables(cell.variables, reduced) | accuracy_of(cell.answered, cell.weights)
    if spec.is_tested:
        data |= replicates_of(mmi_of(informations(cell.weights)))
    return finite_or_nan(xr.Dataset(data, coords={"measure": ["mmi"]}))


def _findings(synergy: np.ndarray) -> list[str]:
    """Say where separate fits contradict each other."""
    below = int((synergy < 0).sum())
    if not below:
        return []
    return [
        f"in {below} of {len(synergy)} layers both sources tell less than one of them: each information has a fit of "
        "its own, and these do not agree"
    ]
