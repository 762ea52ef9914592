"""The claims as rows of a table: what was claimed, when it counts as supported, and what was found in every model."""

import re

import xarray as xr

from pid_jax.report.formats import counted, interval, joined, with_unit
from pid_jax.study.metrics.claims import NOT_SUPPORTED, NOT_TESTABLE, SUPPORTED
from pid_jax.study.results import about

SYMBOLS = {SUPPORTED: "✓", NOT_SUPPORTED: "✗", NOT_TESTABLE: "○"}


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
            texts = {"text": str(of["claim_text"].item()), "criterion": _typeset(str(of["criterion"].item()))}
            listed = found.setdefault(texts["text"], texts | {"rows": []})
            listed["rows"] += [_row(of.isel(model=m)) for m in range(results.sizes["model"])]
    models = list(dict.fromkeys(str(name) for one in judged for name in one["model"].values))
    for listed in found.values():
        listed["rows"].sort(key=lambda row: models.index(row["model"]))
    return [*found.values()]


def _row(cell: xr.Dataset) -> dict[str, str]:
    unit, verdict = str(cell["claim_unit"].item()), str(cell["verdict"].item())
    row = {
        "model": str(cell["model"].item()),
        "about": about(cell),
        "verdict": verdict,
        "symbol": SYMBOLS.get(verdict, "?"),
        "kind": verdict.replace(" ", "-"),
        "value": with_unit(float(cell["claim_value"]), unit),
        "interval": interval(float(cell["claim_lower"]), float(cell["claim_upper"]), unit),
        "reason": _typeset(str(cell["reason"].item())),
        "others": "",
    }
    if "universe_verdict" in cell:
        others = cell["universe_verdict"].values.astype(str)[1:]
        row["others"] = f"{int((others == verdict).sum())} of {len(others)}" if len(others) else ""
    return row


def _typeset(text: str) -> str:
    """Write minus signs and I_12 as the rest of the page does."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", text).replace("I_12", "I₁₂")


def headline(results: xr.Dataset) -> list[str]:
    """Say in a sentence per model how many claims are supported."""
    if "verdict" not in results:
        return []
    said = []
    for name, verdicts in zip(
        results["model"].values, results["verdict"].transpose("model", "claim").values, strict=True
    ):
        of = [str(v) for v in verdicts]
        parts = [f"{of.count(kind)} {'is' if of.count(kind) == 1 else 'are'} {kind}" for kind in SYMBOLS if kind in of]
        by = f", by information about {about(results)}" if "target" in results.attrs else ""
        said.append(f"{name}: of {counted(len(of), 'claim')} examined{by}, {joined(parts)}.")
    return said
