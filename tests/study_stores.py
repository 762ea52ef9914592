"""Small stores of a model, its knockouts and two tasks, for studies."""

import numpy as np

from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name
from pid_jax.store.readout import Candidate, Readout, write_readout

LAYERS, WIDTH, COUNT = 2, 6, 120
BASELINE = {"name": "baseline", "label": "Baseline", "edges": [], "first": -1, "last": -1}
CUT = {"name": "image-question@all", "label": "Cut", "edges": [["image", "question"]], "first": 0, "last": 1}
EARLY = {"name": "image-question@0-0", "label": "Early cut", "edges": [["image", "question"]], "first": 0, "last": 0}


DECIDED = ("question", "image")  # what is kept


def make_decision(path, kept, baseline, strength=1.0, only=None, draw=1, seed=0):
    """Write the store of decisions from one modality; `strength` is how much of the baseline's decision it has."""
    absent = DECIDED[1 - DECIDED.index(kept)]
    about = {"kept": kept, "absent": absent, "method": "cut" if draw == 1 else "replaced"}
    condition = {"name": f"{kept}-only@{draw}", "label": kept, "edges": [], "first": -1, "last": -1, "decision": about}
    own = baseline.manifest
    name = tensor_name("last", NORM)
    fields = {"shard_size": 50, "tensors": (name,), "condition": condition, "settings": dict(own.settings)}
    store = ActivationStore.create(path, Manifest(ids=own.ids, **fields))
    states = baseline.read(role="last", layer=NORM)
    noise = np.random.default_rng(len(kept) + seed).normal(size=states.shape)
    mixed = (strength * states + (1 - strength) * noise).astype(np.float32)
    at = {one: row for row, one in enumerate(baseline.ids.tolist())}
    for index in store.missing_shards() if only is None else only:
        rows = [at[one] for one in store.shard_ids(index)]
        columns = [{"task": "ab"[row % 2], "gold": "", "correct": False, "predicted": "no"} for row in rows]
        store.write_shard(index, store.shard_ids(index), columns, {name: mixed[rows]})
    return ActivationStore.open(path)


def add_readout(store):
    """Write the readout of a baseline: the first number of a final state decides between yes and no."""
    embedding = np.zeros((2, WIDTH), np.float32)
    embedding[:, 0] = 2, -2
    answers = [Candidate(token=k, text=one, answers=(one,)) for k, one in enumerate(("yes", "no"))]
    arrays = {"weight": np.ones(WIDTH, np.float32), "bias": np.zeros(WIDTH, np.float32)}
    more = {"embedding": embedding, "head_bias": np.zeros(2, np.float32)}
    readout = Readout(is_centered=False, eps=1e-6, candidates=tuple(answers), **arrays, **more)
    write_readout(store.folder, readout, store.manifest.digest)
    return store


def make_store(
    path, condition=BASELINE, seed=0, settings=None, layers=LAYERS, count=COUNT, gold=None, only=None, predicted=None
):
    """Write a store; `gold` and `predicted` make the answers of a sample, `only` some of the shards are written."""
    ids = tuple(f"{i:03d}" for i in range(count))
    roles = ("image", "question", "last")
    tensors = [tensor_name(role, layer) for layer in range(layers) for role in roles] + [tensor_name("last", NORM)]
    settings = settings or {"model": {"name": "m"}, "data": {"reader": "r"}, "versions": {"torch": "0"}}
    manifest = Manifest(ids=ids, shard_size=50, tensors=tuple(tensors), condition=condition, settings=settings)
    store = ActivationStore.create(path, manifest)
    generator = np.random.default_rng(seed)
    common = np.random.default_rng(7).normal(size=(count, WIDTH))
    values = {name: (common + generator.normal(size=(count, WIDTH))).astype(np.float32) for name in tensors}
    answer = gold or (lambda i: "yes" if i % 3 else "no")
    for index in store.missing_shards() if only is None else only:
        rows = slice(index * 50, (index + 1) * 50)
        columns = [
            {"task": "ab"[int(i) % 2], "gold": answer(int(i)), "correct": int(i) % 10 != 0}
            for i in store.shard_ids(index)
        ]
        for row, sample in zip(columns, store.shard_ids(index), strict=True) if predicted else ():
            row |= {"predicted": predicted(int(sample)), "question": f"question {sample}?", "image": f"{sample}.png"}
        store.write_shard(index, store.shard_ids(index), columns, {n: v[rows] for n, v in values.items()})
    return ActivationStore.open(path)
