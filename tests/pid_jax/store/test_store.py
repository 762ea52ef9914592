"""The store loses nothing, notices every changed byte, and says what to do."""

import json

import numpy as np
import pytest

from pid_jax.store import NORM, ActivationStore, StoreError
from pid_jax.store.shard import read_header, shard_name
from pid_jax.store.store import MANIFEST
from tests.stores import IDS, TENSORS, WIDTH, fill, layer_of, manifest, states, write


@pytest.fixture
def store(tmp_path) -> ActivationStore:
    return fill(tmp_path / "store")


def test_rows_are_ordered_by_id(store):
    assert store.ids.tolist() == sorted(IDS)
    for name in TENSORS:
        found = store.read(**layer_of(name))
        np.testing.assert_array_equal(found, np.stack([states(i, name) for i in sorted(IDS)]))
    assert store.columns["correct"].tolist() == [i < "05" for i in sorted(IDS)]


def test_layers_and_roles(store):
    assert store.layers == (0, 1)
    assert store.roles == ("image", "last")
    assert [layer for layer, _ in store.iter_layers("image")] == [0, 1]
    with pytest.raises(StoreError, match=r"role='question'.*layer=0.*\('image', 'last'\)"):
        store.read(role="question", layer=0)


def test_failures_are_kept_and_have_no_row(tmp_path):
    made = fill(tmp_path / "s", failed=(*IDS[4:8], IDS[0]))
    assert sorted(made.ids) == sorted(set(IDS) - {*IDS[4:8], IDS[0]})
    assert {failure.id for failure in made.failures} == {*IDS[4:8], IDS[0]}
    assert made.read(role="image", layer=0).shape == (5, WIDTH)
    assert made.verify() == []


def test_store_without_any_row_says_so(tmp_path):
    made = fill(tmp_path / "s", failed=IDS)
    with pytest.raises(StoreError, match="all 10 samples failed"):
        made.read(role="image", layer=0)


