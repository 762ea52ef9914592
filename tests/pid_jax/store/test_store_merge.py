"""Several stores become one, nothing is lost, doubled or mixed, and what does not belong together is refused."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pid_jax.store import ActivationStore, StoreError
from pid_jax.store.manifest import Manifest
from pid_jax.store.merge import merge_stores
from pid_jax.store.shard import shard_name
from tests.stores import IDS, TENSORS, fill, layer_of, manifest, read_all, states, write

FIRST, SECOND, THIRD = IDS, ("20", "11", "13"), ("31", "30")
DATA = {"reader": "jsonl", "path": "data.jsonl", "tasks": ["a"], "per_task": 5, "one_per_image": True, "seed": 3}


def _settings(**data) -> dict:
    return {"model": {"name": "tiny"}, "data": DATA | data, "data_sha256": f"{7:064x}"}


def _part(own: tuple[str, ...], **changes) -> Manifest:
    return manifest(**{"ids": own, "settings": _settings(tasks=[own[0]])} | changes)


@pytest.fixture
def halves(tmp_path):
    """Two machines that made some of the shards of one store each."""
    return [fill(tmp_path / name, failed=(IDS[5],), only=only).path for name, only in (("a", [0, 1]), ("b", [1, 2]))]


@pytest.fixture
def parts(tmp_path):
    """Stores of different samples, with failures, of different shard sizes."""
    return [
        fill(tmp_path / "a", _part(FIRST), failed=(IDS[5],)).path,
        fill(tmp_path / "b", _part(SECOND, shard_size=2), failed=(SECOND[1],)).path,
        fill(tmp_path / "c", _part(THIRD)).path,
    ]


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


def test_other_samples(parts, tmp_path):
    merged = merge_stores(parts, tmp_path / "out")
    failed = {IDS[5], SECOND[1]}
    everything = (*FIRST, *SECOND, *THIRD)
    assert merged.manifest.ids == everything
    assert merged.manifest.shard_size == 4
    assert merged.manifest.shard_count == 4
    assert merged.ids.tolist() == sorted(set(everything) - failed)
    assert {failure.id for failure in merged.failures} == failed
    assert merged.columns["correct"].tolist() == [i < "05" for i in merged.ids]
    for name in TENSORS:
        found = merged.read(**layer_of(name))
        np.testing.assert_array_equal(found, np.stack([states(i, name) for i in merged.ids]), strict=True)
    assert merged.verify() == []


def test_it_is_the_store_that_one_run_would_have_made(parts, tmp_path):
    merged = merge_stores(parts, tmp_path / "out")
    whole = fill(tmp_path / "whole", merged.manifest, failed=(IDS[5], SECOND[1]))
    for index in range(merged.manifest.shard_count):
        assert merged.shard_path(index).read_bytes() == whole.shard_path(index).read_bytes()


def test_settings_of_other_samples(parts, tmp_path):
    settings = merge_stores(parts, tmp_path / "out").manifest.settings
    assert settings["data"] == DATA | {"tasks": None, "per_task": None}
    assert settings["data_sha256"] == f"{21:064x}"
    assert settings["model"] == {"name": "tiny"}


def test_choices_that_differ_become_none(tmp_path):
    first = fill(tmp_path / "a", _part(FIRST, settings=_settings() | {"data_sha256": "f" * 64}))
    other = _settings(seed=4, per_task=6, one_per_image=False, limit=3) | {"data_sha256": f"{2:064x}"}
    second = fill(tmp_path / "b", _part(SECOND, settings=other))
    settings = merge_stores([first.path, second.path], tmp_path / "out").manifest.settings
    kept = {"reader": "jsonl", "path": "data.jsonl", "tasks": ["a"]}
    assert settings["data"] == kept | {"seed": 0, "per_task": None, "one_per_image": False, "limit": None}
    assert settings["data_sha256"] == f"{1:064x}"  # modulo 2**256


def test_states_of_different_precision(tmp_path):
    first = ActivationStore.create(tmp_path / "a", _part(FIRST[:2]))
    write(first, 0, dtype=np.float16)
    second = fill(tmp_path / "b", _part(SECOND))
    merged = merge_stores([first.path, second.path], tmp_path / "out")
    assert merged.manifest.shard_count == 2
    for name, array in read_all(merged).items():
        for one in merged.ids:
            kept = states(one, name).astype(np.float16) if one in FIRST else states(one, name)
            np.testing.assert_array_equal(array[merged.ids == one][0], kept)


def test_answers_only(tmp_path):
    paths = [fill(tmp_path / ids[0], _part(ids, tensors=())).path for ids in (FIRST, SECOND)]
    merged = merge_stores(paths, tmp_path / "out")
    assert merged.ids.tolist() == sorted((*FIRST, *SECOND))
    assert merged.verify() == []


def test_stores_that_were_merged_are_merged_again(parts, tmp_path):
    two = merge_stores(parts[:2], tmp_path / "two")
    all_three = merge_stores([two.path, parts[2]], tmp_path / "three")
    assert all_three.manifest.digest == merge_stores(parts, tmp_path / "out").manifest.digest


def test_evidence(tmp_path):
    same = [fill(tmp_path / ids[0], _part(ids, evidence={"agreement": 1})).path for ids in (FIRST, SECOND)]
    assert merge_stores(same, tmp_path / "same").manifest.evidence == {"agreement": 1}
    other = fill(tmp_path / "other", _part(THIRD, evidence={"agreement": 2})).path
    evidence = merge_stores([*same, other], tmp_path / "out").manifest.evidence
    assert evidence == {"merged": [{"agreement": 1}, {"agreement": 1}, {"agreement": 2}]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ids": (*SECOND, FIRST[3])}, rf"Sample '{FIRST[3]}' stands in .*a and in .*b, whose manifests differ"),
        ({"tensors": TENSORS[:2]}, r"tensors: .* in the first, .* in the second"),
        ({"condition": {"name": "cut"}}, r"condition\.name: 'baseline' in the first, 'cut' in the second"),
        ({"settings": _settings() | {"model": {"name": "big"}}}, r"settings\.model\.name: 'tiny' in the first, 'big'"),
        ({"settings": _settings(reader="gqa")}, r"b has settings\.data\.reader = 'gqa', .*a has 'jsonl'"),
        ({"settings": _settings(path="x.jsonl")}, r"settings\.data\.path = 'x\.jsonl'"),
        ({"settings": _settings(split="test")}, r"settings\.data\.split = 'test', .*a has None"),
        ({"settings": _settings() | {"data_sha256": "?"}}, r"b has data_sha256 = '\?', which is no hexadecimal number"),
        ({"settings": {"model": {"name": "tiny"}}}, r"settings\.data: 'given' in the first, None in the"),
    ],
)
def test_what_does_not_belong_together(tmp_path, change, match):
    first = fill(tmp_path / "a", _part(FIRST))
    made = _part(SECOND, **change)
    second = ActivationStore.create(tmp_path / "b", made)
    for index in second.missing_shards():
        write(second, index)
    with pytest.raises(StoreError, match=match):
        merge_stores([first.path, second.path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_incomplete_stores_of_other_samples(parts, tmp_path):
    (parts[1] / shard_name(1)).unlink()
    with pytest.raises(StoreError, match="b is not complete, and only complete stores of different samples"):
        merge_stores(parts, tmp_path / "out")


def test_damaged_rows_are_not_taken_over(parts, tmp_path):
    path = parts[2] / shard_name(0)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match=r"c/shard-00000.*is damaged"):
        merge_stores(parts, tmp_path / "out")


def test_output_that_holds_another_store(parts, tmp_path):
    with pytest.raises(StoreError, match="already holds a store made with other settings"):
        merge_stores(parts, parts[0])
    assert ActivationStore.open(parts[0]).verify() == []


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


@pytest.mark.parametrize("way", ["halves", "parts"])
def test_killed_and_called_again(request, way, tmp_path):
    paths = request.getfixturevalue(way)
    undisturbed = merge_stores(paths, tmp_path / "undisturbed")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", KILLED, "1", tmp_path / "out", *paths]
    for made in (1, 2):  # one shard more each time
        done = subprocess.run([str(word) for word in command], env=env, timeout=60)
        assert done.returncode == -signal.SIGKILL
        there = ActivationStore.open(tmp_path / "out")
        assert there.manifest.shard_count - len(there.missing_shards()) == made
    merged = merge_stores(paths, tmp_path / "out")
    assert merged.verify() == []
    for index in range(merged.manifest.shard_count):
        assert merged.shard_path(index).read_bytes() == undisturbed.shard_path(index).read_bytes()


def test_order_of_samples_is_that_of_the_stores(parts, tmp_path):
    back = merge_stores(parts[::-1], tmp_path / "back")
    assert back.manifest.ids == (*THIRD, *SECOND, *FIRST)
    assert replace(back.manifest, ids=()).settings["data"] == DATA | {"tasks": None, "per_task": None}
    for name, array in read_all(back).items():
        np.testing.assert_array_equal(array, np.stack([states(i, name) for i in back.ids]))


def _flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["halves", "parts"])
def test_a_damaged_shard_in_the_result_is_noticed(kind, tmp_path, request):
    stores = request.getfixturevalue(kind)
    merged = merge_stores(stores, tmp_path / "out")
    _flip(merged.shard_path(0))
    with pytest.raises(StoreError, match=r"shard-00000.*is damaged"):
        merge_stores(stores, tmp_path / "out")


def test_another_version_of_a_shard_in_the_result_is_noticed(halves, tmp_path):
    other = fill(tmp_path / "out", failed=(IDS[0],), only=[0])
    with pytest.raises(StoreError, match=r"a.shard-00000.*out.shard-00000.*differ"):
        merge_stores(halves, other.path)


def test_rows_of_other_columns_are_refused_before_anything_is_written(parts, tmp_path):
    other = ActivationStore.create(tmp_path / "other", _part(("90",)))
    tensors = {name: np.zeros((1, 3), np.float32) for name in TENSORS}
    other.write_shard(0, ["90"], [{"something": 1}], tensors)
    with pytest.raises(StoreError, match="rows of other columns or widths"):
        merge_stores([parts[0], other.path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
