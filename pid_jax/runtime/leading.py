"""Leading axes of problems, with the names and labels that arrays of xarray give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pid_jax.runtime.arrays import is_from

AxisLabels = Mapping[str, np.ndarray | None]
"""Names of axes in their order, each with its labels, or None where it has none."""


@dataclass(frozen=True, kw_only=True)
class LeadingAxes:
    """Axes of problems that stand before those of samples and columns.

    Attributes:
        shape: Their lengths.
        labels: Their names and labels; empty where no array names them.
    """

    shape: tuple[int, ...]
    labels: AxisLabels = field(default_factory=dict)


def read_axis_labels(value: Any, count: int) -> AxisLabels:
    """Return names and labels of the first axes of an array of xarray, if any; those of other libraries name none."""
    if not is_from(value, "xarray", "DataArray"):
        return {}
    return {str(d): value.coords[d].to_numpy() if d in value.indexes else None for d in value.dims[: max(count, 0)]}


def join_axis_labels(given: Sequence[tuple[str, AxisLabels]]) -> AxisLabels:
    """Return the names and labels that several arrays give the same leading axes.

    Args:
        given: Names of arguments and what each says, arrays without leading axes among them.

    Raises:
        ValueError: If two arrays have other axes, or other labels of one.
    """
    labeled = [(name, labels) for name, labels in given if labels]
    if not labeled:
        return {}
    first_name, first = labeled[0]
    joined = dict(first)
    for name, labels in labeled[1:]:
        if [*labels] != [*first]:
            raise ValueError(
                f"{name} and {first_name} have different leading axes, {tuple(labels)} and {tuple(first)}: give both "
                "the same axes in the same order (xarray .transpose), or pass NumPy arrays if the names mean nothing."
            )
        for axis, own in labels.items():
            known = joined[axis]
            if own is None or known is None:
                joined[axis] = own if known is None else known
            elif not np.array_equal(own, known):
                row = next(i for i, (one, other) in enumerate(zip(own, known, strict=False)) if one != other)
                raise ValueError(
                    f"{name} and {first_name} have different labels of axis {axis!r}, such as {own[row].item()!r} and "
                    f"{known[row].item()!r} at position {row}: select the same labels in the same order from all "
                    "(xarray.align), or pass NumPy arrays if the labels mean nothing."
                )
    return joined
