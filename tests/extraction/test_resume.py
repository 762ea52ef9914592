"""Extraction killed with SIGKILL at random moments, then resumed: every id once, every value bit-equal."""

import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from extraction.datasets.easy_vqa import load_easy_vqa
from extraction.datasets.load import DataSettings
from extraction.models import load_model
from extraction.run import extract, plan_store
from extraction.settings import ModelSettings, RunSettings
from pid_jax.store import ActivationStore

KILLS = 10


@pytest.fixture(scope="module")
def job():
    vlm = load_model("tiny")
    data = DataSettings(reader="easy-vqa", per_task=150)
    settings = RunSettings(
        model=ModelSettings(name="tiny"),
        data=data,
        template="USER: <image>\n{q} ASSISTANT:",
        batch_size=8,
        shard_size=16,
        max_new_tokens=2,
    )
    return vlm, load_easy_vqa("test", per_task=150), settings


def _store(job, path) -> ActivationStore:
    vlm, samples, settings = job
    return ActivationStore.create(path, plan_store(vlm, samples, settings, None))


def _extract_in_child(job, path) -> int:
    """Run the extraction in a process of its own that shares the loaded model."""
    child = os.fork()
    if child == 0:
        try:
            vlm, samples, settings = job
            extract(vlm, samples, settings, _store(job, path))
        finally:
            os._exit(0)
    return child


# The children use PyTorch on one thread and are killed in any case; it does not matter that other tests loaded JAX.
@pytest.mark.filterwarnings("ignore:os.fork")
def test_killed_at_ten_random_moments(job, tmp_path):
    undisturbed = _store(job, tmp_path / "undisturbed")
    start = time.monotonic()
    vlm, samples, settings = job
    extract(vlm, samples, settings, undisturbed)
    duration = time.monotonic() - start

    path, moments = tmp_path / "killed", random.Random(0)
    killed = 0
    for _ in range(KILLS):
        child = _extract_in_child(job, path)
        time.sleep(moments.uniform(0, duration / 4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
    assert killed >= KILLS // 2, "most children must die in the middle of their work"

    store = _store(job, path)
    assert len(store.missing_shards()) < store.manifest.shard_count, "the children must have written something"
    extract(vlm, samples, settings, store)
    assert store.verify() == []
    assert sorted(store.ids) == sorted(sample.id for sample in samples)
    _assert_same(undisturbed, store)


def test_a_partial_file_is_never_read(job, tmp_path):
    store = _store(job, tmp_path / "s")
    vlm, samples, settings = job
    extract(vlm, samples, settings, store)
    first = store.shard_path(0)
    partial = first.with_name(".shard-00000-1-ab.safetensors.partial")
    partial.write_bytes(first.read_bytes()[:1000])
    again = ActivationStore.open(store.path)
    assert again.verify() == []
    assert len(again.ids) == len(samples)


def _assert_same(one: ActivationStore, two: ActivationStore) -> None:
    for name in one.manifest.tensors:
        prefix, role = name.split("/")
        layer = prefix if prefix == "norm" else int(prefix)
        np.testing.assert_array_equal(one.read(role=role, layer=layer), two.read(role=role, layer=layer))
    columns = [{k: v.tolist() for k, v in store.columns.items()} for store in (one, two)]
    assert json.dumps(columns[0]) == json.dumps(columns[1])
    for index in range(one.manifest.shard_count):
        assert Path(one.shard_path(index)).read_bytes() == Path(two.shard_path(index)).read_bytes()
