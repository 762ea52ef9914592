"""The store loses nothing, notices every changed byte, and says what to do."""

import json

import numpy as np
import pytest

from pid_jax.shard import read_header, shard_name
from pid_jax.store import MANIFEST, NORM, ActivationStore, Failure, Manifest, StoreError, tensor_name

IDS = tuple(f"{i * 7 % 10:02d}" for i in range(10))  # not in order
TENSORS = (tensor_name("image", 0), tensor_name("image", 1), tensor_name("last", NORM))
WIDTH = 3


def _manifest(**changes) -> Manifest:
    fields = {"ids": IDS, "shard_size": 4, "tensors": TENSORS, "condition": {"name": "baseline"}, "settings": {"a": 1}}
    return Manifest(**fields | changes)


def _states(sample: str, name: str) -> np.ndarray:
    return np.full(WIDTH, int(sample) + TENSORS.index(name) / 10, np.float32)


def _write(store: ActivationStore, index: int, failed: tuple[str, ...] = ()) -> None:
    ids = [i for i in store.shard_ids(index) if i not in failed]
    tensors = {name: np.stack([_states(i, name) for i in ids]) for name in TENSORS} if ids else {}
    failures = [Failure(id=i, stage="image", message="gone") for i in store.shard_ids(index) if i in failed]
    store.write_shard(index, ids, [{"task": "t", "correct": i < "05"} for i in ids], tensors, failures)


@pytest.fixture
def store(tmp_path) -> ActivationStore:
    made = ActivationStore.create(tmp_path / "store", _manifest())
    for index in made.missing_shards():
        _write(made, index)
    return ActivationStore.open(made.path)


def test_rows_are_ordered_by_id(store):
    assert store.ids.tolist() == sorted(IDS)
    for name in TENSORS:
        prefix, role = name.split("/")
        states = store.read(role=role, layer=prefix if prefix == NORM else int(prefix))
        np.testing.assert_array_equal(states, np.stack([_states(i, name) for i in sorted(IDS)]))
    assert store.columns["correct"].tolist() == [i < "05" for i in sorted(IDS)]


def test_layers_and_roles(store):
    assert store.layers == (0, 1)
    assert store.roles == ("image", "last")
    assert [layer for layer, _ in store.iter_layers("image")] == [0, 1]
    with pytest.raises(StoreError, match=r"no states for role='question', layer=0; it has roles \('image', 'last'\)"):
        store.read(role="question", layer=0)


def test_failures_are_kept_and_have_no_row(tmp_path):
    made = ActivationStore.create(tmp_path / "s", _manifest())
    for index in made.missing_shards():
        _write(made, index, failed=(*IDS[4:8], IDS[0]))
    assert sorted(made.ids) == sorted(set(IDS) - {*IDS[4:8], IDS[0]})
    assert {failure.id for failure in made.failures} == {*IDS[4:8], IDS[0]}
    assert made.read(role="image", layer=0).shape == (5, WIDTH)
    assert made.verify() == []


def test_store_without_any_row_says_so(tmp_path):
    made = ActivationStore.create(tmp_path / "s", _manifest())
    for index in made.missing_shards():
        _write(made, index, failed=IDS)
    with pytest.raises(StoreError, match="all 10 samples failed"):
        made.read(role="image", layer=0)


