"""Small stores of a model, its knockouts and two tasks, for studies."""

import numpy as np

from pid_jax.store import NORM, ActivationStore, Manifest, tensor_name

LAYERS, WIDTH, COUNT = 2, 6, 120
BASELINE = {"name": "baseline", "label": "Baseline", "edges": [], "first": -1, "last": -1}
CUT = {"name": "image-question@all", "label": "Cut", "edges": [["image", "question"]], "first": 0, "last": 1}
EARLY = {"name": "image-question@0-0", "label": "Early cut", "edges": [["image", "question"]], "first": 0, "last": 0}


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
