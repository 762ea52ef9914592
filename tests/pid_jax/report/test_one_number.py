"""One value for one quantity: every number of a study and its page is computed here once more, from the atoms alone."""

import base64
import json
import re

import numpy as np
import pytest
import xarray as xr

from pid_jax.pid.atoms import LEAST_INFORMATION
from pid_jax.plot.quantities import shares_of_total
from pid_jax.report.data import data_block
from pid_jax.report.page import write_report
from pid_jax.settings.estimate import PCA, PIDSpec
from pid_jax.settings.gaussianize import Copula, NoGaussianization
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.model import StudyModel
from pid_jax.study.run import run_study
from pid_jax.study.spec import StudySpec
from tests.study_results import planted
from tests.study_stores import CUT, EARLY, make_store

ATOMS = ["redundancy", "unique_1", "unique_2", "synergy"]
BITS = 1 / np.log(2)


def study_of_stores(folder) -> xr.Dataset:
    pid = PIDSpec(reduction=PCA(dim=(3, 3, 2)), gaussianize=Copula())
    spec = StudySpec(pid=pid, compared=(NoGaussianization(),), compared_measures=(), replicates=50)
    stores = (make_store(folder / "k", CUT, seed=1), make_store(folder / "e", EARLY, seed=2))
    model = StudyModel(name="m", baseline=make_store(folder / "b"), knockouts=stores)
    return add_metrics(run_study([model], spec=spec))


