"""What the page says first: what both sources tell in the end, what the widest cut does, and what becomes of claims."""

import numpy as np
import xarray as xr

from pid_jax.plot.quantities import PER_NAT, condition_labels, entropy_of
from pid_jax.report.formats import counted, joined, number, value_range
from pid_jax.report.verdicts import count_verdicts
from pid_jax.study.results import about

_SHARES = (("language_share_last", "only language tells"), ("redundancy_share_last", "either tells"))
_EFFECTS = (
    ("trapped_vision", "what only vision tells by"),
    ("compensatory_synergy", "synergy by"),
    ("information_cost", "all information by"),
)


def lead(results: xr.Dataset) -> list[str]:
    """Return at most three sentences, for the first target of a study.

    Args:
        results: The dataset made by `pid_jax.study`, with metrics; without any there is nothing to say.
    """
    said = [_in_the_end(results), _after_the_cut(results), _of_claims(results)]
    return [sentence for sentence in said if sentence]


def _in_the_end(results: xr.Dataset) -> str:
    """Say what both sources tell at the last layer in the mean over tasks, and how it divides."""
    if "overall_metric" not in results:
        return ""
    whole = _range(results, "overall_metric", {"metric_name": "information_last"}, PER_NAT["bits"])
    if not whole:
        return ""
    parts = [
        f"{share} % is what {words}"
        for name, words in _SHARES
        if (share := _range(results, "overall_metric", {"metric_name": name}, 100, 0))
    ]
    most = entropy_of(results, "bits")
    limit = f" (the entropy of the answer is at most {number(most)})" if np.isfinite(most) else ""
    divided = f"; of that, {joined(parts)}" if parts else ""
    return f"At the last layer, both sources tell {whole} bits about {about(results)}{limit}{divided}."


def _after_the_cut(results: xr.Dataset) -> str:
    """Say what the widest cut changes in the mean over tasks."""
    if "overall_effect" not in results or results.sizes["condition"] < 2:
        return ""
    first, last = (results[name] for name in ("cut_first", "cut_last"))
    blocks = (last - first + 1).where(first >= 0, 0)
    widest = int((blocks.max("model") if "model" in blocks.dims else blocks).values.argmax())
    at = {"condition": str(results["condition"].values[widest])}
    parts = [
        f"{words} {change} bits"
        for name, words in _EFFECTS
        if (change := _range(results, "overall_effect", at | {"effect_name": name}, PER_NAT["bits"]))
    ]
    return (
        f"{condition_labels(results)[widest]}: the cut changes {joined(parts)}, at the layer after it." if parts else ""
    )


def _of_claims(results: xr.Dataset) -> str:
    """Say how many claims of the paper are supported, over all models."""
    if "verdict" not in results:
        return ""
    models, count = results.sizes["model"], results.sizes["claim"]
    heads = f"{counted(count, 'claim')} of the paper" + (f" in each of {models} models" if models > 1 else "")
    return f"Of {heads}, {count_verdicts(results['verdict'].values.ravel())}."


def _range(results: xr.Dataset, variable: str, at: dict[str, str], factor: float, decimals: int = 2) -> str:
    """Write the values of all models: one number, or the least and the largest; "" where there is none."""
    if any(label not in results[dim] for dim, label in at.items()):
        return ""
    values = factor * results[variable].sel(at).values.astype(float)
    known = values[np.isfinite(values)]
    return value_range(known, decimals) if known.size else ""
