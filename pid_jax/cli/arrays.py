"""Hidden states of other tools on the command line: options that say how to read them, and `pid-jax import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pid_jax.runtime.console import err, fraction_bar, out
from pid_jax.runtime.files import check_folder

if TYPE_CHECKING:
    from pid_jax.store.activations import Activations
    from pid_jax.store.layout import ArrayLayout

_SHOWN = 3

Layout = Annotated[
    str | None,
    typer.Option(
        help="For arrays of other tools: their names, such as '{role}/layer_{layer}.npy', with {role}, {layer}, "
        "{sample} and {condition}. Names such as image/layer_12 are understood without."
    ),
]
Table = Annotated[
    str | None,
    typer.Option(help="For arrays: a .csv, .tsv or .parquet with id, task, gold, predicted (or answer) and correct."),
]
Axes = Annotated[
    str | None,
    typer.Option(help="For arrays: their axes, such as 'layer sample feature', if these are not clear."),
]
Masks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROLE=MASK",
        help="For arrays with one state a token: the tokens of a role, an array of truth values in a file or in the "
        "source, or the position of one token, such as last=-1; may be repeated.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND=NAME", help="For a table: which column is which, such as predicted=output; repeatable."),
]


def read_layout(
    layout: str | None, axes: str | None, masks: list[str] | None, columns: list[str] | None
) -> "ArrayLayout":
    """Make a layout from options.

    Raises:
        ValueError: If one is not of its form.
    """
    from pid_jax.store.layout import ArrayLayout

    chosen = {role: _position(value) for role, value in _pairs("--mask", masks).items()}
    return ArrayLayout(pattern=layout, axes=axes, masks=chosen, columns=_pairs("--column", columns))


def import_arrays(
    source: Annotated[Path, typer.Argument(help="A file or folder of arrays; docs/import.md lists formats.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Copy the states into a store here; several conditions in folders.")
    ] = None,
    layout: Layout = None,
    table: Table = None,
    axes: Axes = None,
    mask: Masks = None,
    column: Columns = None,
) -> None:
    """Check hidden states of other tools, and copy them into an activation store if --out is given."""
    if out_dir is not None:
        check_folder(out_dir, "--out")
    from pid_jax.store.open import open_conditions
    from pid_jax.store.store import ActivationStore

    found = open_conditions(source, table=table, layout=read_layout(layout, axes, mask, column))
    for states in found:
        _describe(states)
        if out_dir is None:
            _check_values(states)
            continue
        name = str(states.manifest.condition["name"])
        path = out_dir if len(found) == 1 else out_dir / name
        with fraction_bar(f"Copying {name}") as progress:
            store = ActivationStore.from_arrays(path, states, progress=progress)
        for failure in store.failures[:_SHOWN]:
            err.print(f"Left out: {failure.id}: {failure.message}")
        out.print(f"{len(store.ids)} of {len(states.ids)} samples: {path}")
    if out_dir is None:
        out.print("Nothing was copied: `pid-jax study --store` takes the same source and options.")


def _describe(states: "Activations") -> None:
    condition, columns = states.manifest.condition["name"], states.columns
    out.print(f"{states.path}, {condition}: {len(states.ids)} samples, layers {_ranges(states.layers)}")
    for role in states.roles:
        layers = [layer for layer, own in states.parts if own == role]
        width = states.read(role=role, layer=layers[0], rows=[0]).shape[1]
        out.print(f"  {role}: {len(layers)} layers of width {width}")
    tasks = list(dict.fromkeys(columns["task"].tolist()))
    answers = len(set(columns["predicted"].tolist())) if "predicted" in columns else 0
    known = f"{answers} answers of the model" if answers else "no answers of the model"
    out.print(f"  {len(tasks)} tasks ({', '.join(tasks[:_SHOWN])}{', ...' if len(tasks) > _SHOWN else ''}), {known}")


def _check_values(states: "Activations") -> None:
    """Read everything once, and report samples with values that are not finite."""
    import numpy as np

    parts = states.parts
    with fraction_bar("Reading") as progress:
        for done, (layer, role) in enumerate(parts):
            progress(done, len(parts))
            values = states.read(role=role, layer=layer)
            wrong = states.ids[~np.isfinite(values).all(axis=1)].tolist()
            if wrong:
                some = ", ".join(wrong[:_SHOWN])
                err.print(f"{role} at layer {layer}: {len(wrong)} samples are not finite and will be left out: {some}")
        progress(len(parts), len(parts))


def _ranges(layers: tuple[int, ...]) -> str:
    is_whole = len(layers) > _SHOWN and layers == tuple(range(min(layers), max(layers) + 1))
    return f"{min(layers)} to {max(layers)}" if is_whole else ", ".join(map(str, layers))


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    parts = [one.partition("=") for one in given or ()]
    pairs = {name: value for name, _, value in parts}
    for name, value in pairs.items():
        if not name or not value:
            raise ValueError(f"{option} needs NAME=VALUE, got {name or value!r}.")
    return pairs


def _position(value: str) -> str | int:
    try:
        return int(value)
    except ValueError:
        return value
