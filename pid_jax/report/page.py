"""The page of a study: one HTML file with its words, charts, numbers and scripts inside."""

import base64
import functools
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import numpy as np
import xarray as xr

from pid_jax.estimate.gaussianize import label_of
from pid_jax.pid.registry import MEASURES
from pid_jax.plot.associations import property_labels
from pid_jax.plot.quantities import (
    ATOMS,
    CELLS,
    INFORMATION,
    MOST_MODELS,
    atom_labels,
    check_results,
    condition_labels,
    default_measure,
    edge_sets,
    has_intervals,
    measure_name,
    names_of,
)
from pid_jax.plot.universes import study_choices
from pid_jax.report import formats
from pid_jax.report.by_measure import measure_tables
from pid_jax.report.data import data_block, in_script
from pid_jax.report.decision import decision_page
from pid_jax.report.diagnostics import diagnostics, flatten, read_json
from pid_jax.report.lead import lead
from pid_jax.report.paper import paper_page
from pid_jax.report.questions import question_rows
from pid_jax.report.summary import limits, summarize
from pid_jax.report.verdicts import claims, headline, marks
from pid_jax.runtime.files import write_text
from pid_jax.study.by_measure import NAMES
from pid_jax.study.conditions import WHOLE_WINDOW
from pid_jax.study.results import PREDICTIONS, about, cut_names, is_about_answer, one_model

_NEEDED = (*ATOMS, *INFORMATION, "accuracy", "n_samples", "answer_entropy", "majority_rate", "status", "gap", "cell")
# What the claims are about is the first of the cuts.
FIRST_EDGES = "image-question"
_HERE = Path(__file__).parent
# In the order in which they use each other.
SCRIPTS = (
    *("data", "dom", "theme", "choices", "charts", "estimates", "axes", "information", "decision", "trajectories"),
    *(
        "shares",
        "models",
        "fingerprints",
        "knockouts",
        "questions",
        "universes",
        "spectra",
        "tests",
        "explorer",
        "start",
    ),
)


def write_report(
    results: xr.Dataset | Mapping[str, xr.Dataset],
    path: Path,
    *,
    questions: xr.Dataset | None = None,
    decision: xr.Dataset | None = None,
    paper: xr.Dataset | None = None,
) -> Path:
    """Write a study as one HTML page that needs nothing else and asks for nothing from the network.

    The same datasets give the same bytes.

    Args:
        results: The dataset made by `pid_jax.study`, or several by the names of their targets, the first shown first.
        path: Where to write; the page appears there only when it is complete.
        questions: The dataset of single questions of an answer, if there is one.
        decision: The dataset of the models' own decisions, if there is one.
        paper: What the settings of arXiv 2602.15580 find, if they were asked for.

    Returns:
        The path.

    Raises:
        ValueError: A dimension or variable is missing, or an attribute is not the JSON that it should be.
    """
    path = Path(path)
    studies = [results] if isinstance(results, xr.Dataset) else list(results.values())
    for one in studies:
        check_results(one, variables=_NEEDED, dimensions=("model", *CELLS))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=formats.number, bits=formats.bits, percent=formats.percent, counted=formats.counted
    )
    context = _context([for_page(one) for one in studies], questions, decision)
    context["paper"] = None if paper is None else paper_page(paper, studies)
    write_text(path, environment.get_template("page.html.j2").render(context))
    return path


def for_page(results: xr.Dataset) -> xr.Dataset:
    """Leave out replicates and atoms by compared measures, which are not shown, and order the conditions for the page.

    The baseline stands first; then come the cuts, one set of edges after the other, each with the window "all" first
    and the others by their first block. Without the coordinates that say where was cut, the order stays. Conditions of
    which the dataset does not say what they cut have their own names in `edges`.

    Args:
        results: The dataset made by `pid_jax.study`.
    """
    kept = results.drop_vars([name for name, values in results.variables.items() if "replicate" in values.dims])
    kept = kept.drop_vars(NAMES, errors="ignore")
    kept = kept.assign_coords(edges=("condition", cut_names(kept)))
    if not all(name in kept.coords for name in ("window", "cut_first", "cut_last")):
        return kept
    edges, windows = cut_names(kept), names_of(kept, "window")
    sets = sorted(edge_sets(kept), key=lambda edge: edge != FIRST_EDGES)
    first, last = (_blocks(kept, name) for name in ("cut_first", "cut_last"))

    def rank(place: int) -> tuple:
        edge = edges[place]
        own = 1 + sets.index(edge) if edge else 0
        return own, windows[place] != WHOLE_WINDOW, first[place], last[place], place

    return kept.isel(condition=[0, *sorted(range(1, len(edges)), key=rank)])


def _blocks(results: xr.Dataset, name: str) -> np.ndarray:
    """Read an end of every cut, as the first model has it that knows the cut; -1 without one."""
    values = results[name]
    values = values.transpose("model", "condition").values if "model" in values.dims else values.values[None]
    return values[(values >= 0).argmax(axis=0), np.arange(values.shape[1])]


