"""What the settings of arXiv 2602.15580 find, next to the analysis of the study: atoms task by task, and claims."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.quantities import PER_NAT, default_measure, measure_name
from pid_jax.report.verdicts import claims
from pid_jax.study.results import about, is_about_answer


def paper_page(paper: xr.Dataset, studies: Sequence[xr.Dataset]) -> dict[str, Any]:
    """Collect what the page shows of the paper's settings.

    Args:
        paper: The dataset of `paper.nc`.
        studies: The analyses of the study, one for each target, of which the first state is shown beside it.

    Returns:
        "rows" of the table of atoms in bits, "claims" with the verdicts of both, "deviations" from the paper, and the
        names of both analyses.
    """
    own = next((one for one in studies if not is_about_answer(one)), None)
    both = [paper] if own is None else [paper, own]
    return {
        "rows": [row for m in range(paper.sizes["model"]) for row in _rows(paper, own, m)],
        "claims": _claims(both),
        "deviations": json.loads(paper.attrs.get("deviations", "[]")),
        "own": "" if own is None else f"{about(own)}, {measure_name(default_measure(own))}",
    }


def _rows(paper: xr.Dataset, own: xr.Dataset | None, model: int) -> list[dict[str, Any]]:
    rows = []
    for task in paper["task"].values:
        at = {"model": paper["model"].values[model], "task": task, "condition": paper["condition"].values[0]}
        cell = paper.sel(at).isel(measure=0)
        if not np.isfinite(cell["i_12"]).any():
            continue
        row = {"model": str(at["model"]), "task": str(task), "samples": int(cell["n_samples"])}
        row["components"] = [_ends(cell[f"components_{name}"].values) for name in ("1", "2", "target")]
        row["both"] = int(_both_unique(cell))
        row["layers"] = int(np.isfinite(cell["i_12"]).sum())
        row["values"] = [_of_layers(cell, name) for name in ATOMS]
        row["own"] = None if own is None else [_of_layers(_select(own, at), name) for name in ATOMS]
        rows.append(row)
    return rows


def _select(own: xr.Dataset, at: dict[str, Any]) -> xr.Dataset:
    measure = default_measure(own)
    return own.sel(at | {"condition": own["condition"].values[0], "measure": measure})


def _of_layers(cell: xr.Dataset, atom: str) -> tuple[float, float]:
    """Return an atom in bits, at the last layer and averaged over all layers."""
    values = cell[atom].values[np.isfinite(cell[atom].values)] * PER_NAT["bits"]
    return (float(values[-1]), float(values.mean())) if values.size else (np.nan, np.nan)


def _both_unique(cell: xr.Dataset) -> int:
    """Count the layers in which both sources have something of their own; with the minimum there is none."""
    return int(((cell["unique_1"] > 1e-9) & (cell["unique_2"] > 1e-9)).sum())


def _ends(values: np.ndarray) -> str:
    known = values[values > 0].astype(int)
    if not known.size:
        return ""
    low, high = known.min(), known.max()
    return str(low) if low == high else f"{low} to {high}"


def _claims(both: list[xr.Dataset]) -> list[dict[str, Any]]:
    """List the claims with the verdict of each analysis in every model."""
    listed = [{claim["text"]: {row["model"]: row for row in claim["rows"]} for claim in claims(one)} for one in both]
    return [
        {"text": text, "model": model, "cells": [one.get(text, {}).get(model) for one in listed]}
        for text, rows in listed[0].items()
        for model in rows
    ]
