"""Arrays, tables and layouts that cannot be used: each is refused by an error that names what is wrong."""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
import torch
import xarray as xr

from pid_jax import ActivationStore, open_activations
from pid_jax.store import StoreError

COUNT, WIDTH = 6, 3
STATES = np.arange(COUNT * WIDTH, dtype=np.float32).reshape(COUNT, WIDTH)
TOKENS = np.zeros((COUNT, 4, WIDTH), np.float32)
FINE = {"image/0": STATES, "image/1": STATES + 1}
IDS = [f"s{row}" for row in range(COUNT)]

Made = tuple[Any, dict[str, Any], str]
KINDS: dict[str, Callable[[Path], Made]] = {}


def kind(function: Callable[[Path], Made]) -> Callable[[Path], Made]:
    KINDS[function.__name__.strip("_").replace("_", "-")] = function
    return function


def in_file(name: str, write: Callable[[Path], object]) -> None:
    """Add a damaged file, whose name the message must hold."""

    def make(folder: Path) -> Made:
        write(folder / name)
        return folder / name, {}, name

    KINDS[f"file-{len(KINDS)}-{name}"] = make


def truncated(save: Callable[[Path], object], part: float = 0.6) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * part)])

    return write


def of_table(name: str, source: Any, named: str, **options: Any) -> None:
    KINDS[name] = lambda folder: (source, options, named)


def write_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["image/0"] = np.zeros((500, 40))


def lists(path: Path, *lengths: int) -> None:
    pyarrow.parquet.write_table(pa.table({"image_0": [list(map(float, range(n))) for n in lengths]}), path)


for ending in ("npy", "npz", "pt", "safetensors", "h5", "nc", "parquet", "feather", "arrow", "db"):
    in_file(f"empty.{ending}", lambda path: path.write_bytes(b""))
    in_file(f"text.{ending}", write_text("this is no file of arrays\n" * 20))
in_file("cut.npz", truncated(lambda path: np.savez(path, **FINE)))
in_file("cut.pt", truncated(lambda path: torch.save({"image/0": torch.zeros(500, 40)}, path)))
in_file("cut.safetensors", truncated(lambda path: safetensors.numpy.save_file(FINE, path)))
in_file("cut.h5", truncated(write_hdf5))
in_file("cut.parquet", truncated(lambda path: lists(path, *[3] * 200)))
in_file("objects.npy", lambda path: np.save(path, np.array([{}, None], dtype=object)))
in_file("objects.npz", lambda path: np.savez(path, **{"image/0": np.array([{}, None], dtype=object)}))
in_file("complex.npy", lambda path: np.save(path, STATES.astype(complex)))
in_file("dates.npy", lambda path: np.save(path, np.zeros((3, 2), "M8[s]")))
in_file("ragged.parquet", lambda path: lists(path, 3, 2, 3))
in_file("scalar.npy", lambda path: np.save(path, np.float32(1)))
in_file("nothing.npy", lambda path: np.save(path, np.zeros((0, 3))))
in_file("pickle.pt", lambda path: torch.save({"image/0": Path("x")}, path))
in_file("unknown.mat", write_text("x"))


@kind
def no_such_path(folder: Path) -> Made:
    return folder / "missing", {}, "missing"


@kind
def an_empty_folder(folder: Path) -> Made:
    return folder, {}, folder.name


@kind
def another_database(folder: Path) -> Made:
    with sqlite3.connect(folder / "other.db") as database:
        database.execute("CREATE TABLE people (name)")
    return folder / "other.db", {}, "other.db"


@kind
def one_damaged_file_among_many(folder: Path) -> Made:
    for layer in range(5):
        np.save(folder / f"image_{layer}.npy", STATES)
    (folder / "image_3.npy").write_bytes(b"\x93NUMPY")
    return folder, {}, "image_3.npy"


