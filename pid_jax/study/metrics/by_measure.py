"""The claims under several measures of one covariance: their numbers, and under how many measures each holds."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.by_measure import NAMES
from pid_jax.study.metrics.association import associations
from pid_jax.study.metrics.causal import causal_metrics
from pid_jax.study.metrics.claims import Judged
from pid_jax.study.metrics.correlation import correlations
from pid_jax.study.metrics.draws import read_models
from pid_jax.study.metrics.trajectory import trajectory_metrics

HOLDS, FAILS, UNKNOWN = 1, 0, -1
# What the numbers of claims are read from.
_PARTS = (trajectory_metrics, causal_metrics, correlations, associations)
# What these need of a study, with the atoms.
_READ = ("accuracy", "n_samples")
ONE = {"units": "1"}


def claims_by_measure(results: xr.Dataset, examine: Callable[[xr.Dataset], list[list[Judged]]]) -> xr.Dataset:
    """Compute the number of every claim under every compared measure, and on which side of its criterion it lies.

    These are point values without intervals, of atoms without the correction of the bias, which only some measures
    have. Under the measure of the study they differ from the numbers of the verdicts by that correction and, of largest
    shares and correlations, by what noise adds to them. Chance structure is not considered.

    Args:
        results: A study.
        examine: Finds what decides the claims of every model in a study with metrics (model, claim).

    Returns:
        `by_measure_value` and `by_measure_holds` (model, claim, compared_measure), the latter 1 on the side that the
        claim needs, 0 on the other, and -1 where it cannot be computed; `by_measure_count` and `by_measure_total`
        (model, claim), under how many measures the claim holds, of those that have a number. Nothing where a study
        compares no measures.
    """
    if not {*NAMES} <= {*results.data_vars}:
        return xr.Dataset()
    judged = [examine(_under(results, number)) for number in range(results.sizes["compared_measure"])]
    values, holds = (
        np.moveaxis(np.array([[[read(one) for one in row] for row in rows] for rows in judged]), 0, -1)
        for read in (_value, _side)
    )
    cells = ("model", "claim")
    return xr.Dataset(
        {
            "by_measure_value": ((*cells, "compared_measure"), values, ONE),
            "by_measure_holds": ((*cells, "compared_measure"), holds.astype(np.int8), ONE),
            "by_measure_count": (cells, (holds == HOLDS).sum(axis=-1), ONE),
            "by_measure_total": (cells, (holds != UNKNOWN).sum(axis=-1), ONE),
        },
        coords={"compared_measure": results["compared_measure"].values},
    )


def _under(results: xr.Dataset, number: int) -> xr.Dataset:
    """Return a study of one compared measure, with the metrics of its point estimates."""
    atoms = {
        name: results[own].isel(compared_measure=[number]).rename(compared_measure="measure").drop_vars("measure")
        for name, own in zip(ATOMS, NAMES, strict=True)
    }
    study = results[[*_READ]].assign(atoms)
    models = read_models(study)
    return study.merge(xr.merge([part(study, models) for part in _PARTS], compat="equals", join="exact"))


def _value(judged: Judged) -> float:
    """Return the number that decides; NaN without one."""
    return float(judged.findings[0].value) if judged.findings else np.nan


def _side(judged: Judged) -> int:
    """Return on which side of the criterion all numbers of a claim are together."""
    sides = [finding.is_met for finding in judged.findings]
    if judged.obstacle or not sides or None in sides:
        return UNKNOWN
    return HOLDS if all(sides) else FAILS
