"""The claims as rows of a table: what was claimed, when it counts as supported, and what was found in every model."""

from collections.abc import Iterable

import xarray as xr

from pid_jax.report.by_measure import agreement
from pid_jax.report.formats import FAILS, HOLDS, OPEN, counted, interval, joined, typeset, with_unit
from pid_jax.study.metrics.claims import CONTRADICTED, NOT_TESTABLE, SUPPORTED
from pid_jax.study.results import about

_SAID = {CONTRADICTED: "contradicted by the data"}
SYMBOLS = {SUPPORTED: HOLDS, CONTRADICTED: FAILS, NOT_TESTABLE: OPEN}


def claims(*studies: xr.Dataset) -> list[dict]:
    """List the claims with what was found in every model, about every target side by side.

    Args:
        studies: Datasets made by `pid_jax.study`, one for each target.

    Returns:
        Texts by claim, each with a row for every model and target; empty if there are no verdicts.
    """
    judged = [one for one in studies if "verdict" in one]
    found: dict[str, dict] = {}
    for results in judged:
        for place in range(results.sizes["claim"]):
            of = results.isel(claim=place)
            texts = {"text": typeset(str(of["claim_text"].item())), "criterion": typeset(str(of["criterion"].item()))}
            listed = found.setdefault(texts["text"], texts | {"rows": []})
            listed["rows"] += [_row(of.isel(model=m)) for m in range(results.sizes["model"])]
    models = list(dict.fromkeys(str(name) for one in judged for name in one["model"].values))
    for listed in found.values():
        listed["rows"].sort(key=lambda row: models.index(row["model"]))
        listed["counts"] = count_verdicts(row["verdict"] for row in listed["rows"])
    return [*found.values()]


def _row(cell: xr.Dataset) -> dict[str, str]:
    unit, verdict = str(cell["claim_unit"].item()), str(cell["verdict"].item())
    row = {
        "model": str(cell["model"].item()),
        "about": about(cell),
        "verdict": verdict,
        "symbol": SYMBOLS.get(verdict, "?"),
        "kind": _kind(verdict),
        "value": with_unit(float(cell["claim_value"]), unit),
        "interval": interval(float(cell["claim_lower"]), float(cell["claim_upper"]), unit),
        "reason": typeset(str(cell["reason"].item())),
        "others": "",
        "measures": agreement(cell),
    }
    if "universe_verdict" in cell:
        others = cell["universe_verdict"].values.astype(str)[1:]
        row["others"] = f"{int((others == verdict).sum())} of {len(others)}" if len(others) else ""
    return row


def headline(results: xr.Dataset) -> list[str]:
    """Say in a sentence per model how many claims are supported."""
    if "verdict" not in results:
        return []
    said = []
    for name, verdicts in zip(
        results["model"].values, results["verdict"].transpose("model", "claim").values, strict=True
    ):
        by = f", by information about {about(results)}" if "target" in results.attrs else ""
        said.append(f"{name}: of {counted(len(verdicts), 'claim')} examined{by}, {count_verdicts(verdicts)}.")
    return said


def marks(results: xr.Dataset) -> list[tuple[str, list[tuple[str, str]]]]:
    """Mark every verdict of every model.

    Returns:
        The text of each claim with a mark and a kind for each model; empty if there are no verdicts.
    """
    if "verdict" not in results:
        return []
    verdicts = results["verdict"].transpose("claim", "model").values.astype(str)
    rows = [[(SYMBOLS.get(one, "?"), _kind(one)) for one in row] for row in verdicts]
    return list(zip([typeset(str(text)) for text in results["claim_text"].values], rows, strict=True))


def _kind(verdict: str) -> str:
    return verdict.replace(" ", "-")


def count_verdicts(verdicts: Iterable[object]) -> str:
    """Write how many verdicts there are of each kind: "2 are supported and 1 is contradicted by the data"."""
    of = [str(one) for one in verdicts]
    return joined(
        [
            f"{of.count(kind)} {'is' if of.count(kind) == 1 else 'are'} {_SAID.get(kind, kind)}"
            for kind in SYMBOLS
            if kind in of
        ]
    )
