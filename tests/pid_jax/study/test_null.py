"""Positions of a study's shares among null systems and null tables."""

import jax
import numpy as np
import pytest
import xarray as xr

from pid_jax.decompose.pid import gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.inference.normalized_shares import normalize_shares
from pid_jax.inference.null_shares import SEED
from pid_jax.study.metrics.draws import read_models
from pid_jax.study.metrics.intervals import ENDS
from pid_jax.study.metrics.null import describe_share, shares_against_null
from pid_jax.study.null_spectra import class_probabilities, null_spectra
from pid_jax.testing.problems import random_channel
from tests.study_results import CELL, planted, planted_answer

NAMES = ("share_percentile", "share_above_chance")


def of_systems(layers: int, **options) -> tuple[xr.Dataset, list]:
    """A study of one model and task whose layers are known systems."""
    rng = np.random.default_rng(0)
    problems = [random_channel(rng, (3, 4, 4), (0.7, 0.7)) for _ in range(layers)]
    estimate = gaussian_pid(np.stack([p.cov for p in problems]), (3, 4, 4))
    results = planted(models={"one": layers - 1}, tasks=("t",), cuts={}, noise=0.0, **options)
    kept = [name for name in results.data_vars if name.startswith(("gain_", "source_correlation"))]
    results = results.drop_vars([*kept, "source_direction"])
    data = {
        name: ((*CELL, *dims), np.asarray(value)[None, None, None], attrs)
        for name, (dims, value, attrs) in null_spectra(estimate).items()
    }
    for name in ATOMS:
        for kind in ("", "replicate_"):
            old = results[f"{kind}{name}"]
            value = xr.DataArray(getattr(estimate.atoms, name), dims="layer")
            data[f"{kind}{name}"] = (xr.zeros_like(old) + value).transpose(*old.dims)
    return results.assign(data), normalize_shares(estimate, key=jax.random.key(SEED))


def test_a_study_and_one_call_agree():
    results, wanted = of_systems(5, replicates=0)
    found = shares_against_null(results, read_models(results))
    for name, part in zip(NAMES, (wanted.percentile, wanted.above_chance), strict=True):
        mine = found[name].isel(model=0, task=0)
        for atom in ATOMS:
            np.testing.assert_allclose(mine.sel(share=atom), getattr(part, atom), atol=1e-6)
        assert np.isnan(found[f"{name}_lower"]).all()


@pytest.mark.parametrize("make", [planted, pytest.param(planted_answer, marks=pytest.mark.slow)])
def test_planted_studies_have_positions_with_intervals(make):
    results = make(replicates=40)
    found = shares_against_null(results, read_models(results))
    has_layer = np.isfinite(results["depth"].values)
    for name in NAMES:
        value, lower, upper = (found[f"{name}{end}"].values for end in ENDS)
        np.testing.assert_array_equal(np.isfinite(value).all(axis=(1, 2)), has_layer)
        known = np.isfinite(value)
        assert ((lower <= value + 1e-12) & (value <= upper + 1e-12))[known].all()
        np.testing.assert_allclose(found[f"overall_{name}"], value.mean(axis=1), atol=1e-12)
    percentile = found["share_percentile"].values
    assert ((percentile >= 0) & (percentile <= 1))[np.isfinite(percentile)].all()
    above = found["share_above_chance"].values.sum(axis=2)
    np.testing.assert_allclose(above[np.isfinite(above)], 0, atol=1e-9)


def test_studies_without_spectra_have_no_positions():
    results = planted(replicates=0).drop_vars("gain_1")
    assert not shares_against_null(results, read_models(results)).data_vars


def test_class_probabilities_are_pooled_and_padded():
    _, few, _ = class_probabilities(np.array([0, 0, 1]))["class_probability"]
    np.testing.assert_allclose(few, [2 / 3, 1 / 3, 0, 0, 0, 0, 0, 0])
    _, many, _ = class_probabilities(np.arange(20))["class_probability"]
    np.testing.assert_allclose(many, [*[1 / 20] * 7, 13 / 20])


def test_sentences_name_the_position():
    assert "97 %" in describe_share(0.62, 0.973)
    assert "less" in describe_share(0.02, 0.004)
    assert "random" not in describe_share(0.5, np.nan)