def test_resume_goes_on_with_what_is_missing(tmp_path):
    made = ActivationStore.create(tmp_path / "s", _manifest())
    _write(made, 1)
    again = ActivationStore.create(tmp_path / "s", _manifest())
    assert again.missing_shards() == [0, 2]
    assert not again.is_complete
    with pytest.raises(StoreError, match="2 of 3 shards are missing"):
        _ = again.ids
    assert [line.split(":")[0] for line in again.verify()] == ["shard 0 is missing", "shard 2 is missing"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"settings": {"a": 2}}, r"settings\.a: 1 there, 2 asked for"),
        ({"shard_size": 5}, "shard_size: 4 there, 5 asked for"),
        ({"ids": IDS[:9]}, "ids: 10 entries there, 9 entries asked for"),
        ({"condition": {"name": "cut"}}, r"condition\.name: 'baseline' there, 'cut' asked for"),
    ],
)
def test_other_settings_are_refused_by_name(store, changes, match):
    before = (store.path / MANIFEST).read_bytes()
    with pytest.raises(StoreError, match=match):
        ActivationStore.create(store.path, _manifest(**changes))
    assert (store.path / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("ids", [(), ("a", "b", "a")])
def test_ids_must_be_there_and_unique(tmp_path, ids):
    with pytest.raises(ValueError, match="ids "):
        ActivationStore.create(tmp_path / "s", _manifest(ids=ids))


def test_no_store_here(tmp_path):
    with pytest.raises(StoreError, match=r"has no manifest\.json\. Make one with"):
        ActivationStore.open(tmp_path)


def test_another_schema(store):
    file = store.path / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": "pid_jax.ActivationStore/99"}))
    with pytest.raises(StoreError, match=r"schema 'pid_jax\.ActivationStore/99', this version reads"):
        ActivationStore.open(store.path)


def test_broken_manifest(store):
    (store.path / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        ActivationStore.open(store.path)


@pytest.mark.parametrize("keep", [0, 5, 200, -1, -10])
def test_truncated_shard(store, keep):
    path = store.shard_path(1)
    path.write_bytes(path.read_bytes()[:keep])
    problems = ActivationStore.open(store.path).verify()
    assert len(problems) == 1
    assert "shard-00001" in problems[0]
    assert "Delete this file" in problems[0]
    with pytest.raises(StoreError, match=r"shard-00001.*Delete this file"):
        ActivationStore.open(store.path).read(role="image", layer=0)


def test_every_flipped_byte_is_noticed(store):
    path = store.shard_path(2)
    content = path.read_bytes()
    for at in range(0, len(content), 13):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        problems = ActivationStore.open(store.path).verify()
        assert len(problems) == 1, f"byte {at} of {len(content)}"
        assert "shard-00002" in problems[0]
    path.write_bytes(content)
    assert store.verify() == []


@pytest.mark.parametrize("letter", [b"I", b"U"])
def test_changed_type_of_a_tensor_is_noticed(store, letter):
    """One byte of the header turns float32 into integers of the same size, whose bytes are still those written."""
    path = store.shard_path(2)
    content = path.read_bytes()
    assert content.count(b'"dtype":"F32"') == len(TENSORS)
    path.write_bytes(content.replace(b'"dtype":"F32"', b'"dtype":"%b32"' % letter, 1))
    assert len(ActivationStore.open(store.path).verify()) == 1
    with pytest.raises(StoreError, match=r"shard-00002.*Delete this file"):
        ActivationStore.open(store.path).read(role="image", layer=0)


def test_changed_bytes_are_noticed_when_read(store):
    path = store.shard_path(0)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match="do not fit their checksum"):
        store.read(role="last", layer=NORM)  # the tensor whose bytes stand at the end
    assert len(store.read(role="image", layer=0)) == len(IDS)


def test_a_shard_in_the_place_of_another_is_noticed(store):
    store.shard_path(1).write_bytes(store.shard_path(0).read_bytes())
    problems = ActivationStore.open(store.path).verify()
    assert any("shard 1 does not hold the ids" in line for line in problems)
    assert any("ids stand in more than one place" in line for line in problems)


def test_partial_files_are_ignored(store):
    (store.path / ".shard-00000-1-ab.safetensors.partial").write_bytes(b"half")
    again = ActivationStore.create(store.path, _manifest())
    assert again.is_complete
    assert again.verify() == []


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        (IDS[:3], "each of its 4 ids once"),
        ((*IDS[:3], IDS[2]), "each of its 4 ids once"),
        ((*IDS[:3], "zz"), "each of"),
    ],
)
def test_missing_double_and_foreign_ids_are_refused(tmp_path, ids, match):
    made = ActivationStore.create(tmp_path / "s", _manifest())
    tensors = {name: np.zeros((len(ids), WIDTH), np.float32) for name in TENSORS}
    with pytest.raises(ValueError, match=match):
        made.write_shard(0, ids, [{}] * len(ids), tensors)
    assert made.missing_shards() == [0, 1, 2]


@pytest.mark.parametrize(
    ("tensors", "match"),
    [({TENSORS[0]: 4}, "needs the tensors"), (dict.fromkeys(TENSORS, 3), "has 3 rows for 4 ids")],
)
def test_wrong_tensors_are_refused(tmp_path, tensors, match):
    made = ActivationStore.create(tmp_path / "s", _manifest())
    arrays = {name: np.zeros((rows, WIDTH), np.float32) for name, rows in tensors.items()}
    with pytest.raises(ValueError, match=match):
        made.write_shard(0, made.shard_ids(0), [{}] * 4, arrays)


def test_equal_content_gives_equal_files(tmp_path):
    files = []
    for name in ("a", "b"):
        made = ActivationStore.create(tmp_path / name, _manifest())
        _write(made, 0)
        files.append(made.shard_path(0).read_bytes())
    assert files[0] == files[1]


def test_header_lists_what_the_shard_holds(store):
    header = read_header(store.folder, shard_name(0))
    assert header.ids == IDS[:4]
    assert set(header.digests) == set(TENSORS)


def test_shards_without_a_manifest_are_not_adopted(store):
    (store.path / MANIFEST).unlink()
    with pytest.raises(StoreError, match=r"holds shards but no manifest\.json"):
        ActivationStore.create(store.path, _manifest(settings={"a": 2}))
