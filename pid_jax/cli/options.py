"""Options that several commands share, and checks of their values."""

from typing import Annotated

import typer

LARGEST_SEED = 2**32 - 1


def known_gaussianizer(name: str) -> str:
    """Refuse what is no name of a Gaussianizer; a parser, since the names come with functions that load JAX."""
    from pid_jax.estimate.gaussianize import GAUSSIANIZERS

    if name not in GAUSSIANIZERS:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(map(repr, GAUSSIANIZERS))}.")
    return name


Source1 = Annotated[str, typer.Option("--source-1", help="Role that is source_1.")]
Source2 = Annotated[str, typer.Option("--source-2", help="Role that is source_2.")]
Standardize = Annotated[
    bool,
    typer.Option(
        "--standardize",
        help="Reduce columns in units of their standard deviations, so that a few huge ones take no components.",
    ),
]
Dims = Annotated[str, typer.Option(help="PCA components of source_1, source_2 and target.")]
Tasks = Annotated[str, typer.Option(help="'all' or task names with commas.")]
Way = Annotated[
    str,
    typer.Option(
        "--gaussianize",
        parser=known_gaussianizer,
        metavar="NAME",
        help="Gaussianizer: flow, copula, nothing, auto, or an added one.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random, from 0 to 2**32 - 1.")]


def check_seed(seed: int) -> None:
    """Refuse a seed that JAX would change."""
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"--seed needs a whole number from 0 to {LARGEST_SEED}, got {seed}.")


def read_dims(dims: str) -> tuple[int, int, int]:
    """Read the components of the three variables."""
    parts = dims.split(",")
    if len(parts) != 3 or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"--dims needs three whole numbers with commas, such as 12,12,8, got {dims!r}.")
    return int(parts[0]), int(parts[1]), int(parts[2])


def given_options(context: typer.Context, names: tuple[str, ...]) -> list[str]:
    """Return those of some options that the command line has, as it spells them."""
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return [f"--{name.replace('_', '-')}" for name in given]