@pytest.fixture(scope="module", params=["planted", pytest.param("stores", marks=pytest.mark.slow)])
def study(request, tmp_path_factory) -> xr.Dataset:
    if request.param == "planted":
        return add_metrics(planted())
    return study_of_stores(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def atoms(study) -> xr.DataArray:
    """The atoms that everything else has to agree with (share, model, task, condition, layer)."""
    first = study[ATOMS].isel(measure=0, drop=True)
    return first.to_dataarray("share").reset_coords(drop=True)


def shares(atoms: xr.DataArray) -> xr.DataArray:
    total = atoms.sum("share", skipna=False)
    return atoms / total.where(total > LEAST_INFORMATION)


def at_depth(study: xr.Dataset, atoms: xr.DataArray, depth: float) -> xr.DataArray:
    """Interpolate the baseline at a depth, model by model."""
    found = []
    for model in study["model"].values:
        layer = depth * float(study["last_layer"].sel(model=model))
        found.append(atoms.sel(model=model).isel(condition=0, drop=True).interp(layer=layer).reset_coords(drop=True))
    return xr.concat(found, study["model"].reset_coords(drop=True))


def after_cut(study: xr.Dataset, atoms: xr.DataArray, *, is_final: bool) -> xr.DataArray:
    """Take cut minus baseline at the layer after the last block cut, or at the last layer."""
    change = (atoms - atoms.isel(condition=0)).reindex(layer=np.arange(study.sizes["layer"] + 1))
    layer = study["last_layer"].broadcast_like(study["cut_last"]) if is_final else study["cut_last"] + 1
    return change.sel(layer=layer.where(study["cut_last"] >= 0, 0)).where(study["cut_last"] >= 0)


def the_informations(study, atoms):
    parts = atoms.drop_vars("share")
    return {"i_1": parts[0] + parts[1], "i_2": parts[0] + parts[2], "i_12": parts.sum("share", skipna=False)}


def the_replicates(study, atoms):
    off = study[[f"replicate_{name}" for name in ATOMS]].mean("replicate")
    return {f"replicate_{name}": (off[f"replicate_{name}"], atoms.sel(share=name)) for name in ATOMS}


def the_differences(study, atoms):
    every = xr.Dataset({name: atoms.sel(share=name, drop=True) for name in ATOMS}).assign(
        the_informations(study, atoms)
    )
    change = every - every.isel(condition=0)
    change = change.where(change["condition"] != study["condition"][0])
    return {"difference": change.to_dataarray("quantity").sel(quantity=study["quantity"])}


def the_comparison(study, atoms):
    first, atoms = study.isel(gaussianizer=0, condition=[0]), atoms.isel(condition=[0])
    return {f"compared_{name}": (first[f"compared_{name}"], atoms.sel(share=name)) for name in ATOMS}


def the_spectra(study, atoms):
    sums = {name: study[f"spectrum_{name[-1]}"].sum("direction", skipna=False) for name in ("unique_1", "unique_2")}
    return {f"spectrum_{name[-1]}": (total, atoms.sel(share=name).clip(min=0)) for name, total in sums.items()}


def the_shares(study, atoms):
    return {"layer_share": shares(atoms.isel(condition=0))}


def the_fingerprints(study, atoms):
    points = [shares(at_depth(study, atoms, float(depth))) for depth in study["point_depth"]]
    return {"fingerprint": xr.concat(points, study["point"])}


def the_metrics(study, atoms):
    ends = {
        "first": at_depth(study, atoms, 0.0),
        "middle": at_depth(study, atoms, 0.5),
        "last": at_depth(study, atoms, 1.0),
    }
    found = {f"information_{end}": ends[end].sum("share") for end in ("first", "last")}
    found["final_vision"] = ends["last"].sel(share="unique_1")
    found["vision_share_first"] = shares(ends["first"]).sel(share="unique_1")
    for end, values in ends.items():
        found[f"language_share_{end}"] = shares(values).sel(share="unique_2")
    found["language_share_gain"] = found["language_share_last"] - found["language_share_middle"]
    for name in ("redundancy", "synergy"):
        found[f"{name}_share_last"] = shares(ends["last"]).sel(share=name)
    peak = atoms.sel(share="unique_1").isel(condition=0).max("layer")
    found["decay"] = 1 - found["final_vision"] / peak.where(peak > LEAST_INFORMATION)
    return {name: (study["metric"].sel(metric_name=name), value) for name, value in found.items()}


def the_effects(study, atoms):
    change, final = (after_cut(study, atoms, is_final=end) for end in (False, True))
    found = {
        "trapped_vision": change.sel(share="unique_1"),
        "trapped_vision_final": final.sel(share="unique_1"),
        "compensatory_synergy": change.sel(share="synergy"),
        "information_cost": change.sum("share", skipna=False),
        "accuracy_change": (study["accuracy"] - study["accuracy"].isel(condition=0)).where(study["cut_last"] >= 0),
    }
    return {name: (study["effect"].sel(effect_name=name), value) for name, value in found.items()}


def the_means_over_tasks(study, atoms):
    names = [str(name) for name in study["effect_name"].values]
    found = {}
    for name in names:
        overall, each = (study[kind].sel(effect_name=name) for kind in ("overall_effect", "effect"))
        found[name] = overall, each.mean("task", skipna=False)
    return found


def the_verdicts(study, atoms):
    names = {"vision_early": "decay", "language_late": "language_share_last", "synergy_small": "synergy_share_largest"}
    found = {claim: study["overall_metric"].sel(metric_name=name) for claim, name in names.items()}
    for effect in ("trapped_vision", "compensatory_synergy", "information_cost"):
        found[f"{effect}_rises"] = study["overall_effect"].sel(effect_name=effect, condition="image-question@all")
    return {claim: (study["claim_value"].sel(claim=claim), value) for claim, value in found.items()}


RULES = [value for name, value in list(globals().items()) if name.startswith("the_")]


@pytest.mark.parametrize("rule", RULES)
def test_every_number_follows_from_the_atoms(study, atoms, rule):
    is_known = []
    for name, values in rule(study, atoms).items():
        found, expected = values if isinstance(values, tuple) else (study[name], values)
        found, expected = xr.broadcast(found.drop_vars(found.coords), expected.drop_vars(expected.coords))
        is_known.append(bool(np.isfinite(found).any()))
        kept = found.transpose(*expected.dims).values
        np.testing.assert_allclose(kept, expected.values, atol=1e-5, err_msg=name)
    assert any(is_known)


def test_estimates_and_differences_lie_in_their_intervals(study):
    for name in study.data_vars:
        if f"{name}_lower" in study and name not in ("task_correlation",):
            inside = (study[f"{name}_lower"] <= study[name] + 1e-9) & (study[name] <= study[f"{name}_upper"] + 1e-9)
            assert (inside | study[name].isnull() | study[f"{name}_lower"].isnull()).all(), name


def test_the_page_has_the_numbers_of_the_dataset(study, tmp_path):
    block = json.loads(data_block(study))
    for name, written in block["variables"].items():
        if isinstance(written.get("data"), str) and study[name].dtype.kind == "f":
            values = np.frombuffer(base64.b64decode(written["data"]), "<f4").reshape(study[name].shape)
            np.testing.assert_allclose(values, study[name].values.astype(np.float32), err_msg=name)
    text = write_report(study, tmp_path / "page.html").read_text(encoding="utf-8")
    tables = re.findall(r'<table class="glance">.*?</table>', text, re.DOTALL)
    assert len(tables) == study.sizes["model"]
    for model, table in zip(study["model"].values, tables, strict=True):
        rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table, re.DOTALL)
        assert len(rows) == study.sizes["task"]
        for task, cells in rows:
            _check_row(study.sel(model=model, task=task), cells)


def _check_row(cell: xr.Dataset, cells: str) -> None:
    """Compare a row of the summary with the dataset: amounts of vision in bits, shares in percent, accuracy."""
    here = cell.isel(condition=0, measure=0)
    last = here.sel(layer=int(cell["last_layer"]))
    numbers = [float(x) for x in re.findall(r"<td>(-?[\d.]+)", cells.replace("−", "-"))]
    expected = [BITS * float(here["unique_1"][0]), BITS * float(last["unique_1"])]
    expected += [float(x) for x in shares_of_total(last).values()] + [100 * float(here["accuracy"])]
    assert numbers[:2] == pytest.approx(expected[:2], abs=0.051)
    assert numbers[2:] == pytest.approx(expected[2:], abs=0.51)
