"""Verdicts on the claims: what a study shows of each, and whether that is enough."""

import numpy as np
import xarray as xr

from pid_jax.study.metrics.claims import (
    CORRELATION,
    EARLY_PEAK,
    EDGES,
    FEWEST_TASKS,
    LANGUAGE_SHARE,
    LEAST_DECAY,
    NOT_TESTABLE,
    SHARE_TOLERANCE,
    SYNERGY_SHARE,
    Claim,
    Finding,
    Judged,
    decide,
)
from pid_jax.study.metrics.intervals import ENDS
from pid_jax.study.metrics.sources import LANGUAGE, VISION, Sources


def judge(results: xr.Dataset) -> xr.Dataset:
    """Judge all claims in every model.

    Args:
        results: A study with its metrics.

    Returns:
        `claim_value`, `claim_lower`, `claim_upper`, `verdict` and `reason` (model, claim), with texts and criteria.
    """
    judged = [[_judge_one(claim, results, m) for claim in CLAIMS.values()] for m in range(results.sizes["model"])]
    dims, nothing = ("model", "claim"), Finding(name="", value=np.nan, lower=np.nan, upper=np.nan)
    firsts = [[one.findings[0] if one.findings else nothing for one in row] for row in judged]
    data = {
        f"claim_{end}": (
            dims,
            np.array([[getattr(f, end) for f in row] for row in firsts], dtype=float),
            {"units": "1"},
        )
        for end in ("value", "lower", "upper")
    }
    for name in ("verdict", "reason"):
        data[name] = (dims, np.array([[getattr(one, name) for one in row] for row in judged], dtype=object), {})
    coordinates = {
        "model": results["model"].values,
        "claim": list(CLAIMS),
        "claim_text": ("claim", [claim.text for claim in CLAIMS.values()]),
        "claim_unit": ("claim", [claim.unit for claim in CLAIMS.values()]),
        "criterion": ("claim", [claim.criterion for claim in CLAIMS.values()]),
    }
    return xr.Dataset(data, coords=coordinates)


def _judge_one(claim: Claim, results: xr.Dataset, model: int) -> Judged:
    """Judge a claim in one model, or say what it needs that the study lacks."""
    sources = Sources.of(results)
    if not sources.has(claim.about):
        return Judged(obstacle=sources.lack(claim.about))
    if claim.compares_models and results.sizes["model"] < 2:
        return Judged(obstacle="there is only one model")
    if claim.edges and _widest_cut(results, model, claim.edges) < 0:
        return Judged(obstacle=f"the model has no knockout of {claim.edges}")
    return claim.judge(results, model)


def _vision_early(results: xr.Dataset, model: int) -> Judged:
    decay = _overall(results, model, "decay", "the part of the vision-unique peak that is lost", least=LEAST_DECAY)
    peak = _overall(results, model, "peak_depth", "the depth of the peak", most=EARLY_PEAK)
    return Judged(findings=[decay, peak], note=_over_tasks(results, model, "decay"))


def _language_late(results: xr.Dataset, model: int) -> Judged:
    bounds = {"least": LANGUAGE_SHARE - SHARE_TOLERANCE, "most": LANGUAGE_SHARE + SHARE_TOLERANCE}
    share = _overall(results, model, "language_share_last", "the final share of language-unique", **bounds)
    gain = _overall(results, model, "language_share_gain", "what it gains in the second half", least=SHARE_TOLERANCE)
    return Judged(findings=[share, gain], note=_over_tasks(results, model, "language_share_last"))


def _synergy_small(results: xr.Dataset, model: int) -> Judged:
    largest = _overall(results, model, "synergy_share_largest", "the largest share of synergy", most=SYNERGY_SHARE)
    return Judged(findings=[largest], note=_over_tasks(results, model, "synergy_share_largest"))


def _variants_agree(results: xr.Dataset, model: int) -> Judged:
    names = [str(name) for name in results["model"].values]
    both = [results[f"overall_model_correlation{end}"].isel(model=model).sel(atom="all").values for end in ENDS]
    found = np.delete(np.stack(both, axis=1), model, axis=0)
    known = np.isfinite(found[:, 0])
    if not known.any():
        return Judged(obstacle="no other model has trajectories of the same tasks that can be correlated")
    others = [name for name in names if name != names[model]]
    lowest = int(np.nanargmin(found[:, 0]))
    # The lowest correlation is below every upper end, and no lower than the lowest of the lower ends.
    value, lower, upper = found[known].min(axis=0)
    name = f"the correlation with {others[lowest]}"
    return Judged(findings=[Finding(name=name, value=value, lower=lower, upper=upper, least=CORRELATION)])