@kind
def one_file_with_fewer_samples(folder: Path) -> Made:
    np.save(folder / "image_0.npy", STATES)
    np.save(folder / "image_1.npy", STATES[:-1])
    return folder, {}, "image_1.npy"


@kind
def one_file_of_another_width(folder: Path) -> Made:
    np.save(folder / "image_0.npy", STATES)
    np.save(folder / "image_1.npy", STATES[:, :2])
    return folder, {}, "image_1.npy"


@kind
def one_file_with_another_number_of_axes(folder: Path) -> Made:
    np.save(folder / "image_0.npy", STATES)
    np.save(folder / "image_1.npy", TOKENS)
    return folder, {}, "image_1.npy"


@kind
def one_sample_without_a_file(folder: Path) -> Made:
    for sample in IDS[:-1]:
        np.save(folder / f"{sample}.npy", STATES)
    return folder, {"layout": "{sample}", "table": {"id": IDS}, "axes": "layer feature"}, IDS[-1]


@kind
def a_file_of_a_sample_that_the_table_lacks(folder: Path) -> Made:
    for sample in (*IDS, "stranger"):
        np.save(folder / f"{sample}.npy", STATES)
    return folder, {"layout": "{sample}", "table": {"id": IDS}, "axes": "layer feature"}, "stranger"


@kind
def two_files_of_one_role_and_layer(folder: Path) -> Made:
    np.save(folder / "image_0.npy", STATES)
    np.save(folder / "image_00.npy", STATES)
    return folder, {}, "image_00.npy"


@kind
def ids_of_the_source_that_the_table_lacks(folder: Path) -> Made:
    dataset = xr.Dataset({"image_0": (("id", "d"), STATES)}, coords={"id": [*IDS[:-1], "other"]})
    return dataset, {"table": {"id": IDS}}, "other"


@kind
def a_table_that_is_missing(folder: Path) -> Made:
    return FINE, {"table": folder / "samples.csv"}, "samples.csv"


@kind
def a_table_of_another_kind(folder: Path) -> Made:
    (folder / "samples.xlsx").write_text("x")
    return FINE, {"table": folder / "samples.xlsx"}, "samples.xlsx"


def csv_table(name: str, text: str, named: str) -> None:
    def make(folder: Path) -> Made:
        (folder / "samples.csv").write_bytes(text.encode("latin-1"))
        return FINE, {"table": folder / "samples.csv"}, named

    KINDS[name] = make


csv_table("an-empty-table", "", "samples.csv")
csv_table("a-table-of-names-alone", "id,task\n", "row")
csv_table("a-row-with-more-cells", "id,task\na,b\nc,d,e\n", "samples.csv")
csv_table("an-unnamed-column", "id,\na,b\n", "samples.csv")
csv_table("a-column-twice", "id,id\na,b\n", "samples.csv")
csv_table("an-open-quote", 'id,task\n"a,b\nc,d\n', "samples.csv")
csv_table("a-table-in-latin-1", "id,task\n\xe9,b\n", "samples.csv")
csv_table("a-table-of-fewer-rows", "id\na\nb\n", "image/0")

