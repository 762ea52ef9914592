"""A dataset of a study with known content, in the schema of docs/study_dataset.md."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from pid_jax.decompose.dataset import STATUS_FLAGS
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.atoms import QUANTITIES
from pid_jax.study.results import SCHEMA

CELL = ("model", "task", "condition")
NATS = {"units": "nats"}
MAPS = ("Copula", "NoGaussianization")
TASKS = ("ChooseAttr", "ChooseCat", "LogicalObj")
# Decoder blocks cut, both included, as parts of the depth.
CUTS = {"all": (0.0, 1.0), "0-2": (0.0, 0.3), "3-5": (0.4, 0.7)}


def vision(depth: np.ndarray, task: int) -> np.ndarray:
    """What only vision tells, in nats: it decays, later in later tasks."""
    return 3.0 * np.exp(-depth / (0.1 + 0.03 * task)) / (1 + 0.3 * task)


def planted(
    models: Mapping[str, int] | None = None,
    tasks: Sequence[str] = TASKS,
    edges: Sequence[str] = ("image-question",),
    cuts: Mapping[str, tuple[float, float]] = CUTS,
    replicates: int = 100,
    noise: float = 0.02,
    seed: int = 0,
) -> xr.Dataset:
    """Make the estimates and tests of a study; metrics and verdicts are left to be computed.

    Args:
        models: Number of decoder blocks by name.
        tasks: Task names.
        edges: What the knockouts cut.
        cuts: Windows, as parts of the depth.
        replicates: Number of replicates.
        noise: Standard deviation of estimates in nats.
        seed: Of the noise.
    """
    models = {"eight": 8, "six": 6} if models is None else models
    generator = np.random.default_rng(seed)
    conditions = ["baseline", *(f"{edge}@{window}" for edge in edges for window in cuts)]
    count = {"model": len(models), "task": len(tasks), "condition": len(conditions), "layer": max(models.values()) + 1}
    shape = tuple(count.values())
    layers, last = np.arange(shape[-1]), np.array(list(models.values()))
    depth = np.where(layers <= last[:, None], layers / last[:, None], np.nan)
    first, final = np.full((2, *shape[:3:2]), -1)
    for m, blocks in enumerate(last):
        for c in range(1, len(conditions)):
            start, stop = list(cuts.values())[(c - 1) % len(cuts)]
            first[m, c], final[m, c] = round(start * (blocks - 1)), round(stop * (blocks - 1))
    truth = _atoms(depth, first, final, len(tasks))
    estimate = truth + noise * generator.normal(size=truth.shape)
    off = generator.normal(size=(*truth.shape, replicates))
    drawn = estimate[..., None] + noise * (off - off.mean(axis=-1, keepdims=True))
    correct = np.clip(0.99 - 0.1 * (first >= 0)[:, None] * np.arange(len(tasks))[:, None], 0.5, 1)
    data = _estimates(estimate, noise, shape) | _tests(estimate, noise, shape)
    data |= {
        f"replicate_{name}": ((*CELL, "layer", "replicate"), drawn[i].astype(np.float32), NATS)
        for i, name in enumerate(ATOMS)
    }
    data |= {
        "accuracy": (CELL, correct, {"units": "1"}),
        "replicate_accuracy": (
            (*CELL, "replicate"),
            np.clip(correct[..., None] + 0.005 * generator.normal(size=(*shape[:3], replicates)), 0, 1),
            {"units": "1"},
        ),
        "cell": (CELL, np.full(shape[:3], "done", dtype=object)),
        "problem": (CELL, np.full(shape[:3], "", dtype=object)),
        "findings": (CELL, np.full(shape[:3], json.dumps(["a sentence"]), dtype=object)),
        "n_samples": (("model", "task"), np.full(shape[:2], 1000), {"units": "1"}),
        "answer_entropy": (("model", "task"), np.full(shape[:2], np.log(2)), NATS),
        "majority_rate": (("model", "task"), np.full(shape[:2], 0.51), {"units": "1"}),
    }
    windows = ["", *(window for _ in edges for window in cuts)]
    labels = ["Baseline", *(f"{e.title()} cut, {w}" for e in edges for w in cuts)]
    coordinates = {
        "model": list(models),
        "task": list(tasks),
        "condition": conditions,
        "layer": layers,
        "measure": ["broja", "mmi"],
        "compared_measure": ["mmi", "broja"],
        "gaussianizer": list(MAPS),
        "quantity": [*ATOMS, "i_1", "i_2", "i_12"],
        "source": ["source_1", "source_2"],
        "direction": range(4),
        "source_direction": range(4),
        "condition_label": ("condition", labels),
        "edges": ("condition", ["", *(edge for edge in edges for _ in cuts)]),
        "window": ("condition", windows),
        "control_of": ("condition", [""] * len(windows)),
        "cut_first": (("model", "condition"), first),
        "cut_last": (("model", "condition"), final),
        "last_layer": ("model", last),
        "depth": (("model", "layer"), depth),
    }
    return xr.Dataset(data, coords=coordinates, attrs=_ATTRIBUTES)


def planted_answer(**options) -> xr.Dataset:
    """Make the same study about an answer of three bits: without what only states have, and with its entropy."""
    study = planted(**options)
    study = study.drop_dims(["gaussianizer", "compared_measure", "direction", "source_direction"]).drop_vars(
        [
            "gaussianized_by",
            "dims_1",
            "dims_2",
            "dims_target",
            "components_target",
            "explained_variance_target",
            "reduction_angle_target",
        ]
    )
    names = [*study["model"].values], [*study["task"].values], [*study["condition"].values]
    entropy = np.full([len(one) for one in names], 3 * np.log(2))
    chosen = np.full((*entropy.shape, 3, study.sizes["layer"]), "LinearClassifier", dtype=object)
    study = study.assign(
        target_entropy=(CELL, entropy, NATS),
        classified_by=((*CELL, "predictor", "layer"), chosen),
        class_probability=((*CELL, "common_class"), np.full((*entropy.shape, 8), 1 / 8), {"units": "1"}),
    ).assign_coords(predictor=["source_1", "source_2", "both"])
    attributes = {"target": "answer", "target_label": "model's answer", "estimator": "held-out predictions"}
    return study.assign_attrs(attributes | {"interval_level": "0.95"})


def planted_questions(study: xr.Dataset, count: int = 50) -> xr.Dataset:
    """Make shares of single questions: the synergy of question i is i nats, all others are zero."""
    conditions = study["condition"].values
    groups = [(m, t) for m in study["model"].values for t in study["task"].values]
    samples = count * len(groups)
    shape = (len(conditions), 1, samples)
    data = {name: (("condition", "at", "sample"), np.zeros(shape, np.float32), NATS) for name in ATOMS}
    data["synergy"][1][:] = np.tile(np.arange(count), len(groups))
    data["layer"] = (("condition", "at", "sample"), np.full(shape, 4, np.int16))
    data["predicted"] = (("condition", "sample"), np.full((len(conditions), samples), "red", dtype=object))
    about = {
        "model": np.repeat([m for m, _ in groups], count),
        "task": np.repeat([t for _, t in groups], count),
        "question": [f"what </script> is {i}?" for i in range(samples)],
        "gold": ["red"] * samples,
        "image": [f"{i}.png" for i in range(samples)],
    }
    coordinates = {name: ("sample", np.asarray(values, dtype=object)) for name, values in about.items()}
    names = {"condition": conditions, "at": ["last"], "sample": [str(i) for i in range(samples)]}
    return xr.Dataset(data, coords=coordinates | names, attrs={"schema": "pid_jax.study_questions/1"})


def planted_decision(questions: xr.Dataset) -> xr.Dataset:
    """Make the decisions of the first model: 1 nat of synergy about its own answer, half of that about the gold one.

    What vision alone tells of question i is i nats.
    """
    names = {"model": list(dict.fromkeys(questions["model"].values)), "answer": ["model", "gold"]}
    names |= {"task": list(dict.fromkeys(questions["task"].values)), "predictor": ["source_1", "source_2", "both"]}
    dims = ("model", "task", "answer")
    synergy = np.full([len(names[dim]) for dim in dims], np.nan)
    synergy[0] = 1.0, 0.5
    data = {name: (dims, np.where(name in ("synergy", "i_12"), synergy, 0 * synergy), NATS) for name in QUANTITIES}
    data |= {
        f"{name}_{end}": (dims, data[name][1] + d, NATS)
        for name in QUANTITIES
        for end, d in (("lower", -0.1), ("upper", 0.1))
    }
    data |= {"target_entropy": (dims, 2 * synergy, NATS), "n_samples": (dims, 50 + 0 * synergy, {"units": "1"})}
    data |= {"temperature": ((*dims, "predictor"), np.repeat(synergy[..., None], 3, axis=-1))}
    data |= {"findings": (dims, np.full(synergy.shape, json.dumps(["a note about cuts"]), dtype=object))}
    data |= {"problem": (dims, np.full(synergy.shape, "", dtype=object))}
    own = questions.isel(sample=questions["model"].values == names["model"][0])
    shares = np.tile(own["sample"].values.astype(np.float32), (2, 1))
    data |= {f"pointwise_{n}": (("answer", "sample"), shares if n == "unique_1" else 0 * shares, NATS) for n in ATOMS}
    coordinates = names | {
        "method": ("model", ["cut"] * 2),
        "draws": ("model", [1] * 2),
        "sample": own["sample"].values,
    }
    coordinates |= {f"of_{name}": ("sample", own[name].values) for name in ("model", "task")}
    attributes = {"schema": "pid_jax.study_decision/1", "source_1_label": "vision", "source_2_label": "language"}
    attributes |= {"interval_level": "0.95", "problems": json.dumps(["model 'six': damaged"])}
    return xr.Dataset(data, coords=coordinates, attrs=attributes)


def _atoms(depth: np.ndarray, first: np.ndarray, final: np.ndarray, tasks: int) -> np.ndarray:
    """Atoms (atom, model, task, condition, layer): cuts keep vision-unique information until they end."""
    layers = np.arange(depth.shape[1])
    rows = []
    for m, c in np.ndindex(first.shape):
        held = layers
        if first[m, c] >= 0:
            inside = np.clip(layers, first[m, c], final[m, c] + 1) - first[m, c]
            held = layers - inside
        held = held / np.nanmax(np.where(np.isnan(depth[m]), np.nan, layers))
        rows.append([[*_of_depth(held, task)] for task in range(tasks)])
    values = np.array(rows).reshape(*first.shape, tasks, 4, -1)  # model, condition, task, atom, layer
    values = np.moveaxis(values, (3, 0, 2, 1, 4), (0, 1, 2, 3, 4))
    return np.where(np.isnan(depth)[:, None, None, :], np.nan, values)


def _of_depth(depth: np.ndarray, task: int) -> np.ndarray:
    unique_1 = vision(depth, task)
    redundancy = 0.1 + 2.0 * (1 - unique_1 / unique_1[0])
    unique_2 = 0.8 + 3.0 * depth**2
    return np.stack([redundancy, unique_1, unique_2, np.full_like(depth, 0.05)])


def _sums(estimate: np.ndarray) -> np.ndarray:
    redundancy, unique_1, unique_2, synergy = estimate
    return np.stack([redundancy + unique_1, redundancy + unique_2, redundancy + unique_1 + unique_2 + synergy])


def _estimates(estimate: np.ndarray, noise: float, shape: tuple[int, ...]) -> dict:
    smaller = np.minimum(estimate[1], estimate[2])
    both = np.stack([estimate, estimate + smaller * np.array([1, -1, -1, 1]).reshape(4, 1, 1, 1, 1)], axis=-2)
    dims = (*CELL, "measure", "layer")
    data = {name: (dims, both[i], NATS) for i, name in enumerate(ATOMS)}
    compared = (*CELL, "compared_measure", "layer")
    data |= {f"by_measure_{name}": (compared, both[i][..., ::-1, :], NATS) for i, name in enumerate(ATOMS)}
    data |= {f"{name}_lower": (dims, both[i] - 1.64 * noise, NATS) for i, name in enumerate(ATOMS)}
    data |= {f"{name}_upper": (dims, both[i] + 1.64 * noise, NATS) for i, name in enumerate(ATOMS)}
    data |= {
        name: ((*CELL, "layer"), values, NATS)
        for name, values in zip(("i_1", "i_2", "i_12"), _sums(estimate), strict=True)
    }
    maps = np.stack([estimate, estimate * 0.9], axis=-2)
    over_maps = (*CELL, "gaussianizer", "layer")
    data |= {f"compared_{name}": (over_maps, maps[i], NATS) for i, name in enumerate(ATOMS)}
    is_there = np.isfinite(estimate[0])
    gap = np.stack([np.where(is_there, 1e-14, np.nan), np.full(shape, np.nan)], axis=-2)
    status = np.where(np.stack([is_there, is_there], axis=-2), 0, -1)
    data |= {"gap": (dims, gap, NATS), "status": (dims, status, STATUS_FLAGS)}
    kept = np.where(is_there, 0.9, np.nan)
    data |= {f"explained_variance_{k}": ((*CELL, "layer"), kept, {"units": "1"}) for k in ("1", "2", "target")}
    data |= {f"reduction_angle_{k}": ((*CELL, "layer"), 0 * kept, {"units": "rad"}) for k in ("1", "2", "target")}
    counts = np.where(is_there, 4, -1).astype(np.int32)
    data |= {f"components_{k}": ((*CELL, "layer"), counts, {"units": "1"}) for k in ("1", "2", "target")}
    data["gaussianized_by"] = ((*CELL, "layer"), np.where(is_there, "Copula", "").astype(object))
    falling = np.array([0.5, 0.3, 0.15, 0.05])
    for source, values in (("1", estimate[1]), ("2", estimate[2])):
        data[f"spectrum_{source}"] = ((*CELL, "layer", "direction"), np.maximum(values, 0)[..., None] * falling, NATS)
    of_null = is_there[..., None] * np.ones(4)
    for name, dim in (("gain_1", "direction"), ("gain_2", "direction"), ("source_correlation", "source_direction")):
        data[name] = ((*CELL, "layer", dim), np.where(of_null > 0, falling, np.nan), {"units": "1"})
    data |= {f"dims_{k}": (CELL, np.full(shape[:3], 4, np.int32), {"units": "1"}) for k in ("1", "2", "target")}
    return data


def _tests(estimate: np.ndarray, noise: float, shape: tuple[int, ...]) -> dict:
    quantities = np.moveaxis(np.concatenate([estimate, _sums(estimate)]), 0, 3)
    difference = quantities - quantities[:, :, :1]
    difference[:, :, 0] = np.nan
    dims = (*CELL, "quantity", "layer")
    p_value = np.where(np.isnan(difference), np.nan, np.where(np.abs(difference) > 4 * noise, 0.001, 0.5))
    reach = 2.77 * noise
    added = np.where(np.isnan(estimate[0])[:, :, :, None], np.nan, np.full((*shape[:3], 2, shape[3]), 0.002))
    return {
        "difference": (dims, difference, NATS),
        "difference_lower": (dims, difference - reach, NATS),
        "difference_upper": (dims, difference + reach, NATS),
        "difference_p": (dims, p_value, {"units": "1"}),
        "difference_family_wise": (dims, p_value, {"units": "1"}),
        "added_p": ((*CELL, "source", "layer"), added, {"units": "1"}),
        "added_family_wise": ((*CELL, "source", "layer"), added, {"units": "1"}),
    }


_ATTRIBUTES = {
    "schema": SCHEMA,
    "study": "0123456789abcdef",
    "source_1_label": "vision",
    "source_2_label": "language",
    "target": "final-norm",
    "target_label": "final-norm state at the last position",
    "dataset": "gqa",
    "interval_level": "0.9",
    "interval_kind": "sampling of the covariance",
    "estimator": "Copula",
    "tested_measure": "broja",
    "tested_level": "0.95",
    "reduction": "components of the baseline",
    "problems": json.dumps([]),
    "settings": json.dumps({"study": {"keep": "all", "seed": 0}, "extraction": {"eight": {"template": "plain"}}}),
    "versions": json.dumps({"jax": "0.9.2"}),
}
