"""No byte of a shard changes without a word, and plain safetensors reads every shard."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from pid_jax.store import ActivationStore, Failure, Manifest, StoreError, tensor_name
from pid_jax.store.container import decode_header, encode_header, header_size, normalize
from pid_jax.store.folder import LocalFolder
from pid_jax.store.info import describe_store
from pid_jax.store.shard import ShardHeader, read_header, read_tensor, shard_name, write_shard
from tests.stores import IDS, TENSORS, fill, layer_of, manifest, read_all

SHARD = 1


def _changed(store: ActivationStore, content: bytes, before: dict[str, np.ndarray]) -> int:
    """Put other bytes in the place of a shard; return how many tensors still come out right: none may be wrong."""
    store.shard_path(SHARD).write_bytes(content)
    again = ActivationStore.open(store.path)
    problems = again.verify()
    assert len(problems) == 1
    assert shard_name(SHARD) in problems[0]
    right = 0
    for name, array in before.items():
        found = _read(store, name)
        if isinstance(found, str):
            assert shard_name(SHARD) in found
        else:
            np.testing.assert_array_equal(found, array, strict=True)
            right += 1
    return right


def _read(store: ActivationStore, name: str) -> np.ndarray | str:
    try:
        return ActivationStore.open(store.path).read(**layer_of(name))
    except StoreError as error:
        return str(error)


def _flipped(content: bytes, at: int, bits: int) -> bytes:
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


@pytest.fixture
def small(tmp_path) -> ActivationStore:
    return fill(tmp_path / "s", manifest(ids=IDS[:4], shard_size=2, tensors=TENSORS[:2]))


def test_every_byte_of_a_shard(small):
    before, content = read_all(small), small.shard_path(SHARD).read_bytes()
    header = small.header(SHARD)
    generator = np.random.default_rng(0)
    first = min(place.start for place in header.places.values())
    for at in range(len(content)):
        right = _changed(small, _flipped(content, at, int(generator.integers(1, 256))), before)
        assert right == (0 if at < first else 1), f"byte {at} of {len(content)}"
    small.shard_path(SHARD).write_bytes(content)
    assert small.verify() == []


@pytest.mark.slow
def test_bytes_of_a_bigger_shard(tmp_path):
    generator = np.random.default_rng(1)
    ids = tuple(f"sample {i}" for i in range(60))
    names = tuple(tensor_name(role, layer) for layer in range(4) for role in ("image", "last"))
    made = ActivationStore.create(tmp_path / "s", Manifest(ids=ids, shard_size=40, tensors=names, condition={}))
    for index in made.missing_shards():
        rows = made.shard_ids(index)
        tensors = {name: generator.standard_normal((len(rows), 32)).astype(np.float16) for name in names}
        made.write_shard(index, rows, [{"question": f"{i}, Größe?"} for i in rows], tensors)
    before, content = read_all(made), made.shard_path(SHARD).read_bytes()
    right = [
        _changed(made, _flipped(content, int(at), int(bits)), before)
        for at, bits in zip(generator.integers(len(content), size=500), generator.integers(1, 256, 500), strict=True)
    ]
    assert set(right) == {0, len(names) - 1}  # the header is part of all, a value of one tensor


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 50, 200, 500, -200, -49, -48, -24, -1])
def test_truncated_shard(small, keep):
    content = small.shard_path(SHARD).read_bytes()
    assert _changed(small, content[:keep], read_all(small)) == 0


def test_every_length_of_a_truncated_shard(small):
    content = small.shard_path(SHARD).read_bytes()
    for keep in range(0, len(content), 3):
        small.shard_path(SHARD).write_bytes(content[:keep])
        with pytest.raises(StoreError, match=shard_name(SHARD)):
            small.header(SHARD)


@pytest.mark.parametrize("more", [b"\0", b" " * 64, b"x" * 5000])
def test_bytes_at_the_end(small, more):
    content = small.shard_path(SHARD).read_bytes()
    assert _changed(small, content + more, read_all(small)) == 0


@pytest.mark.parametrize("one", range(3))
def test_a_block_of_another_shard(small, one):
    """A disk that returns the right bytes at the wrong place."""
    content, other = (small.shard_path(index).read_bytes() for index in (SHARD, 0))
    at = len(content) * (one + 1) // 4
    mixed = content[:at] + other[at : at + 100] + content[at + 100 :]
    assert mixed != content
    _changed(small, mixed, read_all(small))


def test_tensors_in_the_place_of_each_other(small):
    header, content = small.header(SHARD), small.shard_path(SHARD).read_bytes()
    (a, b), (c, d) = ((place.start, place.stop) for place in header.places.values())
    assert _changed(small, content[:a] + content[c:d] + content[a:b], read_all(small)) == 0


def test_another_program_made_the_file(small):
    save_file(read_all(small), small.shard_path(SHARD), metadata={"pid_jax.shard": "{}"})
    (problem,) = small.verify()
    assert shard_name(SHARD) in problem


def test_plain_safetensors_reads_a_shard(small):
    found = load_file(small.shard_path(0))
    assert set(found) == set(TENSORS[:2])
    for name, array in found.items():
        rows = np.isin(small.ids, small.header(0).ids)
        np.testing.assert_array_equal(np.sort(array, axis=0), small.read(**layer_of(name))[rows], strict=True)


@pytest.mark.parametrize(("failed", "tensors"), [((), ()), (IDS, TENSORS)])
def test_plain_safetensors_reads_a_shard_without_tensors(tmp_path, failed, tensors):
    made = fill(tmp_path / "s", manifest(tensors=tensors), failed=failed)
    assert load_file(made.shard_path(0)) == {}
    assert made.verify() == []


TEXT = st.text(max_size=8)
COLUMN = st.dictionaries(TEXT, TEXT | st.integers(-(2**53), 2**53) | st.booleans() | st.floats(allow_nan=False))
SHAPE = st.tuples(st.integers(1, 5), st.integers(1, 6))
DTYPE = st.sampled_from([np.float16, np.float32, np.float64, np.dtype(">f4")])


@given(data=st.data(), names=st.lists(TEXT, min_size=0, max_size=4, unique=True), shape=SHAPE)
def test_what_was_written_is_read(tmp_path_factory, data, names, shape):
    rows = shape[0]
    arrays = {n: data.draw(hnp.arrays(data.draw(DTYPE), (rows, data.draw(st.integers(1, 6))))) for n in names}
    columns = data.draw(st.lists(COLUMN, min_size=rows, max_size=rows))
    ids = data.draw(st.lists(TEXT, min_size=rows, max_size=rows, unique=True))
    failures = [Failure(id=i, stage=i, message=i) for i in data.draw(st.lists(TEXT, max_size=2))]
    arrays = {name: array for name, array in arrays.items() if name != "__metadata__"}
    folder = LocalFolder(tmp_path_factory.mktemp("shard"))
    write_shard(folder, "a.safetensors", ids, columns, arrays, failures, manifest="m")
    header = read_header(folder, "a.safetensors")
    assert isinstance(header, ShardHeader)
    assert (header.ids, header.columns, header.failures) == (tuple(ids), tuple(columns), tuple(failures))
    plain = load_file(folder.path / "a.safetensors")
    assert set(plain) == set(arrays) == set(header.places)
    for name, array in arrays.items():
        for found in (read_tensor(folder, "a.safetensors", header, name), plain[name]):
            assert found.dtype == array.dtype.newbyteorder("=")
            assert found.tobytes() == array.astype(found.dtype).tobytes()


@given(text=st.text(max_size=30), width=st.integers(1, 40))
def test_headers_are_aligned_and_come_back(text, width):
    arrays = {"a": normalize(np.ones((1, width), np.float16)), "b": normalize(np.ones((1, width), np.float64))}
    content = encode_header("key", text, arrays)
    assert header_size(content) == len(content)
    assert len(content) % 64 == 0
    found, back, places = decode_header("key", content, len(content) + 10 * width)
    assert (len(found), back) == (32, text)
    assert all(place.start % place.dtype.itemsize == 0 for place in places.values())


def test_a_store_that_an_earlier_version_wrote_is_read():
    """Its files were written before shards had versions of packages, and are not to be written again."""
    store = ActivationStore.open(Path(__file__).parents[2] / "data" / "earlier_store")
    assert store.verify() == []
    assert store.is_complete
    wanted = [[-0.0010588020, -0.1935191453], [0.0676397234, -0.1683139056], [-0.0392276719, -0.8045157194]]
    np.testing.assert_allclose(store.read(role="last", layer=1)[:, :2], wanted, rtol=1e-7)
    assert store.columns["predicted"].tolist() == ["red Answer", "red of", "red thing"]
    assert describe_store(store).versions["transformers"] == {"5.23.0": 2}
