"""States in files of other tools: values equal those that were written, bit by bit, in every format."""

import io
import sqlite3

import h5py
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
import safetensors.numpy
import safetensors.torch
import torch
import xarray as xr
import zarr

from pid_jax import open_activations
from pid_jax.store.formats.listing import list_arrays

ROLES, LAYERS, COUNT, WIDTH = ("audio", "text"), (0, 1, 2), 9, 5
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def states(dtype=np.float32):
    rng = np.random.default_rng(0)
    return {
        f"{role}/layer_{layer}": rng.normal(size=(COUNT, WIDTH)).astype(dtype) for role in ROLES for layer in LAYERS
    }


def as_torch(array):
    return torch.from_numpy(array.astype(np.float32)).bfloat16() if array.dtype == BFLOAT16 else torch.from_numpy(array)


def lists_of(arrays):
    columns = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), WIDTH) for name, array in arrays.items()
    }
    return pa.table(columns)


def write_npy(folder, arrays):
    for name, array in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", array)
    return folder


def write_npz(folder, arrays):
    np.savez(folder / "all.npz", **arrays)
    return folder / "all.npz"


def write_compressed(folder, arrays):
    for role in ROLES:
        own = {name.split("/")[1]: array for name, array in arrays.items() if name.startswith(role)}
        np.savez_compressed(folder / f"{role}.npz", **own)
    return folder


def write_torch(folder, arrays):
    nested = {role: {} for role in ROLES}
    for name, array in arrays.items():
        role, layer = name.split("/")
        nested[role][layer] = as_torch(array)
    torch.save(nested, folder / "all.pt")
    return folder / "all.pt"


def write_old_torch(folder, arrays):
    for name, array in arrays.items():
        (folder / name).parent.mkdir(exist_ok=True)
        torch.save(as_torch(array), folder / f"{name}.pt", _use_new_zipfile_serialization=False)
    return folder


def write_safetensors(folder, arrays):
    safetensors.torch.save_file({name: as_torch(array) for name, array in arrays.items()}, folder / "all.safetensors")
    return folder / "all.safetensors"


def write_hdf5(folder, arrays):
    with h5py.File(folder / "all.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, chunks=(4, 3), compression="gzip")
    return folder / "all.h5"


def write_zarr(folder, arrays):
    group = zarr.open_group(folder / "all.zarr", mode="w")
    for name, array in arrays.items():
        group.create_array(name, data=array, chunks=(4, 3))
    return folder / "all.zarr"


def write_zarr_2(folder, arrays):
    group = zarr.open_group(folder / "all.zarr", mode="w", zarr_format=2)
    for name, array in arrays.items():
        group.create_array(name, data=array)
    return folder


def write_netcdf(folder, arrays):
    data = {name.replace("/", "_"): (("sample", "feature"), array) for name, array in arrays.items()}
    xr.Dataset(data).to_netcdf(folder / "all.nc")
    return folder / "all.nc"


def dataset(folder, arrays):
    return xr.Dataset({name.replace("/", "."): (("sample", "feature"), array) for name, array in arrays.items()})


def write_parquet(folder, arrays):
    pyarrow.parquet.write_table(lists_of(arrays), folder / "all.parquet", row_group_size=4)
    return folder / "all.parquet"


def write_feather(folder, arrays):
    pyarrow.feather.write_feather(lists_of(arrays), folder / "all.feather")
    return folder / "all.feather"


def write_stream(folder, arrays):
    table = lists_of(arrays)
    with pa.OSFile(str(folder / "all.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return folder / "all.arrow"


def in_torch(folder, arrays):
    return {name: as_torch(array).requires_grad_(array.dtype.kind == "f") for name, array in arrays.items()}


def in_jax(folder, arrays):
    return {role: {k: jnp.asarray(arrays[f"{role}/layer_{k}"]) for k in LAYERS} for role in ROLES}


def in_memory(folder, arrays):
    return arrays


FLOATS = (np.float16, np.float32, np.float64)
FORMATS = {
    **dict.fromkeys((write_npy, write_npz, write_compressed), (*FLOATS, BFLOAT16, np.int32)),
    **dict.fromkeys((write_torch, write_old_torch, write_safetensors, in_torch), (*FLOATS, BFLOAT16)),
    **dict.fromkeys((write_hdf5, write_zarr, write_zarr_2, dataset), (*FLOATS, np.int16)),
    write_netcdf: (np.float32, np.float64),
    **dict.fromkeys((write_parquet, write_feather, write_stream), (*FLOATS, np.int64)),
    in_jax: (np.float16, np.float32, BFLOAT16),
    in_memory: (*FLOATS, BFLOAT16),
}


@pytest.mark.parametrize(
    ("write", "dtype"),
    [
        pytest.param(write, np.dtype(dtype), id=f"{write.__name__}-{np.dtype(dtype).name}")
        for write, dtypes in FORMATS.items()
        for dtype in dtypes
    ],
)
def test_values_come_back_bit_by_bit(write, dtype, tmp_path):
    arrays = (
        states(dtype) if dtype.kind != "i" else {name: (1000 * one).astype(dtype) for name, one in states().items()}
    )
    found = open_activations(write(tmp_path, arrays))
    assert found.roles == ROLES
    assert found.layers == LAYERS
    for name, array in arrays.items():
        role, layer = name.split("/layer_")
        values = found.read(role=role, layer=int(layer))
        wanted = array.astype(np.float32) if dtype == BFLOAT16 else array
        assert values.dtype == (wanted.dtype if wanted.dtype.kind == "f" else np.result_type(wanted.dtype, np.float32))
        assert np.array_equal(values, wanted)
        some = found.read(role=role, layer=int(layer), rows=[5, 2])
        assert np.array_equal(some, wanted[[5, 2]])


@pytest.mark.parametrize("write", [write for write in FORMATS if write not in (in_torch, in_jax, in_memory)])
def test_nothing_is_read_before_it_is_wanted(write, tmp_path):
    arrays = list_arrays(write(tmp_path, states()))
    assert {array.shape for array in arrays.values() if array.is_numeric} == {(COUNT, WIDTH)}
    for array in arrays.values():
        if array.is_numeric:
            assert np.array_equal(array.read((slice(2, 4), 1)), array.read()[2:4, 1])


def test_the_database_of_vlm_lens(tmp_path):
    path, values = tmp_path / "out.db", states()
    names = ("name", "architecture", "image_path", "prompt", "label", "layer", "tensor")
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE tensors ({', '.join(names)})")
        for row in range(COUNT):
            for layer in LAYERS:
                content = io.BytesIO()
                torch.save(torch.from_numpy(values[f"audio/layer_{layer}"][row][None]), content)
                own = (
                    "m",
                    "llava",
                    f"{row}.png",
                    "What?",
                    "ab"[row % 2],
                    f"decoder.layers.{layer}",
                    content.getvalue(),
                )
                database.execute(f"INSERT INTO tensors VALUES ({', '.join('?' * len(own))})", own)
    found = open_activations(path)
    assert found.roles == ("decoder",)
    assert found.columns["gold"].tolist() == ["ab"[row % 2] for row in range(COUNT)]
    assert found.columns["image"][3] == "3.png"
    for layer in LAYERS:
        assert np.array_equal(found.read(role="decoder", layer=layer), values[f"audio/layer_{layer}"])


def test_a_file_with_code_is_refused_and_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    torch.save({"image/layer_0": Evil()}, tmp_path / "all.pt")
    with pytest.raises(ValueError, match=r"all\.pt"):
        open_activations(tmp_path / "all.pt")
    assert not (tmp_path / "was_run").exists()