of_table("ids-twice", FINE, "s1", table={"id": [*IDS[:-1], "s1"]})
of_table("an-id-that-is-empty", FINE, "row 5", table={"id": [*IDS[:-1], ""]})
of_table("columns-of-several-lengths", FINE, "length", table={"id": IDS, "task": ["a"]})
of_table("two-columns-of-one-kind", FINE, "predicted", table={"answer": IDS, "prediction": IDS})
of_table("a-chosen-column-that-is-missing", FINE, "output", table={"id": IDS}, columns={"predicted": "output"})
of_table("a-kind-of-column-that-is-not-known", FINE, "colour", table={"id": IDS}, columns={"colour": "id"})
of_table("truth-values-that-are-none", FINE, "perhaps", table={"correct": ["1"] * 5 + ["perhaps"]})
of_table("an-empty-mapping", {}, "empty")
of_table("a-mapping-of-texts-alone", {"note": np.array(["a", "b"])}, "note")
of_table("rows-of-several-lengths", {"image/0": [[1.0, 2.0], [3.0]]}, "image/0")
of_table("a-layout-that-fits-nothing", FINE, "image/0", layout="{role}/block_{layer}")
of_table("a-layout-with-an-unknown-field", FINE, "{head}", layout="{role}/{head}")
of_table("a-layout-with-a-field-twice", FINE, "{role}", layout="{role}/{role}")
of_table("axes-that-are-not-known", FINE, "axes", axes="batch feature")
of_table("axes-of-another-number", FINE, "image/0", axes="layer sample feature")
of_table("axes-without-samples", FINE, "sample", axes="token feature", masks={"a": 0})
of_table("a-layer-in-names-and-axes", FINE, "layer", axes="layer sample")
of_table("tokens-without-masks", {"image/0": TOKENS}, "masks")
of_table("a-token-axis-without-masks", {"h_0": TOKENS}, "masks", axes="sample token feature")
of_table("a-mask-of-other-tokens", {"h_0": TOKENS}, "'image'", masks={"image": np.ones((COUNT, 5), bool)})
of_table("a-mask-of-other-samples", {"h_0": TOKENS}, "'image'", masks={"image": np.ones((2, 4), bool)})
of_table("a-mask-of-no-token", {"h_0": TOKENS}, "'image'", masks={"image": np.zeros((COUNT, 4), bool)})
of_table("a-mask-of-numbers", {"h_0": TOKENS}, "'image'", masks={"image": np.full((COUNT, 4), 0.5)})
of_table("a-position-outside", {"h_0": TOKENS}, "'last'", masks={"last": 4})
of_table("a-mask-that-is-nowhere", {"h_0": TOKENS}, "gone.npy", masks={"image": "gone.npy"})
of_table("masks-of-several-streams", {"a/h_0": TOKENS, "b/h_0": TOKENS}, "masks", masks={"last": -1})
of_table("a-condition-that-is-missing", {"cut/image/0": STATES}, "cut", layout="{condition}/{role}/{layer}")
of_table("a-condition-without-a-field", FINE, "{condition}", condition="cut")


@pytest.mark.parametrize("name", KINDS)
def test_what_cannot_be_used_is_named(name, tmp_path):
    source, options, named = KINDS[name](tmp_path)
    with pytest.raises(ValueError, match=re.escape(named)) as caught:
        read_all(source, options)
    assert len(str(caught.value)) < 600


def read_all(source, options):
    found = open_activations(source, **options)
    for layer, role in found.parts:
        found.read(role=role, layer=layer)


def test_there_are_fifty_kinds():
    assert len(KINDS) >= 50


@pytest.mark.parametrize("source", [3, None, ["a.npy"]])
def test_a_source_of_another_type(source):
    with pytest.raises(TypeError, match="source"):
        open_activations(source)


def test_a_table_of_another_type():
    with pytest.raises(TypeError, match="table"):
        open_activations(FINE, table=3)


def test_a_store_takes_no_table(tmp_path):
    ActivationStore.from_arrays(tmp_path / "store", FINE)
    with pytest.raises(StoreError, match="table"):
        open_activations(tmp_path / "store", table={"id": IDS})


def test_a_store_that_lost_its_manifest_is_not_read_as_arrays(tmp_path):
    store = ActivationStore.from_arrays(tmp_path / "store", FINE)
    (tmp_path / "store" / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"manifest\.json"):
        open_activations(store.path)


def test_a_file_that_is_deleted_after_it_was_opened(tmp_path):
    np.savez(tmp_path / "all.npz", **FINE)
    found = open_activations(tmp_path / "all.npz")
    (tmp_path / "all.npz").unlink()
    with pytest.raises(StoreError, match=r"all\.npz"):
        found.read(role="image", layer=0)
