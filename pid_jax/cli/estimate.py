"""`pid-jax estimate`: decompose three arrays, or the layers of a store or of arrays of other tools."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pid_jax.cli.arrays import Axes, Columns, Layout, Masks, Table, read_layout
from pid_jax.cli.options import (
    Dims,
    Seed,
    Source1,
    Source2,
    Standardize,
    Tasks,
    Way,
    check_seed,
    given_options,
    read_dims,
)
from pid_jax.runtime.console import err, fraction_bar, out
from pid_jax.runtime.files import check_file

if TYPE_CHECKING:
    from pid_jax.categorical.result import CategoricalPID
    from pid_jax.decompose.result import PIDEstimate

# Options that say how to read states, and those that answers have no use for.
_OF_STORES = ("layout", "table", "axes", "mask", "column", "source_1", "source_2", "target", "layers", "tasks")
_OF_STATES = ("dims", "standardize", "gaussianize")


def estimate(
    context: typer.Context,
    arrays: Annotated[
        list[Path] | None,
        typer.Argument(
            help="An .npz with source_1, source_2 and target, each (..., n, p) or (n,); or three files for them in "
            "this order, each .npy, .csv or .tsv."
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Instead of arrays: a store, or states of other tools, layer by layer.")
    ] = None,
    layout: Layout = None,
    table: Table = None,
    axes: Axes = None,
    mask: Masks = None,
    column: Columns = None,
    source_1: Source1 = "image",
    source_2: Source2 = "question",
    target: Annotated[
        str | None, typer.Option(help="With --store: an answer, or the role of a state. Default: as `pid-jax study`.")
    ] = None,
    layers: Annotated[str, typer.Option(help="With --store: 'all', or layers such as 0,8-12.")] = "all",
    tasks: Tasks = "all",
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the result to this netCDF file.")] = None,
    dims: Dims = "16,16,16",
    standardize: Standardize = False,
    gaussianize: Way = "flow",
    bits: Annotated[bool, typer.Option("--bits", help="Report in bits.")] = False,
    seed: Seed = 0,
) -> None:
    """Decompose what two arrays, or two roles of a store in every layer, tell about a third or about an answer."""
    if out_file is not None:
        check_file(out_file, "--out")
    check_seed(seed)
    chosen = read_dims(dims)
    if bool(arrays) == (store is not None):
        raise ValueError(f"pid-jax estimate needs arrays or --store, got {'both' if arrays else 'neither'}.")
    if arrays and (given := given_options(context, _OF_STORES)):
        raise ValueError(f"{given[0]} needs --store, got arrays.")
    import jax
    import numpy as np

    from pid_jax.categorical.estimate import estimate_categorical_pid
    from pid_jax.cli.compilation_cache import keep_compiled
    from pid_jax.cli.states import read_states, read_target
    from pid_jax.decompose.result import VARIABLES
    from pid_jax.estimate.gaussianize import GAUSSIANIZERS
    from pid_jax.estimate.samples import estimate_pid
    from pid_jax.gaussian.status import Status
    from pid_jax.runtime.array_files import read_variables
    from pid_jax.settings.estimate import PCA, PIDSpec
    from pid_jax.store.open import open_conditions
    from pid_jax.store.targets import Answer

    spec = PIDSpec(reduction=PCA(dim=chosen, standardize=standardize), gaussianize=GAUSSIANIZERS[gaussianize].default)
    decompose: Callable[..., PIDEstimate | CategoricalPID] = partial(estimate_pid, spec=spec)
    if arrays:
        values = read_variables(arrays, VARIABLES)
    else:
        states = open_conditions(store, table=table, layout=read_layout(layout, axes, mask, column))[0]
        about = read_target(states, target)
        if isinstance(about, Answer):
            decompose = estimate_categorical_pid
            if given := given_options(context, _OF_STATES):
                raise ValueError(f"{given[0]} needs the role of a state as --target, got the {about.label}.")
        values = read_states(states, (source_1, source_2), about, layers, tasks)
    keep_compiled()
    with fraction_bar("Decomposing") as progress:
        found = decompose(*values, key=jax.random.key(seed), progress=progress)
    found = found.in_bits() if bits else found
    out.print(repr(found))
    for line in _by_layer(found):
        out.print(line)
    for code in np.unique(found.status[found.status != Status.OK]):
        err.print(f"{Status(code).name}: {Status(code).message}")
    if out_file is not None:
        out.print(f"Written to {found.save(out_file)}.")
    if (found.status != Status.OK).all():
        where = ", ".join(map(str, arrays or [store]))
        raise ValueError(f"No problem of {where} could be decomposed.")


def _by_layer(found: "PIDEstimate | CategoricalPID") -> list[str]:
    """Return a table of the atoms of every layer, or no lines where problems are no layers."""
    layers = found.leading_axes.get("layer")
    if layers is None:
        return []
    atoms = vars(found.atoms)
    rows = [["layer", *atoms]]
    for index, layer in enumerate(layers):
        rows.append([str(layer), *(f"{value[index]:z.3f}" for value in atoms.values())])
    return ["  ".join(cell.rjust(10) for cell in row) for row in rows]