def test_resume_goes_on_with_what_is_missing(tmp_path):
    made = ActivationStore.create(tmp_path / "s", manifest())
    write(made, 1)
    again = ActivationStore.create(tmp_path / "s", manifest())
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
        ActivationStore.create(store.path, manifest(**changes))
    assert (store.path / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("ids", [(), ("a", "b", "a")])
def test_ids_must_be_there_and_unique(tmp_path, ids):
    with pytest.raises(ValueError, match="ids "):
        ActivationStore.create(tmp_path / "s", manifest(ids=ids))


def test_no_store_here(tmp_path):
    with pytest.raises(StoreError, match=r"manifest\.json\."):
        ActivationStore.open(tmp_path)


@pytest.mark.parametrize("version", [1, 99])
def test_another_schema(store, version):
    file = store.path / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": f"pid_jax.ActivationStore/{version}"}))
    with pytest.raises(StoreError, match=rf"schema 'pid_jax\.ActivationStore/{version}', this version reads .*extract"):
        ActivationStore.open(store.path)
    with pytest.raises(StoreError, match="extract again, or use the version"):
        ActivationStore.create(store.path, manifest())


@pytest.mark.parametrize(
    "change", [(b'"a": 1', b'"a": 2'), (b'"04"', b'"14"'), (b'"shard_size": 4', b'"shard_size": 2')]
)
def test_changed_manifest(store, change):
    file = store.path / MANIFEST
    assert file.read_bytes().count(change[0]) == 1
    file.write_bytes(file.read_bytes().replace(*change))
    with pytest.raises(StoreError, match=r"manifest\.json"):
        ActivationStore.open(store.path)


def test_every_byte_of_the_manifest(store):
    """White space may change; anything else is noticed."""
    file = store.path / MANIFEST
    content, before = file.read_bytes(), store.manifest
    harmless = 0
    for at in range(len(content)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            assert ActivationStore.open(store.path).manifest == before
            harmless += 1
        except StoreError as error:
            assert MANIFEST in str(error) or "schema" in str(error)  # noqa: PT017
    assert harmless < content.count(b" ") + content.count(b"\n")


def test_evidence_is_kept_and_decides_nothing(tmp_path):
    fill(tmp_path / "s", manifest(evidence={"agreement": 1e-7}))
    again = ActivationStore.create(tmp_path / "s", manifest(evidence={"agreement": 2e-7}))
    assert again.manifest.evidence == {"agreement": 1e-7}
    assert again.manifest.digest == manifest().digest
    assert again.verify() == []


def test_broken_manifest(store):
    (store.path / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        ActivationStore.open(store.path)


def test_a_shard_in_the_place_of_another_is_noticed(store):
    store.shard_path(1).write_bytes(store.shard_path(0).read_bytes())
    problems = ActivationStore.open(store.path).verify()
    assert any("shard 1 does not hold the ids" in line for line in problems)
    assert any("ids stand in more than one place" in line for line in problems)


def test_a_shard_in_the_place_of_another_is_not_read(store):
    store.shard_path(1).write_bytes(store.shard_path(0).read_bytes())
    with pytest.raises(StoreError, match=r"shard-00001\.safetensors"):
        ActivationStore.open(store.path).read(role="image", layer=0)


def test_a_shard_of_another_store_is_noticed(store, tmp_path):
    """It has the same ids, tensors and even values; only what decides the content is different."""
    other = fill(tmp_path / "other", manifest(settings={"a": 2}))
    store.shard_path(1).write_bytes(other.shard_path(1).read_bytes())
    (problem,) = ActivationStore.open(store.path).verify()
    assert "shard-00001" in problem
    assert "belongs to another store" in problem
    with pytest.raises(StoreError, match="shard-00001"):
        ActivationStore.open(store.path).read(role="image", layer=0)


def test_a_link_that_leads_nowhere_is_a_missing_shard_and_is_made_again(store, tmp_path):
    content = store.shard_path(1).read_bytes()
    store.shard_path(1).unlink()
    store.shard_path(1).symlink_to(tmp_path / "gone")
    broken = ActivationStore.open(store.path)
    assert broken.missing_shards() == [1]
    assert broken.verify() == ["shard 1 is missing: run the same extraction again to make it"]
    broken.folder.write(store.shard_path(1).name, [content])
    assert ActivationStore.open(store.path).verify() == []
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    "rows", [[3, 0, 7], [], slice(2, None, 3), np.arange(10) % 3 == 0, [5, 5, -1], range(9, -1, -1)]
)
def test_rows_are_chosen_like_those_of_an_array(store, rows):
    rows = list(rows) if isinstance(rows, range) else rows
    rows = np.array(rows, dtype=int) if isinstance(rows, list) else rows
    for name in TENSORS:
        np.testing.assert_array_equal(store.read(**layer_of(name), rows=rows), store.read(**layer_of(name))[rows])


def test_only_shards_with_rows_asked_for_are_read(store):
    """The rest may be damaged."""
    path = store.shard_path(2)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    own = np.isin(store.ids, store.shard_ids(0))
    assert len(store.read(role="last", layer=NORM, rows=own)) == 4
    with pytest.raises(StoreError, match="shard-00002"):
        store.read(role="last", layer=NORM)


def test_answers_only(tmp_path):
    made = fill(tmp_path / "s", manifest(tensors=()), failed=(IDS[0],))
    assert made.ids.tolist() == sorted(IDS[1:])
    assert made.columns["correct"].tolist() == [i < "05" for i in sorted(IDS[1:])]
    assert (made.layers, made.roles, list(made.iter_layers("image"))) == ((), (), [])
    assert made.verify() == []
    with pytest.raises(StoreError, match="role='image'"):
        made.read(role="image", layer=0)


def test_a_wider_type_in_one_shard_widens_the_layer(tmp_path):
    made = ActivationStore.create(tmp_path / "s", manifest())
    for index in made.missing_shards():
        write(made, index, dtype=np.float32 if index == 1 else np.float16)
    found = made.read(role="image", layer=1)
    assert found.dtype == np.float32
    exact = np.stack([states(i, TENSORS[1]) for i in made.ids])
    is_wide = np.isin(made.ids, made.shard_ids(1))
    np.testing.assert_array_equal(found[is_wide], exact[is_wide])
    np.testing.assert_array_equal(found[~is_wide], exact[~is_wide].astype(np.float16))


def test_columns_that_only_some_have(tmp_path):
    made = fill(tmp_path / "s", only=[0, 1])
    ids = made.shard_ids(2)
    rows = [{"task": "t", "gold": "red"}] * len(ids)
    made.write_shard(2, ids, rows, {name: np.ones((len(ids), WIDTH), np.float32) for name in TENSORS})
    with pytest.raises(StoreError, match=r"\['correct', 'gold'\]"):
        _ = made.columns


def test_another_width_in_one_shard_is_named(tmp_path):
    made = fill(tmp_path / "s", only=[0, 1])
    ids = made.shard_ids(2)
    made.write_shard(2, ids, [{}] * len(ids), {name: np.ones((len(ids), WIDTH + 1), np.float32) for name in TENSORS})
    with pytest.raises(StoreError, match=r"shard-00002.*000/image"):
        made.read(role="image", layer=0)


def test_partial_files_are_ignored(store):
    (store.path / ".shard-00000-1-ab.safetensors.partial").write_bytes(b"half")
    again = ActivationStore.create(store.path, manifest())
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
    made = ActivationStore.create(tmp_path / "s", manifest())
    tensors = {name: np.zeros((len(ids), WIDTH), np.float32) for name in TENSORS}
    with pytest.raises(ValueError, match=match):
        made.write_shard(0, ids, [{}] * len(ids), tensors)
    assert made.missing_shards() == [0, 1, 2]


@pytest.mark.parametrize(
    ("tensors", "match"),
    [({TENSORS[0]: 4}, "needs the tensors"), (dict.fromkeys(TENSORS, 3), "has 3 rows for 4 ids")],
)
def test_wrong_tensors_are_refused(tmp_path, tensors, match):
    made = ActivationStore.create(tmp_path / "s", manifest())
    arrays = {name: np.zeros((rows, WIDTH), np.float32) for name, rows in tensors.items()}
    with pytest.raises(ValueError, match=match):
        made.write_shard(0, made.shard_ids(0), [{}] * 4, arrays)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((4, 2), np.int64), r"000/image: dtype must be float16, float32 or float64, got int64"),
        (np.zeros((4,), np.float32), r"000/image must have shape \(rows, d\) with d > 0, got \(4,\)"),
        (np.zeros((4, 0), np.float32), r"000/image must have shape \(rows, d\)"),
        (np.ma.array(np.zeros((4, 2)), mask=[[0, 1]] * 4), r"000/image has 4 masked values"),
    ],
)
def test_arrays_that_cannot_be_stored_are_refused(tmp_path, array, match):
    made = ActivationStore.create(tmp_path / "s", manifest(tensors=TENSORS[:1]))
    with pytest.raises(ValueError, match=match):
        made.write_shard(0, made.shard_ids(0), [{}] * 4, {TENSORS[0]: array})
    assert not made.has_shard(0)