def _knockout_ordering(results: xr.Dataset, model: int) -> Judged:
    condition = _widest_cut(results, model, EDGES)
    effect = {"effect_name": "trapped_vision"}
    at = {"condition": str(results["condition"].values[condition])} | effect
    trapped = _finding(results, "overall_effect", at, model, "the trapped vision-unique information in nats", least=0.0)
    tasks = int(np.isfinite(results["effect"].isel(model=model).sel(at).values).sum())
    if tasks < FEWEST_TASKS:
        few = f"an ordering needs {FEWEST_TASKS} tasks or more, and the knockout was estimated in {tasks}"
        return Judged(obstacle=f"{few}, where {trapped}" if tasks else few)
    cut = {"edges_name": EDGES, "window_name": str(results["window"].values[condition])} | effect
    vision, redundancy = (cut | {"property": name} for name in ("vision_dependence", "redundancy"))
    findings = [
        _finding(results, "association", vision, model, "its rank correlation with vision dependence", least=0.0),
        _finding(results, "association", redundancy, model, "that with redundancy", most=0.0),
        trapped,
    ]
    p_values = [float(results["association_p"].isel(model=model).sel(one)) for one in (vision, redundancy)]
    note = f"{tasks} tasks, p of the correlations {p_values[0]:.2g} and {p_values[1]:.2g}"
    if decide(findings) == NOT_TESTABLE and all(finding.is_known for finding in findings):
        note += f", and {tasks} tasks cannot decide an ordering like this"
    return Judged(findings=findings, note=note)


def _widest_cut(results: xr.Dataset, model: int, edges: str) -> int:
    """Find the condition that cuts some edges in the most decoder blocks; -1 if none does."""
    first, last = (results[f"cut_{end}"].isel(model=model).values for end in ("first", "last"))
    blocks = np.where((results["edges"].values == edges) & (last >= 0), last - first + 1, 0)
    return int(blocks.argmax()) if blocks.max(initial=0) > 0 else -1


def _overall(results: xr.Dataset, model: int, metric: str, name: str, **bounds: float) -> Finding:
    return _finding(results, "overall_metric", {"metric_name": metric}, model, name, **bounds)


def _finding(
    results: xr.Dataset, variable: str, labels: dict[str, str], model: int, name: str, **bounds: float
) -> Finding:
    value, lower, upper = (float(results[f"{variable}{end}"].isel(model=model).sel(labels)) for end in ENDS)
    return Finding(name=name, value=value, lower=lower, upper=upper, **bounds)


def _over_tasks(results: xr.Dataset, model: int, metric: str) -> str:
    """Say between which values a metric lies in single tasks."""
    values = results["metric"].isel(model=model).sel(metric_name=metric).values
    known = values[np.isfinite(values)]
    if known.size < 2:
        return f"{known.size} task{'' if known.size == 1 else 's'}"
    return f"single tasks from {known.min():.3g} to {known.max():.3g}"


CLAIMS = {
    "vision_early": Claim(
        text="Vision-unique information peaks early and decays.",
        criterion=(
            "In the mean trajectory over tasks, vision-unique peaks in the first third of the depth, and more than "
            f"{LEAST_DECAY:g} of its peak is lost by the last layer; the part lost is the number that decides."
        ),
        judge=_vision_early,
        about=VISION,
    ),
    "language_late": Claim(
        text="Language-unique information surges late, to about 82 % of the final prediction.",
        criterion=(
            f"In the mean trajectory over tasks, the share of language-unique in I_12 is within {SHARE_TOLERANCE:g} of "
            f"{LANGUAGE_SHARE:g} at the last layer, and grows by more than {SHARE_TOLERANCE:g} in the second half of "
            "the depth; the final share is the number that decides."
        ),
        judge=_language_late,
        about=LANGUAGE,
    ),
    "synergy_small": Claim(
        text="Synergy stays below 2 %.",
        criterion=(
            f"In the mean trajectory over tasks, the share of synergy in I_12 is below {SYNERGY_SHARE:g} at every "
            "layer; the largest share is the number that decides."
        ),
        judge=_synergy_small,
    ),
    "variants_agree": Claim(
        text="Trajectories of model variants correlate above 0.96.",
        criterion=(
            f"Over depth, atoms and tasks together, trajectories correlate above {CORRELATION:g} with those of every "
            "other model, each curve taken around its own mean; the lowest correlation is the number that decides."
        ),
        judge=_variants_agree,
        compares_models=True,
    ),
    "knockout_ordering": Claim(
        text="Knockouts trap vision-unique information, most in visual and least in redundant tasks.",
        criterion=(
            "Under the widest cut from image to question, trapped vision-unique information is above zero in the mean "
            "over tasks, its rank correlation over tasks with vision dependence is above zero, and that with "
            "redundancy below; the correlation with vision dependence is the number that decides."
        ),
        judge=_knockout_ordering,
        about=VISION,
        edges=EDGES,
    ),
}
