"""What is left behind the maps, for all problems: numbers, and sentences about them."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pid_jax.flow.diagnostics import Deviation, Diagnostics, diagnose
from pid_jax.flow.sentences import describe, describe_fits, describe_size, group_sentences
from pid_jax.precision import double_precision

if TYPE_CHECKING:
    import xarray as xr

    from pid_jax.flow_fit import FlowFit


def diagnose_latents(latents: np.ndarray, dims: tuple[int, int, int]) -> Diagnostics:
    """Measure what is not Gaussian in latents (problems, n, D), one problem after the other.

    Args:
        latents: Latents of all variables side by side.
        dims: Coordinates of each.
    """
    with double_precision():
        return jax.tree.map(np.asarray, _diagnose_each(jnp.asarray(latents), dims=dims))


@partial(jax.jit, static_argnames="dims")
def _diagnose_each(latents: Float[Array, "B n D"], *, dims: tuple[int, int, int]) -> Diagnostics:
    return lax.map(partial(diagnose, dims=dims), latents)


def describe_problems(
    diagnostics: Diagnostics,
    fit: "FlowFit",
    has_flow: np.ndarray,
    dims: tuple[int, int, int],
    labels: Sequence[str],
    problem: str,
) -> tuple[str, ...]:
    """Say what is not Gaussian behind the maps, where a flow has over-fitted, and whether samples are few.

    Args:
        diagnostics: Of all problems.
        fit: The flows, of those problems that have one.
        has_flow: Which problems these are.
        dims: Coordinates of each variable.
        labels: What both sources and the target are called.
        problem: What a problem is called; "layer 3: ...".
    """
    held = int(fit.is_held_out.sum())
    train, held_out = np.full((2, len(has_flow)), np.nan)
    train[has_flow], held_out[has_flow] = _last(fit.train_curve), _last(fit.validation_curve)
    each = [jax.tree.map(lambda leaf, place=place: leaf[place], diagnostics) for place in range(len(has_flow))]
    return (
        *describe_size(fit.samples, dims, is_flow=True),
        *describe_fits(train, held_out, (fit.samples - held, held), sum(dims), problem),
        *group_sentences([describe(one, labels) for one in each], problem),
    )


def _last(curves: np.ndarray) -> np.ndarray:
    """Find the last value of each curve that is not NaN."""
    flat = curves.reshape(-1, curves.shape[-1])
    return flat[np.arange(len(flat)), (~np.isnan(flat)).sum(axis=-1) - 1]


def flatten(diagnostics: Diagnostics) -> Iterator[tuple[str, list[str], np.ndarray, dict[str, str]]]:
    """Name every array of diagnostics, its axes behind the leading ones and its unit."""
    for field_ in dataclasses.fields(diagnostics):
        value = getattr(diagnostics, field_.name)
        axes = ["pair" if field_.name.startswith("pair") else "variable"]
        if isinstance(value, Deviation):
            yield f"{field_.name}_z", axes, np.asarray(value.z), {"units": "1"}
            yield f"{field_.name}_divergence", axes, np.asarray(value.nats), {"units": "nats"}
        else:
            yield field_.name, axes, np.asarray(value), {}


def unflatten(data: "xr.Dataset") -> Diagnostics | None:
    """Read diagnostics from a data set, if it has them."""
    if "coordinate_at" not in data:
        return None
    names = [f.name for f in dataclasses.fields(Diagnostics) if f.name != "coordinate_at"]
    deviations = {n: Deviation(z=data[f"{n}_z"].values, nats=data[f"{n}_divergence"].values) for n in names}
    return Diagnostics(**deviations, coordinate_at=data["coordinate_at"].values)