def test_equal_content_gives_equal_files(tmp_path):
    files = []
    for name in ("a", "b"):
        made = ActivationStore.create(tmp_path / name, manifest())
        write(made, 0)
        files.append(made.shard_path(0).read_bytes())
    assert files[0] == files[1]


def test_header_lists_what_the_shard_holds(store):
    header = read_header(store.folder, shard_name(0))
    assert header.ids == IDS[:4]
    assert set(header.digests) == set(TENSORS)


def test_shards_without_a_manifest_are_not_adopted(store):
    (store.path / MANIFEST).unlink()
    with pytest.raises(StoreError, match=r"manifest\.json"):
        ActivationStore.create(store.path, manifest(settings={"a": 2}))


@pytest.mark.parametrize("bad", ["a\0", 7])
def test_ids_that_would_not_come_back_are_refused(tmp_path, bad):
    with pytest.raises(ValueError, match=r"ids.*NUL"):
        ActivationStore.create(tmp_path / "s", manifest(ids=("a", bad)))


def _with_column(path, values):
    made = ActivationStore.create(path, manifest(ids=("1", "2"), tensors=()))
    made.write_shard(0, ["1", "2"], [{"x": value} for value in values], {})
    return ActivationStore.open(path).columns["x"]


def test_columns_keep_their_type(tmp_path):
    assert _with_column(tmp_path / "a", [1, 2]).dtype == np.int64
    assert _with_column(tmp_path / "b", [1, 2.5]).tolist() == [1.0, 2.5]
    assert _with_column(tmp_path / "c", [True, False]).dtype == bool
    long = _with_column(tmp_path / "d", ["x" * 5000, "y"])
    assert long.dtype == object
    assert (long == "y").tolist() == [False, True]
    with pytest.raises(StoreError, match=r"\['bool', 'str'\].*'x'"):
        _with_column(tmp_path / "e", [True, "no"])


