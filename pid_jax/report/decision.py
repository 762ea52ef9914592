"""What the models themselves decide, for the page: the atoms of every task as a chart and as rows of a table."""

import json
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS, INFORMATION
from pid_jax.plot.decision import ANSWER_LABELS
from pid_jax.plot.quantities import PER_NAT, atom_labels, names_of
from pid_jax.report.formats import joined, number

DECISION_LAYER = "decision"
"""What the table of questions calls the model's own decision among the layers."""
_ENDS = ("", "_lower", "_upper")


def decision_page(decision: xr.Dataset) -> dict[str, Any]:
    """Collect what the page shows of the models' own decisions.

    Args:
        decision: The dataset of `decision.nc`.

    Returns:
        "block" (JSON-ready, in nats, with null where there is nothing), "rows" of the table in bits, "how" modalities
        were made absent, "level" in percent, "notes" with the combinations that they apply to, and "problems".
    """
    places = [
        (m, t, a)
        for m in range(decision.sizes["model"])
        for a in range(decision.sizes["answer"])
        for t in range(decision.sizes["task"])
        if np.isfinite(decision["target_entropy"].values[m, t, a])
    ]
    cells = [decision.isel(model=m, task=t, answer=a) for m, t, a in places]
    return {
        "block": _block(decision),
        "rows": [_row(cell) for cell in cells],
        "how": joined(list(dict.fromkeys(_method(decision, m) for m in range(decision.sizes["model"])))),
        "level": number(100 * float(decision.attrs["interval_level"]), 0),
        "notes": _notes(cells),
        "problems": [*json.loads(decision.attrs["problems"]), *_single_problems(decision)],
    }


def decision_shares(decision: xr.Dataset, questions: xr.Dataset) -> np.ndarray:
    """Return the shares of the model's own decision in bits (atom, sample), in the order of the questions.

    Args:
        decision: The dataset of `decision.nc`.
        questions: The dataset of single questions.

    Returns:
        NaN where a question has no decision.
    """
    names = ("of_model", "of_task", "sample")
    own = zip(*(decision[name].values.astype(str).tolist() for name in names), strict=True)
    at = {key: index for index, key in enumerate(own)}
    asked = zip(*(questions[name].values.astype(str).tolist() for name in ("model", "task", "sample")), strict=True)
    places = np.array([at.get(key, -1) for key in asked])
    values = np.stack([decision[f"pointwise_{name}"].sel(answer="model").values for name in ATOMS]) * PER_NAT["bits"]
    return np.where(places >= 0, values[:, places], np.nan)


def _block(decision: xr.Dataset) -> dict[str, Any]:
    """Write numbers as lists over model, task and answer."""
    names = [f"{name}{end}" for name in (*ATOMS, *INFORMATION) for end in _ENDS]
    values = {name: decision[name].transpose("model", "task", "answer") for name in (*names, "target_entropy")}
    return {
        "model": names_of(decision, "model"),
        "task": names_of(decision, "task"),
        "answer": [[name, ANSWER_LABELS[name]] for name in names_of(decision, "answer")],
        "values": {name: _plain(value.values) for name, value in values.items()},
        "labels": atom_labels(decision),
    }


def _plain(values: np.ndarray) -> list:
    """Turn numbers into nested lists with None for NaN, which JSON does not know."""
    plain = np.round(values, 7).astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()


def _row(cell: xr.Dataset) -> dict[str, Any]:
    """Collect one row of the table."""
    image, question = (float(value) for value in cell["temperature"].values[:2])
    return {
        "model": str(cell["model"].item()),
        "whose": str(cell["answer"].item()),
        "task": str(cell["task"].item()),
        "samples": int(cell["n_samples"]),
        "entropy": float(cell["target_entropy"]),
        "informations": [float(cell[name]) for name in INFORMATION],
        "atoms": [[float(cell[f"{name}{end}"]) for end in _ENDS] for name in ATOMS],
        "temperatures": ["∞" if np.isinf(one) else number(one, 1) for one in (image, question)],
    }


def _method(decision: xr.Dataset, index: int) -> str:
    """Describe how a modality was made absent for one model."""
    method, draws = str(decision["method"].values[index]), int(decision["draws"].values[index])
    if method == "replaced":
        return f"replaced by that of another sample of the task ({draws} draw{'s' * (draws != 1)}, averaged)"
    return "hidden by cutting all attention to it" if method == "cut" else method


def _notes(cells: list[xr.Dataset]) -> list[tuple[str, str]]:
    """Gather the notes, each once, with the combinations that have it."""
    said: dict[str, list[str]] = {}
    for cell in cells:
        where = f"{cell['model'].item()}, {cell['task'].item()}, {ANSWER_LABELS[str(cell['answer'].item())]}"
        for sentence in json.loads(str(cell["findings"].item()) or "[]"):
            said.setdefault(str(sentence), []).append(where)
    return [(note, "" if len(where) == len(cells) else "; ".join(where)) for note, where in said.items()]


def _single_problems(decision: xr.Dataset) -> list[str]:
    """List what could be decomposed for one of the two answers alone."""
    problems = decision["problem"].transpose("model", "task", "answer")
    return [
        f"model {problems['model'].values[m]!s}, {problems['task'].values[t]!s}, "
        f"{ANSWER_LABELS[str(problems['answer'].values[a])]}: {problems.values[m, t, a]}"
        for m, t, a in np.argwhere(problems.values.astype(str) != "").tolist()
    ]
