"""The verdicts of a study as a table in the terminal."""

from typing import TYPE_CHECKING

from rich.table import Table

from pid_jax.runtime.console import out

if TYPE_CHECKING:  # xarray takes a second to load
    import xarray as xr


def print_verdicts(results: "xr.Dataset", how: str = "") -> None:
    """Print what the study says of every claim, if there are claims: of many models how many have which verdict.

    Args:
        results: A study with metrics.
        how: What is special about its settings.
    """
    if "verdict" not in results:
        return
    from pid_jax.plot.quantities import MOST_MODELS
    from pid_jax.study.results import about

    table = Table(
        title=f"What this study says of the claims, by information about {about(results)}{', ' if how else ''}{how}",
        box=None,
        padding=(0, 1, 0, 0),
    )
    (_add_counts if results.sizes["model"] > MOST_MODELS else _add_verdicts)(table, results)
    out.print(table)


def _add_counts(table: Table, results: "xr.Dataset") -> None:
    """Count the models that have each verdict of a claim."""
    from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED

    table.add_column(f"claim: number of {results.sizes['model']} models")
    for verdict in (SUPPORTED, CONTRADICTED, NOT_TESTABLE):
        table.add_column(verdict, justify="right", no_wrap=True)
    for claim in results.claim.values:
        cell = results.sel(claim=claim)
        given = cell.verdict.values.tolist()
        counts = (str(given.count(verdict)) for verdict in (SUPPORTED, CONTRADICTED, NOT_TESTABLE))
        table.add_row(str(cell.claim_text.item()), *counts)


def _add_verdicts(table: Table, results: "xr.Dataset") -> None:
    """Show value and verdict of every model and claim."""
    for title in ("model", "claim", "value", "verdict"):
        table.add_column(title, no_wrap=title != "claim", justify="right" if title == "value" else "left")
    for model in results.model.values:
        for row, claim in enumerate(results.claim.values):
            cell = results.sel(model=model, claim=claim)
            ends = [float(cell[f"claim_{end}"]) for end in ("value", "lower", "upper")]
            value = "" if any(end != end for end in ends) else "{:.3g} ({:.3g} to {:.3g})".format(*ends)
            head = str(model) if row == 0 else ""
            table.add_row(head, str(cell.claim_text.item()), value, str(cell.verdict.item()))
