"""The summary in plain words: every sentence follows the numbers, and what is not known is said."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import default_measure, has_intervals
from pid_jax.report.findings import summarize_task
from pid_jax.report.formats import counted, joined, number, percent, value_range
from pid_jax.study.results import one_model

# Verb for one cut and for several, and the rest of the clause.
_CUT_WORDS = {
    "kept": (
        ("leaves", "leave"),
        "noticeably more unique to {v} at the last layer, information that the baseline no longer leaves to {v} "
        "alone by then: it is trapped",
    ),
    "released": (
        ("leaves", "leave"),
        "more unique to {v} at some layer, but no longer at the last one: it is trapped only for a while",
    ),
    "raised": (
        ("raises", "raise"),
        "it at the last layer though the baseline had not lost as much, which is no trapping",
    ),
    "lowered": (("leaves", "leave"), "noticeably less"),
    "little": (("changes", "change"), "little"),
    "unknown": (("lacks", "lack"), "an estimate at the last layer, so that nothing is said about it"),
}


class ModelSummary(NamedTuple):
    """What is said about one model: headed sentences, and the numbers of every task."""

    name: str
    sentences: list[tuple[str, str]]
    tasks: list[dict]


def summarize(results: xr.Dataset) -> list[ModelSummary]:
    """Say about every model what the numbers show.

    Args:
        results: The dataset made by `pid_jax.study`.
    """
    return [_summarize_model(results, str(name)) for name in results["model"].values]


def _summarize_model(results: xr.Dataset, name: str) -> ModelSummary:
    model = one_model(results, name)
    there = np.flatnonzero((model["cell"].isel(condition=0) == "done").values)
    tasks = [summarize_task(model.isel(task=place), default_measure(results)) for place in there]
    v = str(results.attrs.get("source_1_label", "source 1"))
    l = str(results.attrs.get("source_2_label", "source 2"))  # noqa: E741
    if not tasks:
        return ModelSummary(name, [("No estimates", "No task of this model has a baseline that was estimated.")], [])
    sentences = [(f"Only {v}", vision_sentence(tasks, v)), ("At the last layer", last_layer_sentence(tasks, v, l))]
    cuts = [cut for task in tasks for cut in task["cuts"]]
    if cuts:
        sentences += [("Cutting attention", cut_sentence(cuts, v)), ("Accuracy", accuracy_sentence(cuts))]
    else:
        text = "None was studied, so nothing is said about what would happen without some of the attention."
        sentences.append(("Cutting attention", text))
    return ModelSummary(name, sentences, tasks)


def _amount(value: tuple[float, float, float]) -> str:
    """Write an amount in bits with its interval."""
    middle, lower, upper = value
    ends = f" ({number(lower)} to {number(upper)})" if np.isfinite(lower) and np.isfinite(upper) else ""
    return f"{number(middle)} bits{ends}"


def vision_sentence(tasks: list[dict], v: str) -> str:
    """Say what became of what only the first source tells."""
    known = [t for t in tasks if np.isfinite(t["first"][0]) and np.isfinite(t["last"][0])]
    if not known:
        return "It could not be estimated at the first or the last layer, so nothing is said about a decay."
    most = max(known, key=lambda t: t["first"][0])
    text = (
        f"In {most['task']}, where it is largest, {_amount(most['first'])} are unique to {v} at the first layer and "
        f"{_amount(most['last'])} at the last."
    )
    if len(known) > 1:
        ends = [value_range(t[end][0] for t in known) for end in ("first", "last")]
        text += f" Over the {len(known)} tasks: {ends[0]} bits at the first layer, {ends[1]} bits at the last."
    return " ".join([text, *_decays(tasks)])


def _decays(tasks: list[dict]) -> list[str]:
    """Sort tasks by whether the amount falls, and say so of each group."""
    groups: dict[str, list[str]] = {}
    for task in tasks:
        groups.setdefault(_decay_of(task), []).append(_at_layer(task))
    words = {
        "lasting": "It falls below a tenth of its first value and stays there in {}.",
        "briefly": "It falls below a tenth of its first value but does not stay there in {}.",
        "never": "It does not fall below a tenth of its first value in {}.",
        "unknown": "Some layers could not be estimated, so whether it falls for good is not known, in {}.",
        "little": "There is too little at the first layer to speak of a decay in {}.",
    }
    return [text.format(joined(groups[key])) for key, text in words.items() if key in groups]


def _decay_of(task: dict) -> str:
    if not np.isfinite(task["first"][0]) or not np.isfinite(task["last"][0]):
        return "unknown"
    if not task["is_noticeable"]:
        return "little"
    if task["fallen_at"] is not None:
        return "lasting"
    if not task["is_complete"]:
        return "unknown"
    return "briefly" if task["briefly_at"] is not None else "never"


def _at_layer(task: dict) -> str:
    """Name a task with the layer at which its decay shows."""
    kind = _decay_of(task)
    if kind == "lasting":
        return f"{task['task']} (from layer {task['fallen_at']} of {task['last_layer']})"
    return f"{task['task']} (layer {task['briefly_at']})" if kind == "briefly" else task["task"]


def last_layer_sentence(tasks: list[dict], v: str, l: str) -> str:  # noqa: E741
    """Say how the total at the last layer divides."""
    known = [t for t in tasks if t["shares"] is not None]
    if not known:
        return "The division of the total is not available, because an atom is missing or the total is too small."
    share = {atom: value_range((t["shares"][atom] for t in known), 0) for atom in known[0]["shares"]}
    text = (
        f"Of {value_range(t['total'] for t in known)} bits in all, {share['redundancy']}\u00a0% can be had from either "
        f"source (redundant), {share['unique_1']}\u00a0% only from {v}, {share['unique_2']}\u00a0% only from {l}, and "
        f"{share['synergy']}\u00a0% only from both together (synergistic)"
    )
    text += f"; ranges are over {counted(len(known), 'task')}." if len(known) > 1 else "."
    text += _position_sentence([t["positions"] for t in known if t.get("positions")], v, l)
    if min(min(t["shares"].values()) for t in known) < -0.5:
        text += " A share below zero is estimation error; it means “none found”."
    return text


def _position_sentence(positions: list[dict[str, float]], v: str, l: str) -> str:  # noqa: E741
    """Return a sentence on where shares lie among random systems of the same information; "" if none is known."""
    if not positions:
        return ""
    place = {atom: value_range((one[atom] for one in positions), 0) for atom in positions[0]}
    return (
        f" Of random systems with as much information, {place['redundancy']}\u00a0% have a smaller redundant share, "
        f"{place['unique_1']}\u00a0% a smaller share only from {v}, {place['unique_2']}\u00a0% only from {l}, and "
        f"{place['synergy']}\u00a0% a smaller synergistic one."
    )


def cut_sentence(cuts: list[dict], v: str) -> str:
    """Say what cuts of attention did to what only the first source tells."""
    found = Counter(cut["verdict"] for cut in cuts)
    conditions, tasks = (len({cut[key] for cut in cuts}) for key in ("condition", "task"))
    parts = [
        f"{found[kind]} {verbs[found[kind] > 1]} {words.format(v=v)}"
        for kind, (verbs, words) in _CUT_WORDS.items()
        if found[kind]
    ]
    times = counted(len(cuts), "cut")
    text = f"Of {times} ({counted(conditions, 'condition')}, {counted(tasks, 'task')}), {'; '.join(parts)}."
    known = [cut for cut in cuts if cut["verdict"] != "unknown"]
    if not known:
        return text
    most = max(known, key=lambda cut: abs(cut["after"] - cut["before"]))
    text += (
        f" The largest difference: with “{most['condition']}” in {most['task']}, {number(most['after'])} bits are "
        f"unique to {v} at layer {most['layer']}, against {number(most['before'])} in the baseline."
    )
    if most["is_separated"] is None:
        return text
    if most["is_separated"]:
        return text + " The intervals of the two do not overlap."
    return text + " The intervals of the two overlap, or one is missing: the difference may be due to chance."


def accuracy_sentence(cuts: list[dict]) -> str:
    """Say what cuts of attention did to the answers."""
    known = [c for c in cuts if np.isfinite(c["accuracy_before"]) and np.isfinite(c["accuracy_after"])]
    if not known:
        return "It is not available."
    falls, rises = (
        [c for c in known if c["is_accuracy_changed"] and sign * (c["accuracy_after"] - c["accuracy_before"]) > 0]
        for sign in (-1, 1)
    )
    text = (
        f"It falls by more than two standard errors with {len(falls)} of {counted(len(known), 'cut')} and rises so "
        f"with {len(rises)}."
    )
    if falls:
        worst = min(falls, key=lambda c: c["accuracy_after"] - c["accuracy_before"])
        text += (
            f" The largest fall is from {percent(worst['accuracy_before'])} to {percent(worst['accuracy_after'])}, "
            f"with “{worst['condition']}” in {worst['task']}"
        )
        text += ", no better than always giving the most frequent answer." if worst["is_at_majority"] else "."
    return text


def limits(results: xr.Dataset) -> list[str]:
    """Say what is not known."""
    attrs = results.attrs
    level = number(100 * float(attrs.get("interval_level", 0.95)), 0)
    kind = attrs.get("interval_kind", "of a kind that was not recorded")
    said = []
    if has_intervals(results):
        said.append(
            f"Intervals are {level}\u00a0% intervals: {kind}. They say nothing about other data sets or prompts."
        )
    else:
        said.append("No intervals were computed: how much the values would vary with other samples is not known.")
    cells = Counter(results["cell"].values.astype(str).ravel().tolist())
    if cells["failed"]:
        said.append(f"{counted(cells['failed'], 'combination')} of model, task and condition could not be estimated.")
    if "universe_verdict" in results:
        verdicts = results["universe_verdict"].values.astype(str)
        changed = int((verdicts[1:] != verdicts[:1]).sum())
        said.append(
            f"Under {counted(len(verdicts) - 1, 'other choice')} of target, dimensions, map and measure, {changed} of "
            f"{verdicts[1:].size} verdicts differ from those of the study itself. Choices that were not tried may too."
        )
    elif "verdict" in results:
        said.append("Whether the verdicts would hold under other choices of target, dimensions or map was not tried.")
    said.append(
        "The numbers describe what averaged token states reveal about the prediction. They do not by themselves show "
        "that the model uses it; the cuts of attention are the experiments that speak to this."
    )
    return said
