"""`pid-extract verify`, `info` and `merge` as a user meets them."""

import json

import pytest

from extraction.cli.main import main
from pid_jax.store import ActivationStore
from tests.stores import IDS, TENSORS, fill, manifest, write


@pytest.fixture
def pid_extract(command_line):
    return command_line("pid-extract", main)


def test_verify(pid_extract, tmp_path):
    store = fill(tmp_path / "s", failed=(IDS[5],))
    code, text, err = pid_extract("verify", store.path)
    assert code == 0
    assert "9 samples and 1 recorded failures in 3 shards, every id once, every byte as written" in text
    assert f"delete {store.shard_path(1)} and run the same command" in err

    for index in (0, 2):
        path = store.shard_path(index)
        path.write_bytes(path.read_bytes()[:-1])
    code, text, err = pid_extract("verify", store.path)
    assert code == 1
    assert "every byte as written" not in text
    assert [name in err for name in ("shard-00000", "shard-00001", "shard-00002")] == [True, False, True]
    assert "error: " in err
    assert "2 problems found" in err


def test_verify_says_which_shards_are_missing(pid_extract, tmp_path):
    code, _, err = pid_extract("verify", fill(tmp_path / "s", only=[1]).path)
    assert code == 1
    assert "shard 0 is missing" in err
    assert "shard 2 is missing" in err


def test_info(pid_extract, tmp_path):
    settings = {"model": {"name": "llava[7b]", "revision": None, "dtype": "auto"}}
    store = fill(tmp_path / "s", manifest(settings=settings), failed=(IDS[1],), only=[0, 1])
    code, text, _ = pid_extract("info", store.path)
    assert code == 0
    for part in (
        "llava[7b], revision –",
        "7 of 10 samples",
        "1 image",
        "2 of 3",
        "0 to 1 and the final norm",
        "float32",
    ):
        assert part in text
    code, text, _ = pid_extract("info", store.path, "--json")
    found = json.loads(text)
    assert (code, found["rows"], found["shards"], found["tasks"][0]["count"]) == (0, 7, 2, 7)


def test_info_without_states(pid_extract, tmp_path):
    assert pid_extract("info", fill(tmp_path / "s", manifest(tensors=())).path)[0] == 0
    assert pid_extract("info", ActivationStore.create(tmp_path / "empty", manifest()).path)[0] == 0


def test_merge(pid_extract, tmp_path):
    paths = [fill(tmp_path / f"{index}", only=[index]).path for index in range(2)]
    code, text, _ = pid_extract("merge", *paths, "--out", tmp_path / "out")
    assert code == 0
    assert "2 shards from 2 stores; 1 shards are missing in all of them" in " ".join(text.split())
    write(ActivationStore.open(paths[0]), 2)
    url = f"memory://commands/{tmp_path.name}"
    code, text, _ = pid_extract("merge", *paths, "--out", url)
    assert code == 0
    assert "3 shards from 2 stores; complete" in " ".join(text.split())
    assert pid_extract("verify", url)[0] == 0


def test_merge_of_what_does_not_belong_together(pid_extract, tmp_path):
    paths = [fill(tmp_path / "a").path, fill(tmp_path / "b", manifest(ids=("50",), tensors=TENSORS[:1])).path]
    code, _, err = pid_extract("merge", *paths, "--out", tmp_path / "out")
    assert code == 1
    assert "are not parts of one extraction" in err
    assert "Traceback" not in err
