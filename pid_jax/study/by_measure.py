"""Atoms of one covariance by every measure of a family, at the layers that claims read."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pid_jax.decompose.pid import solve_pid
from pid_jax.decompose.result import ATOMS, PIDEstimate
from pid_jax.pid.measure import Redundancy
from pid_jax.pid.registry import measure_of
from pid_jax.study.conditions import CLAIMED_EDGES, Cut

NATS = {"units": "nats"}
PREFIX = "by_measure_"
NAMES = tuple(f"{PREFIX}{name}" for name in ATOMS)


def layers_of_claims(cut: Cut, layers: Sequence[int], is_baseline: bool) -> np.ndarray:
    """Return the indices of the layers of a condition that claims read.

    Args:
        cut: What the condition cuts.
        layers: Numbers of the layers.
        is_baseline: Whether it is the baseline, of which all layers are read.

    Returns:
        Of cuts from image to question the layer after the last block cut, or its two neighbors where it was not
        recorded; of other cuts none.
    """
    if is_baseline:
        return np.arange(len(layers))
    if cut.name != CLAIMED_EDGES or cut.last < 0 or not layers[0] <= cut.last + 1 <= layers[-1]:
        return np.arange(0)
    after = int(np.searchsorted(layers, cut.last + 1))
    return np.arange(after if layers[after] == cut.last + 1 else after - 1, after + 1)


def atoms_by_measure(
    estimate: PIDEstimate, measures: Sequence[Redundancy], layers: np.ndarray
) -> tuple[dict[str, Any], list[str]]:
    """Decompose the covariances of an estimate by several measures.

    The correction of the bias of sampling is defined for BROJA and MMI only, so that no measure is corrected here, not
    even that of the study: all atoms are those of the covariance itself. The noise of ranks is off that covariance.

    Args:
        estimate: The estimate, with one leading axis of layers.
        measures: Settings of measures.
        layers: Indices of the layers to decompose; all others are NaN.

    Returns:
        `by_measure_redundancy`, ... (compared_measure, layer) as variables of a cell, and a line for every measure that
        refuses these dims, whose atoms are NaN.
    """
    found = np.full((len(ATOMS), len(measures), len(estimate.cov)), np.nan)
    usable = layers[np.isfinite(estimate.atoms.redundancy[layers])]
    notes = []
    for number, measure in enumerate(measures):
        try:
            for layer in usable:  # one program of one problem serves every number of layers
                solved = solve_pid(estimate.cov[layer : layer + 1], estimate.dims, measure)
                found[:, number, layer] = [getattr(solved.atoms, name)[0] for name in ATOMS]
        except ValueError as error:
            notes.append(f"claims are not compared by {measure_of(measure).label}: {error}")
    return {name: (("compared_measure", "layer"), found[i], NATS) for i, name in enumerate(NAMES)}, notes


def with_notes(estimate: PIDEstimate, notes: Sequence[str]) -> PIDEstimate:
    """Add notes to an estimate."""
    return dataclasses.replace(estimate, notes=(*estimate.notes, *notes)) if notes else estimate
