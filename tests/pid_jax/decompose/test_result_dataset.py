"""Every result is a labeled data set and a file from which it comes back exactly, in nats and bits."""

import dataclasses
from functools import cache

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax import (
    NoGaussianization,
    NoReduction,
    PIDBootstrap,
    PIDEstimate,
    PIDSpec,
    PIDTest,
    Status,
    bootstrap_pid,
    compare_pid,
    gaussian_pid,
    gaussian_union,
    optimal_coupling,
    permutation_test,
    posterior_pid,
    samples_needed,
    unique_spectrum,
)
from pid_jax.decompose.dataset import Result
from pid_jax.decompose.result import ATOMS
from pid_jax.runtime.leading import LeadingAxes

KEY, SPEC = jax.random.key(0), PIDSpec(reduction=NoReduction(), gaussianize=NoGaussianization())
LEADING = [(), (2, 3)]


def variables(leading, d1=1):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(*leading, 60, 1))
    source_1, source_2 = (target + rng.normal(size=(*leading, 60, d)) for d in (d1, 1))
    return source_1, source_2, target


def covariances(leading):
    return np.broadcast_to(np.array([[2.0, 1.0, 1.0], [1.0, 3.0, 1.0], [1.0, 1.0, 1.0]]), (*leading, 3, 3)).copy()


def with_tails(leading):
    posterior = make("posterior", leading)
    return dataclasses.replace(posterior, freedom=2 + np.abs(posterior.draws.synergy))


MAKE = {
    "estimate": lambda leading: gaussian_pid(covariances(leading), (1, 1, 1), samples=50),
    "bootstrap": lambda leading: bootstrap_pid(*variables(leading), spec=SPEC, key=KEY, resamples=100, level=0.9),
    "test": lambda leading: permutation_test(*variables(leading), spec=SPEC, key=KEY, resamples=20),
    "posterior": lambda leading: posterior_pid(*variables(leading), spec=SPEC, key=KEY, draws=200, level=0.9),
    "posterior with tails": with_tails,
    "sample size": lambda leading: samples_needed(
        gaussian_pid(covariances(leading), (1, 1, 1)), width=0.6, key=KEY, simulations=10, level=0.9, most=100
    ),
    "union": lambda leading: gaussian_union(covariances(leading), (1, 1, 1)),
    "coupling": lambda leading: optimal_coupling(covariances(leading), (1, 1, 1)),
    "spectrum": lambda leading: unique_spectrum(covariances(leading), (1, 1, 1)),
    "comparison": lambda leading: compare_pid(
        variables(leading), variables(leading, d1=2), spec=SPEC, key=KEY, resamples=50, share_reduction=False
    ),
}


@cache
def make(name, leading):
    return MAKE[name](leading)


