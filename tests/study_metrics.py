"""Metrics and verdicts in the schema of docs/study_dataset.md, with made-up numbers: for tests of what shows them."""

import numpy as np
import xarray as xr

from pid_jax.decompose.result import ATOMS
from pid_jax.study.metrics.verdicts import CLAIMS as REAL_CLAIMS

METRICS = {
    "peak_layer": ("layer", "layer where vision-unique peaks"),
    "peak_depth": ("1", "depth where vision-unique peaks"),
    "peak_vision": ("nats", "largest vision-unique information"),
    "final_vision": ("nats", "vision-unique information at the last layer"),
    "decay": ("1", "part of the vision-unique peak that is lost"),
    "half_depth": ("1", "depth where half of the vision-unique peak is left"),
    "onset_depth": ("1", "depth where language-unique has risen half way"),
    "vision_share_first": ("1", "share of vision-unique at the first layer"),
    "vision_share_early": ("1", "share of vision-unique in the first half"),
    "language_share_first": ("1", "share of language-unique at the first layer"),
    "language_share_middle": ("1", "share of language-unique half way"),
    "language_share_last": ("1", "share of language-unique at the last layer"),
    "language_share_gain": ("1", "share that language-unique gains in the second half"),
    "redundancy_share_last": ("1", "share of redundancy at the last layer"),
    "synergy_share_last": ("1", "share of synergy at the last layer"),
    "synergy_share_largest": ("1", "largest share of synergy"),
    "information_first": ("nats", "information at the first layer"),
    "information_last": ("nats", "information at the last layer"),
}
EFFECTS = {
    "trapped_vision": ("nats", "trapped vision-unique, after the cut"),
    "trapped_vision_final": ("nats", "trapped vision-unique, at the last layer"),
    "compensatory_synergy": ("nats", "compensatory synergy, after the cut"),
    "information_cost": ("nats", "total information cost, after the cut"),
    "accuracy_change": ("1", "change of accuracy"),
}
POINTS = {"first": 0.0, "quarter": 0.25, "middle": 0.5, "three_quarters": 0.75, "last": 1.0}
CLAIMS = {name: claim.text for name, claim in REAL_CLAIMS.items()}
COMPARED = ("mmi", "broja", "idep", "iig", "iccs")
VERDICTS = ("supported", "contradicted", "not testable here")
UNIVERSES = (
    ("FinalNorm", "12,12,8", "Copula", "broja"),
    ("FinalNorm", "12,12,8", "Copula", "mmi"),
    ("FinalNorm", "8,8,4", "Copula", "broja"),
    ("FinalNorm", "12,12,8", "RealNVP", "broja"),
    ("AnswerLogits", "12,12,4", "Copula", "broja"),
    ("LogitLens", "12,12,8", "Copula", "broja"),
)


def with_made_up_metrics(results: xr.Dataset, seed: int = 1) -> xr.Dataset:
    """Add every variable of metrics and verdicts; numbers are random, within 0 and 1."""
    generator = np.random.default_rng(seed)
    if "compared_measure" in results.dims:
        results = results.isel(compared_measure=[0, 1, 0, 1, 0]).assign_coords(compared_measure=list(COMPARED))
    sizes = dict(results.sizes) | {
        "metric_name": len(METRICS),
        "effect_name": len(EFFECTS),
        "point": len(POINTS),
        "atom": len(ATOMS) + 1,
        "profile": results.sizes["model"] * results.sizes["task"],
        "claim": len(CLAIMS),
        "share": len(ATOMS),
        "universe": len(UNIVERSES),
        "compared_measure": len(COMPARED),
        "property": 2,
    }
    data: dict = {}

    def add(name: str, dims: tuple[str, ...], ends: tuple[str, ...] = ("lower", "upper")) -> None:
        own = {"model_2": "model", "task_2": "task", "profile_2": "profile"}
        of = {"edges_name": 1, "window_name": results.sizes["condition"] - 1}
        shape = [of.get(d, 0) or sizes[own.get(d, d)] for d in dims]
        value = generator.uniform(0.05, 0.95, size=shape)
        data[name] = (dims, value)
        data.update({f"{name}_{e}": (dims, value - 0.04 if e == "lower" else value + 0.04) for e in ends})

    add("metric", ("model", "task", "metric_name"))
    add("overall_metric", ("model", "metric_name"))
    add("layer_share", ("model", "task", "share", "layer"))
    add("effect", ("model", "task", "condition", "effect_name"))
    add("overall_effect", ("model", "condition", "effect_name"))
    add("fingerprint", ("model", "task", "point", "share"))
    add("fingerprint_distance", ("profile", "profile_2"))
    add("model_correlation", ("model", "model_2", "task", "atom"))
    add("overall_model_correlation", ("model", "model_2", "atom"))
    add("task_correlation", ("model", "task", "task_2", "atom"))
    add("association", ("model", "edges_name", "window_name", "effect_name", "property"))
    add("claim_value", ("model", "claim"), ())
    add("universe_value", ("universe", "model", "claim"), ())
    if "compared_measure" in results.dims:
        add("by_measure_value", ("model", "claim", "compared_measure"), ())
    for name in ("share_percentile", "share_above_chance"):
        add(name, ("model", "task", "share", "layer"))
        add(f"overall_{name}", ("model", "share", "layer"))
    return _label(xr.Dataset(data), results, generator)


