"""Everything that is derived from the estimates of a study, in one call."""

import xarray as xr

from pid_jax.study.metrics.association import associations
from pid_jax.study.metrics.by_measure import claims_by_measure
from pid_jax.study.metrics.causal import causal_metrics
from pid_jax.study.metrics.controls import effects_against_controls
from pid_jax.study.metrics.correlation import correlations
from pid_jax.study.metrics.draws import read_models
from pid_jax.study.metrics.fingerprint import fingerprints
from pid_jax.study.metrics.interaction import interactions
from pid_jax.study.metrics.null import shares_against_null
from pid_jax.study.metrics.trajectory import trajectory_metrics
from pid_jax.study.metrics.verdicts import examine, judge


def add_metrics(results: xr.Dataset) -> xr.Dataset:
    """Add metrics, effects, fingerprints, correlations, associations and verdicts with their intervals.

    Effects come with those against random controls and interactions of two routes, where a study has them.

    Args:
        results: Estimates, and replicates if there are any; docs/study_dataset.md has the names.

    Returns:
        The same with everything that the sections Metrics and Verdicts there name, but other universes.
    """
    parts = (
        trajectory_metrics,
        causal_metrics,
        effects_against_controls,
        interactions,
        fingerprints,
        correlations,
        associations,
        shares_against_null,
    )
    models = read_models(results)
    found = xr.merge([part(results, models) for part in parts], compat="equals", join="exact")
    results = results.merge(found, compat="no_conflicts")
    judged = xr.merge([judge(results), claims_by_measure(results, examine)], compat="no_conflicts")
    return results.merge(judged, compat="no_conflicts")