def assert_same(one, other):
    """Types, values and their types agree, all the way down."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, dict):
        assert_same(tuple(one.items()), tuple(other.items()))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert one == other


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("leading", LEADING)
@pytest.mark.parametrize("name", MAKE)
def test_files_hold_every_result_exactly(tmp_path, name, leading):
    result = make(name, leading)
    for one in (result, result.in_bits()):
        path = one.save(tmp_path / "folder" / "result.nc")
        assert_same(type(one).load(str(path)), one)
        assert [file.name for file in path.parent.iterdir()] == ["result.nc"]


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", MAKE)
def test_bits_are_nats_over_log_2(name):
    nats, bits = make(name, ()), make(name, ()).in_bits()
    assert bits.unit == "bits"
    amounts = type(nats)._amounts
    for field in dataclasses.fields(nats):
        before, after = (jax.tree.leaves(getattr(one, field.name)) for one in (nats, bits))
        if not isinstance(getattr(nats, field.name), (Result, str)):
            factor = 1 / np.log(2) if field.name in amounts else 1
            for left, right in zip(before, after, strict=True):
                if isinstance(left, (np.ndarray, float)):
                    np.testing.assert_allclose(right, np.multiply(left, factor), rtol=1e-14)
        if isinstance(getattr(nats, field.name), Result):
            assert getattr(bits, field.name).unit == "bits"


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", MAKE)
def test_leading_axes_have_names(name):
    data = make(name, (2, 3)).to_xarray(axes=("task", "layer"))
    assert {"task": 2, "layer": 3}.items() <= dict(data.sizes).items()
    assert not [dim for dim in data.dims if str(dim).startswith("batch")]
    for wrong in (["layer"], ["layer", "layer"], "ab", ["task", "row"] if "row" in data.dims else ["task"]):
        with pytest.raises(ValueError, match="axes"):
            make(name, (2, 3)).to_xarray(axes=wrong)


def test_quantities_have_labels_and_units():
    result = make("test", (2, 3)).in_bits()
    data = result.to_xarray(axes=("task", "layer"))
    assert data["p_value"].dims == ("task", "layer", "quantity")
    assert data["replicates"].dims == ("resample", "task", "layer", "quantity")
    np.testing.assert_array_equal(data["p_value"].sel(quantity="i_12"), result.p_value.i_12)
    assert data["statistic"].attrs == {"units": "bits"}
    assert data["p_value"].attrs == {}
    bootstrap = make("bootstrap", (2, 3)).to_xarray()
    np.testing.assert_array_equal(bootstrap["lower"].sel(atom="synergy"), make("bootstrap", (2, 3)).lower.synergy)
    np.testing.assert_array_equal(bootstrap["estimated_synergy"], make("bootstrap", (2, 3)).estimated.atoms.synergy)
    assert bootstrap["estimated_status"].attrs["flag_meanings"].split()[0] == "OK"


@pytest.mark.fast_cases(2)
@pytest.mark.parametrize("name", MAKE)
def test_names_and_labels_of_leading_axes_come_back(tmp_path, name):
    labels = {"task": np.array(["color", "shape"]), "layer": None}
    result = make(name, (2, 3)).on(LeadingAxes(shape=(2, 3), labels=labels))
    data = result.to_xarray()
    assert {"task": 2, "layer": 3}.items() <= dict(data.sizes).items()
    assert data["task"].values.tolist() == ["color", "shape"]
    assert "layer" not in data.coords
    assert_same(type(result).load(result.save(tmp_path / "result.nc")), result)
    renamed = result.to_xarray(axes=("dataset", "depth"))
    assert renamed["dataset"].values.tolist() == ["color", "shape"]
    assert not {"task", "layer"} & {*renamed.dims, *renamed.coords}
    assert result.take(1).leading_axes == {"layer": None}
    assert result.reshape((6,)).leading_axes == {}


@pytest.mark.slow
def test_models_of_different_dims_fit_in_one_data_set():
    data = make("comparison", ()).to_xarray()
    assert (data.sizes["baseline_row"], data.sizes["intervention_row"]) == (3, 4)


@pytest.mark.fast_cases(len(MAKE) - 1)
@pytest.mark.parametrize("name", MAKE)
def test_other_leading_axes_and_back(name):
    result = make(name, ())
    assert_same(result.reshape((1, 1)).reshape(()), result)


def test_wrong_files_are_refused(tmp_path):
    path = make("test", ()).save(tmp_path / "test.nc")
    with pytest.raises(ValueError, match=r"test\.nc.*'pid_jax\.PIDTest/1'.*'pid_jax\.PIDBootstrap/1'"):
        PIDBootstrap.load(path)
    with pytest.raises(ValueError, match=r"wanted 'pid_jax\.PIDEstimate/3'"):
        PIDEstimate.load(path)
    xr.Dataset({"p_value": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"'no schema'.*PIDTest\.save"):
        PIDTest.load(path)
    path.write_text("no data set")
    with pytest.raises(ValueError, match=r"test\.nc"):
        PIDTest.load(path)
    with pytest.raises(ValueError, match=r"absent\.nc"):
        PIDTest.load(tmp_path / "absent.nc")


@pytest.mark.parametrize("name", ["test", "estimate"])
def test_data_sets_of_another_result_are_refused(name):
    result = make(name, (2, 3))
    assert_same(type(result).from_xarray(result.to_xarray(axes=["task", "layer"])), result)
    with pytest.raises(ValueError, match=r"holds 'pid_jax\.PIDBootstrap/1'"):
        type(result).from_xarray(make("bootstrap", (2, 3)).to_xarray())


def test_long_notes_are_kept(tmp_path):
    """Attributes of old HDF5 files end at 64 kB."""
    noted = dataclasses.replace(make("test", ()), notes=("µ" * 200_000,))
    assert PIDTest.load(noted.save(tmp_path / "test.nc")).notes == noted.notes


def test_numbers_of_numpy_in_settings_are_kept(tmp_path):
    settings = {"resamples": np.int64(20), "level": np.float32(0.5), "blocks": None, "refit": True}
    noted = dataclasses.replace(make("test", ()), settings=settings)
    assert PIDTest.load(noted.save(tmp_path / "test.nc")).settings == settings


def test_a_field_more_needs_its_name_only(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
    class WithStatus(PIDTest, amounts=("statistic", "replicates"), axes={"replicates": ("resample", ...)}):
        status: np.ndarray

    status = np.array([Status.OK, Status.NOT_PSD], np.int32)
    half = make("test", (2, 3))
    parts = {name: value for name, value in vars(half).items() if name != "status"}
    one = jax.tree.map(lambda x: x[..., 0] if isinstance(x, np.ndarray) else x, parts)
    found = WithStatus(**one, status=status)
    data = found.to_xarray(axes=["task"])
    assert data["status"].dims == ("task",)
    assert data["status"].attrs["flag_meanings"].split()[Status.NOT_PSD] == "NOT_PSD"
    assert_same(WithStatus.load(found.save(tmp_path / "test.nc")), found)
    assert found.reshape((1, 2)).status.shape == (1, 2)


def test_atoms_keep_their_order(tmp_path):
    found = PIDBootstrap.load(make("bootstrap", ()).save(tmp_path / "bootstrap.nc"))
    assert tuple(vars(found.lower)) == ATOMS
