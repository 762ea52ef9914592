"""Open hidden states, whoever wrote them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pid_jax.store.activations import Activations
from pid_jax.store.layout import ArrayLayout
from pid_jax.store.manifest import BASELINE
from pid_jax.store.open_arrays import list_conditions, open_arrays
from pid_jax.store.shard import StoreError, shard_name
from pid_jax.store.store import ActivationStore


def open_activations(
    source: Any,
    *,
    table: Any = None,
    layout: str | None = None,
    axes: str | None = None,
    masks: Mapping[str, Any] | None = None,
    columns: Mapping[str, str] | None = None,
    condition: str | None = None,
) -> Activations:
    """Open an activation store, or hidden states that another tool wrote, without copying them.

    Values are read when they are wanted, one layer at a time. docs/import.md shows examples.

    Args:
        source: A store; a file or folder of .npy, .npz, .pt (weights only), .safetensors, HDF5, zarr, netCDF, Arrow or
            Parquet; the SQLite database of VLM-Lens; a mapping of arrays or tensors, such as an ActivationCache of
            TransformerLens; or an xarray Dataset.
        table: What is known of the samples, one row each in the order of the arrays: a .csv, .tsv, .parquet or .feather
            file, a mapping of columns, or a data frame. Columns are id, task, gold, predicted (or answer) and correct,
            all optional; ids are numbers of rows where there are none.
        layout: Names of the arrays, with {role}, {layer}, {sample} and {condition} where these stand, such as
            "{role}/layer_{layer}"; not needed for names such as image/layer_12 or blocks.12.hook_resid_post.
        axes: What the axes of every array are, such as "layer sample feature", where their number leaves it open.
        masks: Where arrays have one state a token: by role, which tokens are averaged, see `ArrayLayout`.
        columns: Names of columns of the table, by what they are: {"predicted": "model_output"}.
        condition: Which condition to open where the layout names several; "baseline" if not given.

    Returns:
        The states, as `run_study`, `StoreBlocks` and `target_reader` take them.

    Raises:
        StoreError: If there is nothing, files are damaged, or names, shapes and counts do not fit; with the file.
        TypeError: If an argument is of another type.

    Example:
        >>> import numpy as np
        >>> from pid_jax import open_activations
        >>> rng = np.random.default_rng(0)
        >>> states = {f"{role}/layer_{k}": rng.normal(size=(40, 6)) for role in ("audio", "text") for k in range(3)}
        >>> found = open_activations(states, table={"answer": ["yes", "no"] * 20})
        >>> found.roles, found.layers, found.read(role="audio", layer=2).shape
        (('audio', 'text'), (0, 1, 2), (40, 6))
    """
    given = ArrayLayout(pattern=layout, axes=axes, masks=dict(masks or {}), columns=dict(columns or {}))
    if is_store(source):
        if table is not None or given != ArrayLayout() or condition is not None:
            raise StoreError(f"{source} is an activation store, which takes no table, layout or condition.")
        return ActivationStore.open(source)
    return open_arrays(source, table, given, condition)


def open_conditions(source: Any, *, table: Any = None, layout: ArrayLayout | None = None) -> list[Activations]:
    """Open all conditions of a source, the baseline first.

    Args:
        source: As for `open_activations`.
        table: As for `open_activations`.
        layout: How to read arrays.

    Raises:
        StoreError: As `open_activations`, or if no condition is called "baseline".
    """
    layout = ArrayLayout() if layout is None else layout
    if is_store(source):
        if table is not None or layout != ArrayLayout():
            raise StoreError(f"{source} is an activation store, which takes no table and no layout.")
        return [ActivationStore.open(source)]
    names = list_conditions(source, layout)
    if BASELINE not in names:
        raise StoreError(f"{source} has conditions {names}: call the one with nothing changed {BASELINE!r}.")
    ordered = [BASELINE, *(name for name in names if name != BASELINE)]
    return [open_arrays(source, table, layout, name) for name in ordered]


def is_store(source: Any) -> bool:
    """Return whether a source is an activation store, also one that lost its manifest, or a URL."""
    if not isinstance(source, str | Path):
        return False
    if "://" in str(source) or ActivationStore.exists(source):
        return True
    return Path(source).is_dir() and (Path(source) / shard_name(0)).is_file()
