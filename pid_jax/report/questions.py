"""Single questions for the page: those with most of each atom, as rows of a table, and pictures of some."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.plot.quantities import PER_NAT
from pid_jax.report.decision import DECISION_LAYER, decision_shares
from pid_jax.report.thumbnails import MOST_THUMBNAILS, find_image, has_pillow, thumbnail

# Questions of a task that the page has, of each atom and layer: these with most, and these with least.
MOST_QUESTIONS = 20
# Of each atom, at the last layer, as far as `MOST_THUMBNAILS` allows.
_PICTURED = 3
_ABOUT = ("question", "gold", "image", "model", "task")


def question_rows(questions: xr.Dataset, results: xr.Dataset, decision: xr.Dataset | None = None) -> dict[str, Any]:
    """List the questions of the baseline that have most of each atom, with their shares in bits.

    Args:
        questions: The dataset of single questions of a study.
        results: Its results, whose settings say where the images are.
        decision: The models' own decisions, which follow the layers as one more; None if there are none.

    Returns:
        JSON-ready: "at" (the layers that were kept), "rows", "pictures" (data URLs by the name of the image) and "note"
        (why there are none, "" if there are).
    """
    baseline = questions.isel(condition=0)
    values = np.stack([baseline[name].transpose("at", "sample").values for name in ATOMS]) * PER_NAT["bits"]
    layers, at = baseline["layer"].transpose("at", "sample").values, questions["at"].values.astype(str).tolist()
    if decision is not None:
        values = np.concatenate([values, decision_shares(decision, questions)[:, None]], axis=1)
        layers, at = np.concatenate([layers, np.full_like(layers[:1], -1)]), [*at, DECISION_LAYER]
    about = {name: baseline[name].values.astype(str) for name in (*_ABOUT, "sample")}
    predicted = baseline["predicted"].values.astype(str)
    rows, pictured = [], []
    groups = list(dict.fromkeys(zip(about["model"].tolist(), about["task"].tolist(), strict=True)))
    for model, task in groups:
        own = np.flatnonzero((about["model"] == model) & (about["task"] == task))
        own = own[np.isfinite(values[:, :, own]).any(axis=(0, 1))]
        for index in _chosen(values[:, :, own], MOST_QUESTIONS):
            place = own[index]
            rows.append(
                {name: str(about[name][place]) for name in about}
                | {"answer": str(predicted[place]), "layers": layers[:, place].tolist()}
                | {"bits": [[_rounded(one) for one in row] for row in values[:, :, place].T.tolist()]}
            )
        few = min(_PICTURED, MOST_THUMBNAILS // (len(ATOMS) * max(len(groups), 1)))
        pictured += [own[i] for i in _chosen(values[:, :1, own], few, with_least=False)] if few else []
    pictures, note = _pictures(about, pictured[:MOST_THUMBNAILS], results)
    return {"at": at, "rows": rows, "pictures": pictures, "note": note}


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _chosen(values: np.ndarray, most: int, *, with_least: bool = True) -> list[int]:
    """Choose samples (atom, at, sample) with most, and with least, of each atom at each layer; in their order."""
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=-1, kind="stable")
    ends = [order[..., :most], order[..., -most:]] if with_least else [order[..., :most]]
    return np.unique(np.concatenate([end.ravel() for end in ends])).tolist()


def _pictures(about: Mapping[str, np.ndarray], places: list[int], results: xr.Dataset) -> tuple[dict[str, str], str]:
    """Make thumbnails by the names of images, or say why there are none."""
    if not has_pillow():
        return {}, "Images are not shown: Pillow is not installed."
    extraction = json.loads(str(results.attrs.get("settings", "{}"))).get("extraction", {})
    found: dict[str, str] = {}
    for place in places:
        name, model = str(about["image"][place]), str(about["model"][place])
        path = find_image(name, dict(extraction.get(model, {}).get("data", {})))
        if name not in found and path is not None and (picture := thumbnail(path)):
            found[name] = picture
    return found, "" if found else "Images are not shown: their files were not found."
