"""Stores at URLs: whole objects, byte ranges, no rename, nothing cached that others may change."""

import sys
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

from pid_jax.store import ActivationStore, StoreError
from pid_jax.store.folder import LocalFolder, RemoteFolder, open_folder
from pid_jax.store.shard import shard_name
from tests.stores import IDS, TENSORS, fill, layer_of, manifest, read_all, write


@pytest.fixture
def url(request):
    """A prefix in memory of its own."""
    place = f"memory://bucket/{request.node.name}"
    yield place
    system = fsspec.filesystem("memory")
    if system.exists(place):
        system.rm(place, recursive=True)


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path):
    return f"memory://bucket/{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/a store"


def test_a_store_at_a_url_is_like_a_local_one(place, tmp_path):
    local, remote = fill(tmp_path / "local"), fill(place)
    assert remote.verify() == []
    assert remote.ids.tolist() == local.ids.tolist()
    for name, array in read_all(local).items():
        np.testing.assert_array_equal(remote.read(**layer_of(name)), array, strict=True)
        np.testing.assert_array_equal(remote.read(**layer_of(name), rows=[1, 8]), array[[1, 8]], strict=True)
    with fsspec.open(f"{place}/{shard_name(0)}", "rb") as file:
        assert file.read() == local.shard_path(0).read_bytes()


def test_resume(place):
    made = fill(place, only=[1])
    assert (made.missing_shards(), made.has_shard(1), made.has_shard(0)) == ([0, 2], True, False)
    with pytest.raises(StoreError, match=r"settings\.a"):
        ActivationStore.create(place, manifest(settings={"a": 2}))
    again = fill(place)
    assert again.is_complete
    assert len(again.ids) == len(IDS)


def test_damage_is_noticed(url):
    made = fill(url)
    before, system = read_all(made), fsspec.filesystem("memory")
    content = system.cat_file(made.shard_path(1))
    header = made.header(1)
    place = header.places[TENSORS[0]]
    for wrong in (
        content[: place.start] + b"!" + content[place.start + 1 :],
        content[:-1],
        content[:100],
        b"",
        content + b"!",
    ):
        system.pipe_file(made.shard_path(1), wrong)
        again = ActivationStore.open(url)
        (problem,) = again.verify()
        assert made.shard_path(1) in problem
        with pytest.raises(StoreError, match="shard-00001"):
            again.read(**layer_of(TENSORS[0]))
    system.pipe_file(made.shard_path(1), content)
    np.testing.assert_array_equal(ActivationStore.open(url).read(**layer_of(TENSORS[0])), before[TENSORS[0]])


def test_a_header_longer_than_the_first_request(url):
    ids = tuple(f"{i:05d}" for i in range(600))
    made = ActivationStore.create(url, manifest(ids=ids, shard_size=600, tensors=TENSORS[:1]))
    rows = [{"question": f"{i} " + "why " * 50} for i in ids]
    made.write_shard(0, ids, rows, {TENSORS[0]: np.arange(1200, dtype=np.float32).reshape(600, 2)})
    assert min(place.start for place in made.header(0).places.values()) > 1 << 17
    assert made.columns["question"].tolist() == [row["question"] for row in rows]
    assert made.verify() == []


def test_only_the_bytes_of_one_tensor_are_fetched(url, monkeypatch):
    made = fill(url)
    asked = []
    system = type(fsspec.filesystem("memory"))
    cat_file = system.cat_file

    def record(self, path, start=None, end=None, **kwargs):
        asked.append((path, start, end))
        return cat_file(self, path, start=start, end=end, **kwargs)

    _ = made.headers
    monkeypatch.setattr(system, "cat_file", record)
    made.read(role="image", layer=1)
    places = [header.places["001/image"] for header in made.headers.values()]
    assert sorted((start, end) for _, start, end in asked) == sorted((place.start, place.stop) for place in places)


def test_a_shard_is_put_by_one_request(url, monkeypatch):
    made = ActivationStore.create(url, manifest())
    put = []
    system = type(fsspec.filesystem("memory"))
    pipe_file = system.pipe_file

    def record(self, path, value, **kwargs):
        put.append(path)
        pipe_file(self, path, value, **kwargs)

    monkeypatch.setattr(system, "pipe_file", record)
    for name in ("mv", "copy", "rm", "touch", "mkdir"):
        monkeypatch.setattr(system, name, lambda *_, **__: pytest.fail("an object store has no such thing"))
    write(made, 0)
    assert [path.rsplit("/", 1)[-1] for path in put] == [shard_name(0)]


def test_writers_of_the_same_store_at_once(url):
    """All create it and write all shards, which are equal; a reader reads whatever is there."""
    problems: list[object] = []

    def work():
        try:
            made = ActivationStore.create(url, manifest())
            for index in range(3):
                write(made, index)
                made.header(index)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert ActivationStore.open(url).verify() == []


def test_a_failing_request_is_no_damage(url, monkeypatch):
    made = fill(url)

    def fail(*_, **__):
        raise PermissionError("403")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", fail)
    problems = made.verify()
    assert len(problems) == 3
    assert all("cannot be read (403)" in line and "Delete" not in line for line in problems)


def test_urls_and_paths():
    assert open_folder("file:///a/b%20c").path == Path("/a/b c")
    assert isinstance(open_folder("relative/folder"), LocalFolder)
    assert isinstance(open_folder(Path("a")), LocalFolder)
    assert isinstance(open_folder("C:\\stores"), LocalFolder)
    assert isinstance(open_folder("memory://a"), RemoteFolder)


@pytest.mark.parametrize("text", ["s3://bucket/store", "memory://a"])
def test_a_url_that_became_a_path(text):
    with pytest.raises(ValueError, match="URLs"):
        open_folder(Path(text))


def test_unknown_protocol():
    with pytest.raises(ValueError, match=r"nothing://x.*URL.*docs/store\.md"):
        ActivationStore.open("nothing://x")


def test_packages_that_are_missing_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ModuleNotFoundError, match=r"s3://bucket/store.*s3fs"):
        ActivationStore.open("s3://bucket/store")
    for name in [name for name in sys.modules if name.split(".")[0] == "fsspec"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"`pip.*fsspec`.*s3fs"):
        ActivationStore.open("s3://bucket/store")


def test_nothing_here(url):
    with pytest.raises(StoreError, match=r"manifest\.json"):
        ActivationStore.open(url)
