"""What a store is said to hold, also while it is being made."""

import dataclasses
import json

import numpy as np
import pytest

from pid_jax.store import NORM, ActivationStore, Failure, Manifest, StoreError, tensor_name
from pid_jax.store.info import describe_store

IDS = tuple(f"{i:02d}" for i in range(12))
TENSORS = (tensor_name("image", 0), tensor_name("image", 4), tensor_name("last", NORM))
MODEL = {"name": "llava", "revision": "abc", "dtype": "float16"}
GOLD = ("red", "red", "red", "blue", "yes", "no", "yes", "no")  # of the samples without failure and with answer


def _row(number: int) -> dict:
    row = {"task": "color" if number < 4 else "logic", "gold": GOLD[number] if number < 8 else ""}
    right = number % 2 == 0
    row |= {"predicted": "red" if number < 4 else f"answer {number}", "correct": right and number < 8}
    return row | {"image": f"{number // 2}.png", "n_image": 576 + number, "n_question": 7}


@pytest.fixture
def store(tmp_path) -> ActivationStore:
    manifest = Manifest(
        ids=IDS, shard_size=4, tensors=TENSORS, condition={"name": "image-question@all"}, settings={"model": MODEL}
    )
    return ActivationStore.create(tmp_path / "s", manifest)


def _write(store: ActivationStore, index: int) -> None:
    ids = [i for i in store.shard_ids(index) if int(i) < 10]
    failures = [Failure(id=i, stage="image" if i == "10" else "prompt", message="?") for i in IDS[10:]] * (index == 2)
    tensors = {name: np.zeros((len(ids), 5), np.float16) for name in TENSORS}
    store.write_shard(index, ids, [_row(int(i)) for i in ids], tensors, failures)


def test_complete_store(store):
    for index in range(3):
        _write(store, index)
    found = describe_store(store)
    assert (found.rows, found.wanted, found.shards, found.shards_wanted) == (10, 12, 3, 3)
    assert found.failures == {"image": 1, "prompt": 1}
    assert found.bytes == sum(store.shard_path(index).stat().st_size for index in range(3))
    assert (found.condition, found.model, found.revision) == ("image-question@all", "llava", "abc")
    assert (found.model_dtype, found.dtypes, found.width) == ("float16", ("float16",), 5)
    assert (found.layers, found.roles, found.has_norm) == ((0, 4), ("image", "last"), True)
    color, logic = found.tasks
    assert (color.task, color.count, color.answered, color.images) == ("color", 4, 4, 2)
    assert (color.accuracy, color.majority_rate) == (0.5, 0.75)
    assert color.gold_entropy == pytest.approx(2 - 0.75 * np.log2(3), abs=1e-12)
    assert color.predicted_entropy == 0
    assert (color.n_image, color.n_question) == (577.5, 7)
    assert (logic.count, logic.answered, logic.accuracy, logic.majority_rate) == (6, 4, 0.5, 0.5)
    assert logic.gold_entropy == 1
    assert logic.predicted_entropy == pytest.approx(np.log2(6), abs=1e-12)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["tasks"][1]["images"] == 3


def test_store_that_is_being_made(store):
    assert describe_store(store).tasks == ()
    assert (describe_store(store).shards, describe_store(store).width) == (0, None)
    _write(store, 1)
    found = describe_store(store)
    assert (found.rows, found.shards, found.shards_wanted, found.failures) == (4, 1, 3, {})
    assert [(task.task, task.count) for task in found.tasks] == [("logic", 4)]


def test_without_gold_answers_and_counts(store):
    ids = store.shard_ids(0)
    store.write_shard(0, ids, [{"task": "t"}] * 4, {name: np.zeros((4, 2), np.float32) for name in TENSORS})
    (task,) = describe_store(store).tasks
    assert (task.accuracy, task.majority_rate, task.gold_entropy, task.predicted_entropy) == (None,) * 4
    assert (task.images, task.n_image, task.n_question) == (None,) * 3
    assert describe_store(store).dtypes == ("float32",)


def test_damaged_header(store):
    _write(store, 0)
    store.shard_path(0).write_bytes(store.shard_path(0).read_bytes()[:50])
    with pytest.raises(StoreError, match="shard-00000"):
        describe_store(store)


def test_answers_only(tmp_path):
    made = ActivationStore.create(tmp_path / "a", Manifest(ids=IDS[:2], shard_size=2, tensors=(), condition={}))
    made.write_shard(0, IDS[:2], [_row(0), _row(1)], {})
    found = describe_store(made)
    assert (found.layers, found.roles, found.has_norm, found.width, found.dtypes) == ((), (), False, None, ())
    assert found.tasks[0].accuracy == 0.5
    assert (found.model, found.condition) == ("unknown", "unknown")
