"""Union information of measures that need the informations of each source only, such as MMI and I_min."""

import dataclasses

import numpy as np

from pid_jax.categorical.assemble import Pointwise, fields_of, quantities
from pid_jax.categorical.result import CategoricalPID
from pid_jax.categorical.union import Union
from pid_jax.categorical.unseen import shared_freedom
from pid_jax.decompose.result import INFORMATION
from pid_jax.discrete.measures import ClassMeasure, class_measure_of
from pid_jax.pid.measure import Redundancy
from pid_jax.settings.estimate import spec_to_dict


def closed_union(measure: ClassMeasure, pointwise: Pointwise, codes: np.ndarray) -> Union:
    """Return the union information of a measure that needs no predictions beyond the informations.

    It has no cells, no noise and no gap. Every sample has the share that both sources have less what is redundant.

    Args:
        measure: A measure with `redundant`.
        pointwise: Informations of every sample.
        codes: Class of each sample (B, n).

    Source: Barrett (2015), Phys. Rev. E 91, 052802; Williams & Beer (2010), arXiv:1004.2515.
    """
    assert measure.redundant is not None
    sources = pointwise.each[:, :2]
    each = sources.sum(axis=1) - measure.redundant(sources, codes)
    total = each.mean(axis=1)
    nothing = np.zeros((len(codes), 2))
    return Union(
        lower=total,
        upper=total,
        each=each,
        noise=nothing[:, 0],
        loss=nothing,
        temperature=np.full_like(nothing, np.nan),
    )


def with_measure(found: CategoricalPID, redundancy: Redundancy) -> CategoricalPID:
    """Decompose the informations of an estimate by another measure, without new predictions.

    Args:
        found: An estimate in nats with one leading axis.
        redundancy: A measure that needs the informations of each source only.

    Raises:
        TypeError: For a measure that takes predictions of the sources.
    """
    measure = class_measure_of(redundancy)
    if measure.redundant is None:
        raise TypeError(
            f"redundancy needs a measure of informations alone, got {redundancy!r}: estimate again with it."
        )
    pointwise = pointwise_of(found)
    union = closed_union(measure, pointwise, found.answer)
    values = quantities(pointwise, union, freedom_of(found))
    return dataclasses.replace(
        found,
        **fields_of(values, union, found.level),
        settings={**found.settings, "redundancy": spec_to_dict(redundancy)},
    )


def pointwise_of(found: CategoricalPID) -> Pointwise:
    """Return the informations of every sample of an estimate with one leading axis."""
    return Pointwise(
        each=np.stack([getattr(found.pointwise, name) for name in INFORMATION], axis=1),
        held_out=np.stack([getattr(found.held_out, name) for name in INFORMATION], axis=1),
        learning=np.stack([getattr(found.learning, name) for name in INFORMATION], axis=1),
    )


def freedom_of(found: CategoricalPID) -> np.ndarray:
    """Return what `shared_freedom` does for an estimate with one leading axis (B, 3, 3)."""
    dims = np.array([*found.dims, sum(found.dims)])
    return shared_freedom(found.classifier, dims, len(found.classes), found.samples)
