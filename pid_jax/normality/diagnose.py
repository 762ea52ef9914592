"""What is not Gaussian in the latents of all problems: numbers, and sentences about them."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import jax
import numpy as np

from pid_jax.normality.deviation import Deviation
from pid_jax.normality.diagnostics import Diagnostics, diagnose
from pid_jax.normality.sentences import (
    describe_parts,
    describe_triple,
    find_significant,
    group_sentences,
)
from pid_jax.runtime.threads import one_blas_thread

if TYPE_CHECKING:
    import xarray as xr


def diagnose_latents(latents: np.ndarray, dims: tuple[int, int, int]) -> Diagnostics:
    """Measure what is not Gaussian in latents (problems, n, D), one problem after the other.

    Args:
        latents: Latents of all variables side by side.
        dims: Coordinates of each.
    """
    with one_blas_thread(latents.shape[-1]):
        each = [diagnose(one, dims) for one in latents]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *each)


def describe_problems(diagnostics: Diagnostics, labels: Sequence[str], problem: str) -> tuple[str, ...]:
    """Return sentences about what is not Gaussian, with a small chance of any where all problems are Gaussian.

    Args:
        diagnostics: Of all problems.
        labels: What both sources and the target are called.
        problem: What a problem is called; "layer 3: ...".
    """
    found = find_significant(diagnostics)
    count = len(np.asarray(found.triple.z))
    each = [jax.tree.map(lambda leaf, place=place: leaf[place], found) for place in range(count)]
    return (
        *describe_triple(found.triple, labels, problem),
        *group_sentences([describe_parts(one, labels) for one in each], problem),
    )


def flatten(diagnostics: Diagnostics) -> Iterator[tuple[str, list[str], np.ndarray, dict[str, str]]]:
    """Name every array of diagnostics, its axes after the leading ones and its unit."""
    for field_ in dataclasses.fields(diagnostics):
        value = getattr(diagnostics, field_.name)
        axes = {"triple": [], "pair": ["pair"]}.get(field_.name.split("_")[0], ["variable"])
        if isinstance(value, Deviation):
            yield f"{field_.name}_z", axes, np.asarray(value.z), {"units": "1"}
            yield f"{field_.name}_divergence", axes, np.asarray(value.nats), {"units": "nats"}
        else:
            yield field_.name, axes, np.asarray(value), {}


def unflatten(data: "xr.Dataset") -> Diagnostics | None:
    """Read diagnostics from a data set, if it has them; NaN for a check that was added after it was written."""
    if "coordinate_at" not in data:
        return None
    at = data["coordinate_at"].values
    unknown = np.full(at.shape[:-1], np.nan)
    found = {}
    for name in (f.name for f in dataclasses.fields(Diagnostics) if f.name != "coordinate_at"):
        parts = (data.get(f"{name}_{part}") for part in ("z", "divergence"))
        z, nats = (unknown if part is None else part.values for part in parts)
        found[name] = Deviation(z=z, nats=nats)
    return Diagnostics(**found, coordinate_at=at)
