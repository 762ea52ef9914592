"""Several stores become one, nothing is lost, doubled or mixed, and what does not belong together is refused."""

import os
import signal
import subprocess
import sys

import pytest

from pid_jax.store import ActivationStore, StoreError
from pid_jax.store.info import describe_store
from pid_jax.store.merge import merge_stores
from pid_jax.store.shard import shard_name
from tests.stores import IDS, TENSORS, fill, manifest, write


@pytest.fixture
def halves(tmp_path):
    """Two machines that made some of the shards of one store each."""
    return [fill(tmp_path / name, failed=(IDS[5],), only=only).path for name, only in (("a", [0, 1]), ("b", [1, 2]))]


def test_shards_of_two_machines(halves, tmp_path):
    told = []
    merged = merge_stores(halves, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    whole = fill(tmp_path / "whole", failed=(IDS[5],))
    assert merged.is_complete
    assert merged.verify() == []
    for index in range(3):
        assert merged.shard_path(index).read_bytes() == whole.shard_path(index).read_bytes()
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_shards_that_nobody_has_are_left_to_the_extraction(halves, tmp_path):
    merged = merge_stores(halves[:1], tmp_path / "out")
    assert merged.missing_shards() == [2]
    assert fill(tmp_path / "out").is_complete


def test_into_one_of_them(halves):
    merged = merge_stores(halves, halves[1])
    assert merged.is_complete
    assert merged.verify() == []


def test_local_and_remote(halves, tmp_path):
    place = f"memory://merge/{tmp_path.name}"
    fill(place, only=[2])
    merged = merge_stores([halves[0], place], f"{place}-merged")
    assert merged.is_complete
    assert merged.verify() == []
    assert len(merged.failures) == 1


def test_a_damaged_shard_is_not_copied(halves, tmp_path):
    path = halves[0] / shard_name(0)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"a/shard-00000.*is damaged"):
        merge_stores(halves, tmp_path / "out")
    assert not (tmp_path / "out" / shard_name(0)).exists()


def test_two_versions_of_one_shard(halves, tmp_path):
    fill(halves[1], failed=())
    (halves[1] / shard_name(1)).unlink()
    write(ActivationStore.open(halves[1]), 1)  # this time without the failure
    with pytest.raises(StoreError, match=r"a/shard-00001\S+ and \S+b/shard-00001.* were made with equal settings and "):
        merge_stores(halves, tmp_path / "out")
    (halves[1] / shard_name(1)).unlink()
    assert merge_stores(halves, tmp_path / "out").is_complete


def test_versions_of_packages_do_not_keep_parts_apart(tmp_path):
    """Also where two machines made the same shard, each with its own versions."""
    paths = []
    for name, only in (("1", (0, 1)), ("2", (1, 2))):
        store = ActivationStore.create(tmp_path / name, manifest())
        for index in only:
            write(store, index, versions={"pillow": name})
        paths.append(store.path)
    merged = merge_stores(paths, tmp_path / "out")
    assert merged.verify() == []
    assert describe_store(merged).versions == {"pillow": {"1": 2, "2": 1}}


def test_evidence(halves, tmp_path):
    same = [fill(tmp_path / name, manifest(evidence={"agreement": 1})).path for name in "cd"]
    assert merge_stores(same, tmp_path / "same").manifest.evidence == {"agreement": 1}
    other = fill(tmp_path / "other", manifest(evidence={"agreement": 2})).path
    evidence = merge_stores([same[0], other], tmp_path / "out").manifest.evidence
    assert evidence == {"merged": [{"agreement": 1}, {"agreement": 2}]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ids": ("50", "51")}, r"ids: "),
        ({"tensors": TENSORS[:2]}, r"tensors: .* in the first, .* in the second"),
        ({"condition": {"name": "cut"}}, r"condition\.name: 'baseline' in the first, 'cut' in the second"),
        ({"settings": {"a": 2}}, r"settings\.a: 1 in the first, 2 in the second"),
    ],
)
def test_what_does_not_belong_together(tmp_path, change, match):
    first, second = fill(tmp_path / "a"), ActivationStore.create(tmp_path / "b", manifest(**change))
    with pytest.raises(StoreError, match=match):
        merge_stores([first.path, second.path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(StoreError, match="already holds a store made with other settings"):
        merge_stores([first.path], second.path)


def test_nothing_to_merge(tmp_path):
    with pytest.raises(ValueError, match="paths is empty"):
        merge_stores([], tmp_path / "out")


KILLED = """
import os, signal, sys
from pid_jax.store.merge import merge_stores

def progress(done, total):
    if done == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

merge_stores(sys.argv[3:], sys.argv[2], progress=progress)
"""


def test_killed_and_called_again(halves, tmp_path):
    undisturbed = merge_stores(halves, tmp_path / "undisturbed")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", KILLED, "1", tmp_path / "out", *halves]
    for made in (1, 2):  # one shard more each time
        done = subprocess.run([str(word) for word in command], env=env, timeout=60)
        assert done.returncode == -signal.SIGKILL
        there = ActivationStore.open(tmp_path / "out")
        assert there.manifest.shard_count - len(there.missing_shards()) == made
    merged = merge_stores(halves, tmp_path / "out")
    assert merged.verify() == []
    for index in range(merged.manifest.shard_count):
        assert merged.shard_path(index).read_bytes() == undisturbed.shard_path(index).read_bytes()


def _flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_damaged_shard_in_the_result_is_noticed(halves, tmp_path):
    merged = merge_stores(halves, tmp_path / "out")
    _flip(merged.shard_path(0))
    with pytest.raises(StoreError, match=r"shard-00000.*is damaged"):
        merge_stores(halves, tmp_path / "out")


def test_another_version_of_a_shard_in_the_result_is_noticed(halves, tmp_path):
    other = fill(tmp_path / "out", failed=(IDS[0],), only=[0])
    with pytest.raises(StoreError, match=r"a.shard-00000.*out.shard-00000.*differ"):
        merge_stores(halves, other.path)
