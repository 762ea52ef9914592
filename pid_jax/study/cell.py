"""One cell of a study: all layers of one task under one condition."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS, INFORMATION, PIDEstimate
from pid_jax.decompose.spectrum import unique_spectrum
from pid_jax.estimate.discrete_values import exceeds_entropy
from pid_jax.estimate.latents import estimate_latents, estimate_reduced, map_to_latents
from pid_jax.inference.permutation import permute_reduced
from pid_jax.pid.atoms import PIDAtoms
from pid_jax.pid.registry import measure_of
from pid_jax.reduce.discrete import find_discrete
from pid_jax.reduce.pca import Reduced
from pid_jax.runtime.checks import check_enough_samples
from pid_jax.runtime.progress import Progress, part_of
from pid_jax.settings.estimate import NoCorrection, is_shrunk
from pid_jax.settings.inference import ConditionalIndependence
from pid_jax.study.by_measure import atoms_by_measure, with_notes
from pid_jax.study.null_spectra import null_spectra
from pid_jax.study.scatter import scatter_of_atoms, without_impossible_signs
from pid_jax.study.scores import Scores
from pid_jax.study.spec import StudySpec

PERMUTATIONS = 400
# Decimals of scores, relative to the largest, that single precision knows.
DIGITS = 6
NATS, ONE = {"units": "nats"}, {"units": "1"}


@dataclass(frozen=True, kw_only=True)
class CellData:
    """What a cell is made from.

    Attributes:
        variables: Scores of source_1, source_2 and target.
        weights: Weights of the samples in every replicate (replicates, n).
        answered: Which gold answers were given (n,); NaN where there is none.
        is_baseline: Whether nothing was cut.
        claimed_layers: Indices of the layers that claims read of this condition.
    """

    variables: Sequence[Scores]
    weights: np.ndarray
    answered: np.ndarray
    is_baseline: bool
    claimed_layers: np.ndarray


def solve_cell(cell: CellData, spec: StudySpec, key: jax.Array, progress: Progress) -> xr.Dataset:
    """Estimate all layers of a task and condition, and draw what is tested again.

    Args:
        cell: The samples.
        spec: The settings.
        key: A JAX random key.
        progress: Called with steps done and all there are.

    Returns:
        The variables of docs/study_dataset.md that belong to one model, task and condition.

    Raises:
        ValueError: If there are too few samples, the target is constant, or a flow cannot be fitted.
    """
    reduced = check_cell(cell.variables, spec)
    for_estimate, for_tests, for_fits = jax.random.split(key, 3)
    latents, for_bias = map_to_latents(
        reduced, spec.pid, for_estimate, part_of(progress, 0, 2), labels=spec.labels, problem="layer"
    )
    estimates = estimate_latents(
        latents, reduced, spec.pid, spec.measures, for_bias, level=spec.level, labels=spec.labels, problem="layer"
    )
    drawn = None
    if spec.is_tested:
        drawn = scatter_of_atoms(latents, estimates[0], spec.measures[0], cell.weights, for_fits, spec.level)
        estimates[0], drawn = without_impossible_signs(estimates[0], drawn)
    by_measure, notes = atoms_by_measure(estimates[0], spec.claim_measures, cell.claimed_layers)
    estimates[0] = with_notes(estimates[0], notes)
    data = _estimated(estimates) | describe_variables(cell.variables, reduced)
    data |= _spectrum(estimates[0])
    data |= accuracy_of(cell.answered, cell.weights)
    if spec.claim_measures and len(cell.claimed_layers):
        data |= by_measure
    if cell.is_baseline:  # whose shares alone are compared with chance
        data |= null_spectra(estimates[0])
    if drawn is not None:
        data |= replicates_of(drawn)
        if cell.is_baseline:
            data |= _added(reduced, spec, for_tests, part_of(progress, 1, 2))
    return finite_or_nan(xr.Dataset(data, coords=_names(spec, estimates[0].dims[2])))


def compare_gaussianizers(
    variables: Sequence[Scores], solved: xr.Dataset, spec: StudySpec, key: jax.Array, progress: Progress
) -> xr.Dataset:
    """Estimate the atoms by the first measure with every Gaussianizer.

    Args:
        variables: Scores of source_1, source_2 and target.
        solved: What `solve_cell` found in them.
        spec: The settings.
        key: The key of `solve_cell`.
        progress: Called with steps done and all there are.

    Returns:
        The variables of docs/study_dataset.md that begin with `compared_`.

    Raises:
        ValueError: If a flow cannot be fitted.
    """
    reduced, for_estimate = check_cell(variables, spec), jax.random.split(key, 3)[0]
    atoms = [PIDAtoms(**{name: solved[name].isel(measure=0).values for name in ATOMS})]
    for number, way in enumerate(spec.ways[1:]):
        settings, part = dataclasses.replace(spec.pid, gaussianize=way), part_of(progress, number, len(spec.ways) - 1)
        found = estimate_reduced(reduced, settings, spec.measures[:1], for_estimate, part, is_checked=False)[0]
        atoms.append(_without_impossible(found, reduced).atoms)
    dims = ("gaussianizer", "layer")
    data = {f"compared_{name}": (dims, np.stack([getattr(one, name) for one in atoms]), NATS) for name in ATOMS}
    names = [type(way).__name__ for way in spec.ways]
    return finite_or_nan(xr.Dataset(data, coords={"gaussianizer": names}))


def check_cell(variables: Sequence[Scores], spec: StudySpec) -> list[Reduced]:
    """Return the variables of a cell as reduced ones, or refuse them.

    Raises:
        ValueError: If there are too few samples, or the target is constant.
    """
    reduced = [_as_reduced(variable) for variable in variables]
    if not is_shrunk(spec.pid.covariance):
        samples = reduced[0].scores.shape[1]  # which span one dimension less; more were asked for where all are there
        dims = [variable.scores.shape[-1] for variable in reduced]
        d1, d2, dt = (d if dim is None or d < samples - 1 else dim for d, dim in zip(dims, spec.dims, strict=True))
        check_enough_samples(samples, (d1, d2, dt))
    if not np.any(reduced[2].rank):
        raise ValueError("the target is the same in all samples, so there is nothing to predict: leave the task out")
    return reduced


def finite_or_nan(data: xr.Dataset) -> xr.Dataset:
    """Replace infinite amounts by NaN: they have no share and no position on an axis; the status says why."""
    return data.map(lambda x: x.where(~np.isinf(x)) if x.dtype.kind == "f" else x, keep_attrs=True)


def _as_reduced(variable: Scores) -> Reduced:
    values = variable.values
    peak = np.abs(values).max(axis=1, keepdims=True)
    digits = np.round(values / np.where(peak > 0, peak, 1), DIGITS)  # equal states have scores equal up to rounding
    rank, discrete = (np.ptp(values, axis=1) > 0).sum(axis=-1), find_discrete(digits)
    return Reduced(
        scores=values,
        rounding=variable.rounding,
        explained_variance=variable.explained_variance,
        rank=rank,
        discrete=discrete,
    )


def _estimated(estimates: Sequence[PIDEstimate]) -> dict[str, Any]:
    """Label what was found by every measure."""
    first, dims = estimates[0], ("measure", "layer")
    data: dict[str, Any] = {n: (dims, np.stack([getattr(e.atoms, n) for e in estimates]), NATS) for n in ATOMS}
    for end in ("lower", "upper"):
        if first.lower is not None:
            parts = {n: np.stack([getattr(getattr(e, end), n) for e in estimates]) for n in ATOMS}
            if np.isfinite(np.stack([*parts.values()])).any():  # flows without Gaussian refits know of no interval
                data |= {f"{n}_{end}": (dims, values, NATS) for n, values in parts.items()}
    data["gap"] = (dims, np.stack([e.gap for e in estimates]), NATS)
    data["status"] = (dims, np.stack([e.status for e in estimates]), STATUS_FLAGS)
    data |= {name: ("layer", getattr(first.information, name), NATS) for name in INFORMATION}
    data["findings"] = ((), json.dumps([*first.notes, *first.findings]))
    data["gaussianized_by"] = ("layer", np.asarray(first.gaussianizer, dtype=object))
    return data


def describe_variables(variables: Sequence[Scores], reduced: Sequence[Reduced]) -> dict[str, Any]:
    """Label what is known of the reduction of each variable: how many components there are, and what they keep."""
    data, layers = {}, max(len(one.scores) for one in reduced)
    for suffix, variable, own in zip(("1", "2", "target"), variables, reduced, strict=True):
        for name, value, unit in (
            ("components", np.asarray(own.rank, np.int32), "1"),  # which files of cells know, too
            ("explained_variance", variable.explained_variance, "1"),
            ("reduction_angle", variable.angle, "rad"),
        ):
            data[f"{name}_{suffix}"] = ("layer", np.broadcast_to(value, layers), {"units": unit})
    return data


def _spectrum(estimate: PIDEstimate) -> dict[str, Any]:
    """Resolve unique information into directions of the target, the largest first, scaled to add up to the estimate."""
    spectrum = unique_spectrum(estimate.cov, estimate.dims)
    data = {}
    for source in ("1", "2"):
        parts, whole = (getattr(one, f"unique_{source}") for one in (spectrum, estimate.atoms))
        total = parts.sum(axis=-1)
        scaled = parts * (np.maximum(whole, 0) / np.where(total > 0, total, 1))[:, None]
        data[f"spectrum_{source}"] = (("layer", "direction"), -np.sort(-scaled, axis=-1), NATS)
    return data


def accuracy_of(answered: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    """Return the share of gold answers that were given, and that in every replicate.

    Args:
        answered: 1 or 0 for each sample (n,); NaN where there is no gold answer.
        weights: Weights of the samples in every replicate (replicates, n).
    """
    known = answered[np.isfinite(answered)]
    return {
        "accuracy": ((), float(known.mean()) if known.size else np.nan, ONE),
        "replicate_accuracy": ("replicate", mean_of_replicates(answered, weights), ONE),
    }


def _without_impossible(estimate: PIDEstimate, reduced: Sequence[Reduced]) -> PIDEstimate:
    """Set atoms to NaN that exceed the entropy of a discrete variable; that of the chosen map is an error."""
    is_impossible = exceeds_entropy([one.discrete for one in reduced], estimate.information, estimate.status)
    atoms = jax.tree.map(lambda x: np.where(is_impossible, np.nan, x), estimate.atoms)
    return dataclasses.replace(estimate, atoms=atoms)


def replicates_of(drawn: PIDAtoms) -> dict[str, Any]:
    """Label replicates of the atoms of the first measure (layers, replicates)."""
    dims = ("layer", "replicate")
    return {f"replicate_{name}": (dims, getattr(drawn, name).astype(np.float32), NATS) for name in ATOMS}


def _added(reduced: Sequence[Reduced], spec: StudySpec, key: jax.Array, progress: Progress) -> dict[str, Any]:
    """Test at which layers each source adds information to the other."""
    plain = dataclasses.replace(spec.pid, redundancy=spec.measures[0], bias_correction=NoCorrection())
    tests = []
    for number, source in enumerate((1, 2)):
        for_maps, for_rows = jax.random.split(jax.random.fold_in(key, source))
        keys = for_maps, for_rows
        null, part = ConditionalIndependence(source), part_of(progress, number, 2)
        tests.append(permute_reduced(reduced, plain, keys, null=null, resamples=PERMUTATIONS, progress=part))
    dims = ("source", "layer")
    return {
        "added_p": (dims, np.stack([test.p_value.i_12 for test in tests]), ONE),
        "added_family_wise": (dims, np.stack([test.family_wise.i_12 for test in tests]), ONE),
    }


def _names(spec: StudySpec, directions: int) -> dict[str, Any]:
    return {
        "measure": [measure_of(measure).name for measure in spec.measures],
        "compared_measure": [measure_of(measure).name for measure in spec.claim_measures],
        "direction": np.arange(directions),
    }


def draw_weights(ids: Sequence[str], replicates: int, seed: int) -> Float[np.ndarray, "replicates n"]:
    """Draw the weights of samples in every replicate: Poisson counts of mean one, scaled to n in total.

    Args:
        ids: Ids of the samples.
        replicates: Number of replicates.
        seed: Seed of the study.

    Source: Hanley & MacGibbon (2006), Comput. Methods Programs Biomed. 83, 57: counts of rows drawn with replacement
    are nearly independent Poisson numbers, so that each sample can draw its own.
    """
    counts = np.stack([_generator(one, seed).poisson(1.0, replicates) for one in ids], axis=1).astype(np.float64)
    return counts * (counts.shape[1] / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def _generator(sample: str, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def mean_of_replicates(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average values (n,) by the weights of every replicate, over those that are known; NaN where none is."""
    known = np.isfinite(values)
    total = weights[:, known].sum(axis=1)
    return np.where(total > 0, weights[:, known] @ values[known] / np.where(total > 0, total, 1), np.nan)
