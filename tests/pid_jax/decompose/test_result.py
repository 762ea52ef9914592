"""What a result can do: units, labels, tables, files, a summary."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.result import ATOMS, INFORMATION, VARIABLES, PIDEstimate, span
from pid_jax.gaussian.information import Information
from pid_jax.gaussian.status import Status
from pid_jax.pid.atoms import PIDAtoms

pytestmark = pytest.mark.filterwarnings("error")

LEADING = (2, 3)


def make_estimate(leading=LEADING, with_samples=True):
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.uniform(0.1, 2.0, size=(*leading, *shape))

    status = np.zeros(leading, np.int32)
    atoms = PIDAtoms(**{name: draw() for name in ATOMS})
    information = Information(**{name: draw() for name in INFORMATION})
    gap = 1e-15 * draw()
    if leading:
        status[0, 1] = Status.NOT_PSD
        atoms, information, gap = jax.tree.map(lambda x: np.where(status == 0, x, np.nan), (atoms, information, gap))
    return PIDEstimate(
        atoms=atoms,
        information=information,
        status=status,
        gap=gap,
        cov=draw(4, 4),
        dims=(2, 1, 1),
        samples=50 if with_samples else None,
        explained_variance=draw(3) if with_samples else None,
        rank=np.ones((*leading, 3), np.int64) if with_samples else None,
        settings={"method": "PIDSpec", "reduction": {"method": "PCA", "dim": [2, 1, 1], "rank_cut": 1e-10}},
    )


def assert_equal(one, other):
    for name in (field.name for field in dataclasses.fields(PIDEstimate)):
        left, right = getattr(one, name), getattr(other, name)
        if name in ("atoms", "information"):
            jax.tree.map(np.testing.assert_array_equal, left, right)
        elif isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, err_msg=name)
        else:
            assert left == right, name


def test_bits_are_nats_over_log_2():
    nats = make_estimate()
    bits = nats.in_bits()
    assert (nats.unit, bits.unit) == ("nats", "bits")
    for name in ATOMS:
        np.testing.assert_allclose(getattr(bits.atoms, name), getattr(nats.atoms, name) / np.log(2), rtol=1e-15)
    np.testing.assert_allclose(bits.information.i_12, nats.information.i_12 / np.log(2), rtol=1e-15)
    np.testing.assert_allclose(bits.gap, nats.gap / np.log(2), rtol=1e-15)
    np.testing.assert_array_equal(bits.cov, nats.cov)
    assert_equal(bits.in_bits(), bits)


def test_data_set_is_labeled():
    estimate = make_estimate()
    data = estimate.in_bits().to_xarray(axes=("task", "layer"))
    assert data["unique_1"].dims == ("task", "layer")
    assert data["cov"].dims == ("task", "layer", "row", "column")
    assert data["rank"].dims == ("task", "layer", "variable")
    assert data["variable"].values.tolist() == list(VARIABLES)
    assert {data[name].attrs["units"] for name in (*ATOMS, *INFORMATION, "gap")} == {"bits"}
    assert data["status"].attrs["flag_meanings"].split()[Status.NOT_PSD] == "NOT_PSD"
    assert json.loads(data.attrs["settings"]) == estimate.settings
    np.testing.assert_array_equal(data["synergy"], estimate.in_bits().atoms.synergy)


def test_axes_have_names_of_their_own_or_numbers():
    assert make_estimate().to_xarray()["status"].dims == ("batch_0", "batch_1")
    assert make_estimate(()).to_xarray()["status"].dims == ()
    with pytest.raises(ValueError, match=r"axes.*\['layer'\]"):
        make_estimate().to_xarray(axes=["layer"])


@pytest.mark.parametrize("leading", [LEADING, ()])
def test_table_has_one_row_a_problem(leading):
    estimate = make_estimate(leading)
    axes = ["task", "layer"][: len(leading)]
    table = estimate.to_dataframe(axes)
    assert list(table.columns) == [*axes, *ATOMS, *INFORMATION, "gap", "status"]
    assert len(table) == estimate.status.size
    np.testing.assert_array_equal(table["unique_2"], estimate.atoms.unique_2.ravel())
    np.testing.assert_array_equal(table["status"], estimate.status.ravel())


@pytest.mark.parametrize("leading", [LEADING, ()])
@pytest.mark.parametrize("with_samples", [True, False])
def test_files_hold_everything_exactly(tmp_path, leading, with_samples):
    estimate = make_estimate(leading, with_samples)
    for one in (estimate, estimate.in_bits()):
        path = one.save(tmp_path / "folder" / "estimate.nc")
        assert_equal(PIDEstimate.load(str(path)), one)
        assert [file.name for file in path.parent.iterdir()] == ["estimate.nc"]


def test_foreign_data_sets_are_refused(tmp_path):
    path = tmp_path / "foreign.nc"
    xr.Dataset({"unique_1": 1.0}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"foreign\.nc.*'no schema'.*'pid_jax\.PIDEstimate/3'"):
        PIDEstimate.load(path)
    xr.Dataset(attrs={"schema": "pid_jax.PIDEstimate/9"}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"holds 'pid_jax\.PIDEstimate/9'"):
        PIDEstimate.load(path)


def test_files_that_are_no_data_set_are_refused(tmp_path):
    path = tmp_path / "text.nc"
    path.write_text("no data set")
    with pytest.raises(ValueError, match=r"text\.nc"):
        PIDEstimate.load(path)


def test_summary_of_one_problem_shows_every_number():
    estimate = make_estimate(())
    text = repr(estimate)
    assert text.startswith("PIDEstimate of 1 problem, dims (2, 1, 1), n = 50, in nats\n")
    for name in ATOMS:
        assert f"{name} {float(getattr(estimate.atoms, name)):.4g}" in text
    assert "all OK" in text


def test_summary_of_many_shows_ranges_and_what_went_wrong():
    estimate = make_estimate(with_samples=False)
    text = repr(estimate.in_bits())
    assert text.startswith("PIDEstimate of 6 problems, dims (2, 1, 1), in bits\n")
    low, high = np.nanmin(estimate.atoms.synergy) / np.log(2), np.nanmax(estimate.atoms.synergy) / np.log(2)
    assert f"synergy {low:.4g} to {high:.4g}" in text
    assert "{'NOT_PSD': 1}" in text
    nothing = dataclasses.replace(estimate, gap=np.full(LEADING, np.nan))
    assert "largest |gap| not defined" in repr(nothing)


def test_zeros_have_no_minus():
    assert span(np.array(-1e-9), ".3f") == span(np.array(-0.0), ".3f") == "0.000"
    assert span(np.array(-1e-9), "+.3f") == "+0.000"
    assert span(np.array(-0.0)) == "0"
    assert span(np.array([-0.0, 0.25])) == "0 to 0.25"
    assert span(np.array(-0.25), "+.2f") == "-0.25"