def _label(data: xr.Dataset, results: xr.Dataset, generator: np.random.Generator) -> xr.Dataset:
    value = data["claim_value"]
    data["claim_lower"], data["claim_upper"] = value - 0.03, value + 0.03
    effect_dims = data["effect"].dims
    p_value = generator.uniform(0, 0.1, size=data["effect"].shape)
    data["effect_p"], data["effect_family_wise"] = (effect_dims, p_value), (effect_dims, np.minimum(1, 3 * p_value))
    share, dims = data["layer_share"], data["layer_share"].dims
    data["chance_share_lower"], data["chance_share_upper"] = (dims, share.values - 0.2), (dims, share.values + 0.1)
    if "by_measure_value" in data:
        holds = np.random.default_rng(0).integers(0, 2, size=data["by_measure_value"].shape).astype(np.int8)
        data["by_measure_holds"] = (data["by_measure_value"].dims, holds)
        data["by_measure_count"] = (value.dims, holds.sum(axis=-1))
        data["by_measure_total"] = (value.dims, np.full(value.shape, len(COMPARED)))
    data["association_p"] = (data["association"].dims, generator.uniform(0, 0.5, size=data["association"].shape))
    data["verdict"] = (value.dims, generator.choice(VERDICTS, size=value.shape).astype(object))
    data["reason"] = (value.dims, np.full(value.shape, "0.42 (0.39 to 0.45), and 0.5 was wanted", dtype=object))
    universe = data["universe_value"]
    data["universe_lower"], data["universe_upper"] = universe - 0.04, universe + 0.04
    data["universe_verdict"] = (universe.dims, generator.choice(VERDICTS, size=universe.shape).astype(object))
    data["universe_reason"] = (universe.dims, np.full(universe.shape, "0.42, and 0.5 was wanted", dtype=object))
    profiles = [(m, t) for m in results["model"].values for t in results["task"].values]
    windows = [str(w) for w in results["window"].values if w]
    coordinates = {
        "metric_name": list(METRICS),
        "metric_unit": ("metric_name", [unit for unit, _ in METRICS.values()]),
        "metric_label": ("metric_name", [label for _, label in METRICS.values()]),
        "effect_name": list(EFFECTS),
        "effect_unit": ("effect_name", [unit for unit, _ in EFFECTS.values()]),
        "effect_label": ("effect_name", [label for _, label in EFFECTS.values()]),
        "point": list(POINTS),
        "point_depth": ("point", list(POINTS.values())),
        "atom": [*ATOMS, "all"],
        "share": list(ATOMS),
        "model_2": results["model"].values,
        "task_2": results["task"].values,
        "profile": [f"{m}/{t}" for m, t in profiles],
        "profile_2": [f"{m}/{t}" for m, t in profiles],
        "profile_model": ("profile", [m for m, _ in profiles]),
        "profile_task": ("profile", [t for _, t in profiles]),
        "edges_name": [str(next(e for e in results["edges"].values if e))],
        "window_name": windows,
        "property": ["vision_dependence", "redundancy"],
        "claim": list(CLAIMS),
        "claim_text": ("claim", list(CLAIMS.values())),
        "claim_unit": ("claim", ["1"] * len(CLAIMS)),
        "criterion": ("claim", ["a criterion"] * len(CLAIMS)),
        "universe": range(len(UNIVERSES)),
    }
    for place, name in enumerate(("target", "dims", "gaussianizer", "measure")):
        coordinates[f"universe_{name}"] = ("universe", [one[place] for one in UNIVERSES])
    return results.merge(data.assign_coords(coordinates))
