"""Processes that make, write and read one store at the same time, without locks."""

import os
import subprocess
import sys

import numpy as np
import pytest

from pid_jax.store import ActivationStore
from pid_jax.store import folder as storage
from pid_jax.store.shard import read_tensor, shard_name
from tests.stores import TENSORS, layer_of, manifest, read_all, states, write

WRITERS, CHECKS = 4, 30
MANY = tuple(f"{i:03d}" for i in range(60))
WORK = """
import pathlib, random, sys
from pid_jax.store import ActivationStore
from tests.stores import manifest, write

seed, path, stop = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
ids = tuple(f"{i:03d}" for i in range(60))
print("ready", flush=True)
sys.stdin.readline()
store = ActivationStore.create(path, manifest(ids=ids, evidence={"seed": seed}))
order = list(range(store.manifest.shard_count))
while not stop.exists():
    random.Random(seed).shuffle(order)
    for index in order:
        write(store, index)
"""


def _start(path, seed, stop) -> subprocess.Popen:
    command = [sys.executable, "-c", WORK, str(seed), str(path), str(stop)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


@pytest.fixture
def writers(tmp_path):
    """Processes that create the same store at the same time, and all write all of its shards until they are stopped."""
    started = [_start(tmp_path / "s", seed, tmp_path / "stop") for seed in range(WRITERS)]
    for writer in started:
        assert writer.stdout.readline() == "ready\n"
    for writer in started:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    yield started
    for writer in started:
        writer.kill()
        writer.communicate()


def test_nobody_disturbs_anybody(writers, tmp_path):
    checked = 0
    while checked < CHECKS:
        assert [writer.poll() for writer in writers] == [None] * WRITERS, "a writer failed"
        if not (tmp_path / "s" / "manifest.json").exists():
            continue
        store = ActivationStore.open(tmp_path / "s")
        for index in set(range(store.manifest.shard_count)) - set(store.missing_shards()):
            assert store.header(index).all_ids == list(store.shard_ids(index))
        if store.is_complete:
            found = store.read(**layer_of(TENSORS[1]))
            np.testing.assert_array_equal(found, np.stack([states(i, TENSORS[1]) for i in MANY]))
            checked += 1
    (tmp_path / "stop").touch()
    assert [writer.wait(timeout=60) for writer in writers] == [0] * WRITERS
    store = ActivationStore.open(tmp_path / "s")
    assert store.verify() == []
    assert store.ids.tolist() == list(MANY)
    assert not list(store.path.glob(".*"))


def test_two_stores_started_in_one_place_never_mix(tmp_path, monkeypatch):
    """Both see an empty folder. Whoever comes last has the manifest; shards of the other are refused, not mixed in."""
    exists = storage.LocalFolder.exists
    monkeypatch.setattr(storage.LocalFolder, "exists", lambda self, name: False)
    first = ActivationStore.create(tmp_path / "s", manifest(settings={"a": 1}))
    second = ActivationStore.create(tmp_path / "s", manifest(settings={"a": 2}))
    monkeypatch.setattr(storage.LocalFolder, "exists", exists)
    write(first, 0)
    write(second, 1)
    write(second, 2)
    (problem,) = ActivationStore.open(tmp_path / "s").verify()
    assert "shard-00000" in problem
    assert "belongs to another store" in problem


def test_a_reader_keeps_what_it_has_open(tmp_path):
    """A shard that is written again, or deleted, does not change states that are being read."""
    store = ActivationStore.create(tmp_path / "s", manifest())
    for index in range(3):
        write(store, index)
    before = read_all(store)
    view = read_tensor(store.folder, shard_name(0), store.headers[0], TENSORS[0])
    kept = view.copy()
    write(store, 0)
    store.shard_path(0).unlink()
    np.testing.assert_array_equal(view, kept)
    write(store, 0)
    for name, array in read_all(store).items():
        np.testing.assert_array_equal(array, before[name])