def _context(
    studies: Sequence[xr.Dataset], questions: xr.Dataset | None, decision: xr.Dataset | None
) -> dict[str, object]:
    """Collect everything the template shows: what targets share is read from the first."""
    results = studies[0]
    targets = [_of_target(one) for one in studies]
    measures = {str(name): measure_name(str(name)) for one in studies for name in one["measure"].values}
    remarks = {name: MEASURES[name].remark for name in measures if name in MEASURES}
    return {
        "known": {str(name) for one in studies for name in one.variables},
        "attributes": {key: str(value) for key, value in results.attrs.items()},
        "missing": read_json(results, "missing", list),
        "targets": targets,
        "states": [one for one in targets if not one["is_answer"]],
        "answers": [one for one in targets if one["is_answer"]],
        "lead": lead(results),
        "names": atom_labels(results),
        "models": (models := [str(name) for name in results["model"].values]),
        "is_many": len(models) > MOST_MODELS,
        "tasks": [str(name) for name in results["task"].values],
        "conditions": condition_labels(results),
        "remarks": [(measures[name], remark) for name, remark in remarks.items() if remark],
        "maps": list(dict.fromkeys(name for one in studies if not is_about_answer(one) for name in _maps(one))),
        "has_intervals": any(one["has_intervals"] for one in targets),
        "properties": property_labels(results),
        "has_cuts": results.sizes["condition"] > 1,
        "study_choices": next((study_choices(one) for one in studies if "universe" in one.coords), ""),
        "claims": (judged := claims(*studies)),
        "has_others": any(row["others"] for claim in judged for row in claim["rows"]),
        "has_measures": any(row["measures"] for claim in judged for row in claim["rows"]),
        "measure_tables": measure_tables(*studies),
        "samples": _samples(results),
        "accuracies": _accuracies(results),
        "questions": None if questions is None else question_rows(questions, _of_answer(studies), decision),
        "decision": None if decision is None else decision_page(decision),
        "css": (_HERE / "page.css").read_text(encoding="utf-8"),
        "script": "\n".join((_HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS),
        "plotly": _plotly(),
        "in_script": in_script,
    }


def _of_answer(studies: Sequence[xr.Dataset]) -> xr.Dataset:
    """Find the results that questions belong to."""
    return next((one for one in studies if is_about_answer(one)), studies[0])


def _of_target(results: xr.Dataset) -> dict[str, object]:
    """Collect what the template shows of one target."""
    return {
        "about": about(results),
        "name": str(results.attrs.get("target", "final-norm")),
        "is_answer": is_about_answer(results),
        "label": str(results.attrs.get("target_label", "target")),
        "level": formats.number(100 * float(results.attrs.get("interval_level", 0.95)), 0),
        "measure": measure_name(default_measure(results)),
        "has_intervals": has_intervals(results),
        "estimator": _estimator(results),
        "summaries": summarize(results),
        "limits": limits(results),
        "headline": headline(results),
        "marks": marks(results),
        "excerpts": _excerpts(results),
        "diagnostics": diagnostics(results),
        "entropies": _entropies(results),
        "settings": list(flatten(read_json(results, "settings", dict))),
        "versions": list(flatten(read_json(results, "versions", dict))),
        "block": data_block(results),
    }


def _entropies(results: xr.Dataset) -> list[dict]:
    """List the entropies of the answer under the baseline, by model and task; none where the target is a state."""
    if not is_about_answer(results):
        return []
    values = results["target_entropy"].isel(condition=0).transpose("model", "task")
    return [
        {"model": str(values["model"].values[m]), "task": str(values["task"].values[t]), "value": float(values[m, t])}
        for m, t in np.argwhere(np.isfinite(values.values)).tolist()
    ]


def _maps(results: xr.Dataset) -> list[str]:
    """Name the Gaussianizers of the estimate and of what is compared with it."""
    return [label_of(name) for name in names_of(results, "gaussianizer")] if "gaussianizer" in results.coords else []


def _estimator(results: xr.Dataset) -> str:
    """Name what all numbers about a target come from."""
    name, measure = str(results.attrs.get("estimator", "")), measure_name(default_measure(results))
    if name == PREDICTIONS:
        return f"{measure}, from {PREDICTIONS} of the answer"
    return f"Gaussian {measure}, with the {label_of(name, 'unknown Gaussianizer')}"


@functools.cache
def _plotly() -> str:
    """Compress the script that draws charts: 4.8 MB become 1.9 MB of base64, which browsers unpack in an instant."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(zlib.compress(get_plotlyjs().encode(), 9)).decode()


def _samples(results: xr.Dataset) -> list[dict]:
    """List tasks of models that exist, with what their samples are like."""
    names = ("n_samples", "answer_entropy", "majority_rate")
    rows = []
    for m, t in np.ndindex(results.sizes["model"], results.sizes["task"]):
        cell = results.isel(model=m, task=t)
        if (cell["cell"] != "absent").any():
            shared = {"model": str(cell["model"].item()), "task": str(cell["task"].item())}
            rows.append(shared | {name: float(cell[name]) for name in names})
    return rows


def _accuracies(results: xr.Dataset) -> list[dict]:
    """List the accuracies of every model, a row for each condition and a column for each task that it has."""
    tables = []
    for name in results["model"].values:
        model = one_model(results, str(name))
        model = model.isel(task=np.flatnonzero((model["cell"] != "absent").any("condition").values))
        values = model["accuracy"].transpose("condition", "task").values.astype(float).tolist()
        rows = list(zip(condition_labels(model), values, strict=True))
        tables.append({"model": str(name), "tasks": [str(task) for task in model["task"].values], "rows": rows})
    return tables


def _excerpts(results: xr.Dataset) -> list[dict]:
    """Take the baseline's atoms at five depths of every model and task: what is left where scripts do not run."""
    found = []
    for name in results["model"].values:
        model = one_model(results, str(name)).isel(condition=0).sel(measure=default_measure(results))
        places = sorted({round(part * (model.sizes["layer"] - 1)) for part in (0, 0.25, 0.5, 0.75, 1)})
        for t in np.flatnonzero((model["cell"] == "done").values):
            cell = model.isel(task=t, layer=places)
            rows = [
                [int(cell["layer"].values[i]), *(float(cell[q].values[i]) for q in (*ATOMS, "i_12"))]
                for i in range(len(places))
            ]
            found.append({"title": f"{name}, {model['task'].values[t]}", "rows": rows})
    return found
