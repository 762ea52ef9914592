"""Verdicts on the claims: what a study shows of each, and whether that is enough."""

from functools import partial

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.causal import ATOM_EFFECTS
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
from pid_jax.study.metrics.null import HIGH, LOW, Position, overall_position
from pid_jax.study.metrics.sources import LANGUAGE, VISION, Sources
from pid_jax.study.results import is_about_answer

# Effects of knockouts that the paper claims, in the words of its abstract.
EFFECT_WORDS = {
    "trapped_vision": "trapped vision-unique information",
    "compensatory_synergy": "compensatory synergy",
    "information_cost": "total information cost (I_12 with the cut, minus baseline)",
}
BLIND_TO_SELECTION = (
    "a Gaussian estimate about a state shows no synergy where a question selects an attribute of the image"
)


def judge(results: xr.Dataset) -> xr.Dataset:
    """Judge all claims in every model.

    Args:
        results: A study with its metrics.

    Returns:
        `claim_value`, `claim_lower`, `claim_upper`, `verdict` and `reason` (model, claim), with texts and criteria.
    """
    judged = examine(results)
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


def examine(results: xr.Dataset) -> list[list[Judged]]:
    """Find what decides every claim in every model (model, claim) of a study with its metrics."""
    return [[_judge_one(claim, results, m) for claim in CLAIMS.values()] for m in range(results.sizes["model"])]


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
    of_language = ATOMS[1 + Sources.of(results).labels.index(LANGUAGE)]
    position = overall_position(results, model, of_language)
    notes = _over_tasks(results, model, "language_share_last"), position.note
    return Judged(findings=[share, gain], note=", ".join(filter(None, notes)), chance=_chance(position, least=HIGH))


def _synergy_small(results: xr.Dataset, model: int) -> Judged:
    largest = _overall(results, model, "synergy_share_largest", "the largest share of synergy", most=SYNERGY_SHARE)
    position = overall_position(results, model, "synergy", at_largest=True)
    notes = (
        _over_tasks(results, model, "synergy_share_largest"),
        position.note,
        "" if is_about_answer(results) else BLIND_TO_SELECTION,
    )
    return Judged(findings=[largest], note="; ".join(filter(None, notes)), chance=_chance(position, most=LOW))


def _chance(position: Position, *, least: float = 0.0, most: float = 1.0) -> str:
    """Return why chance explains a share: its percentile among random systems is not as extreme as claimed."""
    if not position.is_known or least <= position.value <= most:
        return ""
    wanted = f"from {least:g} on" if least else f"of {most:g} at most"
    return f"chance structure of these dimensions gives such a share (a percentile {wanted} would support the claim)"


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


def _rises(results: xr.Dataset, model: int, effect: str) -> Judged:
    """Judge whether an effect of the widest cut is above zero in the mean over tasks."""
    at = _effect_at(results, model, effect)
    name = f"{EFFECT_WORDS[effect]} in nats"
    found = _finding(results, "overall_effect", at, model, name, least=0.0)
    values = results["effect"].isel(model=model).sel(at).values
    return Judged(findings=[found], note=_between(values[np.isfinite(values)]))


def _ordered(results: xr.Dataset, model: int, effect: str) -> Judged:
    """Judge whether an effect of the widest cut goes with vision dependence over tasks, and against redundancy."""
    at = _effect_at(results, model, effect)
    tasks = int(np.isfinite(results["effect"].isel(model=model).sel(at).values).sum())
    if tasks < FEWEST_TASKS:
        return Judged(obstacle=f"an ordering needs {FEWEST_TASKS} tasks or more, and the knockout has {tasks}")
    window = results["window"].sel(condition=at["condition"]).item()
    cut = {"edges_name": EDGES, "window_name": str(window), "effect_name": effect}
    vision, redundancy = (cut | {"property": name} for name in ("vision_dependence", "redundancy"))
    findings = [
        _finding(results, "association", vision, model, "the rank correlation with vision dependence", least=0.0),
        _finding(results, "association", redundancy, model, "that with redundancy", most=0.0),
    ]
    p_values = [float(results["association_p"].isel(model=model).sel(one)) for one in (vision, redundancy)]
    note = f"{tasks} tasks, p of the correlations {p_values[0]:.2g} and {p_values[1]:.2g}"
    if decide(findings) == NOT_TESTABLE and all(finding.is_known for finding in findings):
        note += f", and {tasks} tasks cannot decide an ordering like this"
    return Judged(findings=findings, note=note)


def _effect_at(results: xr.Dataset, model: int, effect: str) -> dict[str, str]:
    condition = results["condition"].values[_widest_cut(results, model, EDGES)]
    return {"condition": str(condition), "effect_name": effect}


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
    return _between(values[np.isfinite(values)])


def _between(known: np.ndarray) -> str:
    if known.size < 2:
        return f"{known.size} task{'' if known.size == 1 else 's'}"
    return f"single tasks from {known.min():.3g} to {known.max():.3g}"


def _claim_of_sign(effect: str) -> Claim:
    words = EFFECT_WORDS[effect]
    return Claim(
        text=f"Image→Question knockouts cause {words}.",
        criterion=f"Under the widest cut from image to question, {words} is above zero in the mean over tasks.",
        judge=partial(_rises, effect=effect),
        about=ATOM_EFFECTS[effect].about,
        edges=EDGES,
        unit="nats",
    )


def _claim_of_order(effect: str) -> Claim:
    words = EFFECT_WORDS[effect]
    return Claim(
        text=f"{words[0].upper()}{words[1:]} is largest in vision-dependent tasks and smallest in redundant ones.",
        criterion=(
            f"Under the widest cut from image to question, the rank correlation over tasks of {words} with vision "
            "dependence is above zero, and that with redundancy below; the first is the number that decides."
        ),
        judge=partial(_ordered, effect=effect),
        about=VISION,
        edges=EDGES,
    )


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
            f"the depth; and the final share is at percentile {HIGH:g} or higher of random structure, where that is "
            "known. The final share is the number that decides."
        ),
        judge=_language_late,
        about=LANGUAGE,
    ),
    "synergy_small": Claim(
        text="Synergy stays below 2 %.",
        criterion=(
            f"In the mean trajectory over tasks, the share of synergy in I_12 is below {SYNERGY_SHARE:g} at every "
            f"layer; and the largest share is at percentile {LOW:g} or lower of random structure, where that is known. "
            "The largest share is the number that decides."
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
    **{f"{name}_rises": _claim_of_sign(name) for name in EFFECT_WORDS},
    **{f"{name}_ordered": _claim_of_order(name) for name in EFFECT_WORDS},
}