def test_settings_with_names_that_are_no_texts(tmp_path):
    """JSON makes texts of them, in another order."""
    ActivationStore.create(tmp_path / "s", manifest(settings={2: "a", 10: "b"}))
    assert ActivationStore.open(tmp_path / "s").manifest.settings == {"2": "a", "10": "b"}


def _arrays(kind):
    import jax.numpy as jnp
    import torch

    return {
        "torch": torch.ones(4, 2, requires_grad=True),
        "torch half": torch.ones(4, 2, dtype=torch.float16),
        "torch bfloat16": torch.ones(4, 2, dtype=torch.bfloat16),
        "jax": jnp.ones((4, 2)),
        "jax bfloat16": jnp.ones((4, 2), jnp.bfloat16),
        "list": [[1.0, 1.0]] * 4,
        "objects": np.ones((4, 2), object),
        "other order": np.ones((2, 4), ">f4").T,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("torch", "float32"),
        ("torch half", "float16"),
        ("torch bfloat16", "float32"),
        ("jax", "float32"),
        ("jax bfloat16", "float32"),
        ("list", "float64"),
        ("objects", "float64"),
        ("other order", "float32"),
    ],
)
def test_array_likes_of_any_library(tmp_path, kind, dtype):
    made = ActivationStore.create(tmp_path / "s", manifest(ids=IDS[:4], tensors=TENSORS[:1]))
    made.write_shard(0, made.shard_ids(0), [{}] * 4, {TENSORS[0]: _arrays(kind)})
    found = made.read(role="image", layer=0)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.ones((4, 2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": [1, 2, 3, 4]},
        {"ids": "abcd"},
        {"ids": None},
        {"columns": None},
        {"columns": {"a": [1, 2, 3, 4]}},
        {"columns": ["a"] * 4},
        {"columns": [{"a": b"x"}] * 4},
        {"columns": [{"a": np.ones(2)}] * 4},
        {"columns": [{"a": np.datetime64("2020")}] * 4},
        {"failures": ["x"]},
        {"failures": None},
        {"tensors": {TENSORS[0]: np.ones((4, 2), complex)}},
        {"tensors": {TENSORS[0]: np.full((4, 2), "a")}},
    ],
)
def test_what_is_no_content_of_a_shard(tmp_path, changes):
    made = ActivationStore.create(tmp_path / "s", manifest(tensors=TENSORS[:1]))
    given = {"ids": made.shard_ids(0), "columns": [{}] * 4, "tensors": {TENSORS[0]: np.ones((4, 2))}, "failures": ()}
    name = "000/image" if "tensors" in changes else next(iter(changes))
    with pytest.raises(TypeError, match=name):
        made.write_shard(0, **given | changes)
    assert not made.has_shard(0)


def test_scalars_of_any_library_are_values(tmp_path):
    import torch

    values = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.str_("x"), "e": torch.tensor(2)}
    made = ActivationStore.create(tmp_path / "s", manifest(ids=IDS[:4], tensors=()))
    made.write_shard(0, np.array(made.shard_ids(0)), [values] * 4, {})
    assert {name: column[0].item() for name, column in made.columns.items()} == {
        "a": 0.5,
        "b": 3,
        "c": True,
        "d": "x",
        "e": 2,
    }


@pytest.mark.parametrize("index", [3, -1])
def test_shards_that_the_store_does_not_have(store, index):
    with pytest.raises(ValueError, match="index"):
        store.write_shard(index, [], [], {})


@pytest.mark.parametrize("layer", [-1, True, np.bool_(True), 1.0, None, "1"])
def test_layers_are_named_by_their_numbers(store, layer):
    with pytest.raises((TypeError, ValueError), match="layer"):
        store.read(role="image", layer=layer)
    assert store.read(role="image", layer=np.int64(1)).shape == (10, WIDTH)


@pytest.mark.parametrize("path", [None, 3, b"x"])
def test_places_that_are_none(path):
    with pytest.raises(TypeError, match="path"):
        ActivationStore.open(path)
