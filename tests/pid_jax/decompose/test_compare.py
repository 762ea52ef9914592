"""One covariance by several measures."""

import numpy as np
import pytest

from pid_jax import BROJA, IIG, MMI, IDep, MeasureComparison, compare_measures, gaussian_pid
from pid_jax.decompose.result import ATOMS
from pid_jax.pid.registry import MEASURES
from pid_jax.testing.problems import random_wishart
from pid_jax.testing.systems import parallel_channels

CHEAP = [BROJA(), MMI(), IDep(), IIG()]


def estimate(*leading):
    count = int(np.prod(leading))
    covs = np.stack([random_wishart(np.random.default_rng(seed), (2, 2, 2)).cov for seed in range(count)])
    return gaussian_pid(covs.reshape(*leading, 6, 6), (2, 2, 2))


def test_atoms_are_those_of_each_measure():
    given = estimate(2, 3).in_bits()
    found = compare_measures(given, CHEAP)
    assert found.unit == "bits"
    assert found.measures == ("broja", "mmi", "idep", "iig")
    for one, name in zip(CHEAP, found.measures, strict=True):
        expected = gaussian_pid(given.cov, given.dims, redundancy=one).in_bits().atoms
        for atom in ATOMS:
            np.testing.assert_array_equal(getattr(found.of(name), atom), getattr(expected, atom))


def test_statements_are_counted_where_atoms_are_known():
    system = parallel_channels(snr_1=[3.0, 0.0], snr_2=[1.0, 1.0]).problem
    covs = np.stack([system.cov, np.eye(6), np.full((6, 6), np.nan)])
    agreed = compare_measures(gaussian_pid(covs, (2, 2, 2)), CHEAP[:3]).count(lambda atoms: atoms.unique_1 > 0.1)
    assert agreed.count.tolist() == [2, 0, 0]
    assert agreed.total.tolist() == [3, 3, 0]
    assert agreed.names(0) == ("broja", "idep")
    assert "0 to 2 of 3" in repr(agreed)


def test_all_registered_measures_are_the_default():
    found = compare_measures(estimate())
    assert found.measures == tuple(MEASURES)
    assert all(label in repr(found) for label in found.labels)


def test_measures_that_refuse_the_dims_are_left_out_with_a_note(monkeypatch):
    def refuse(whitened):
        raise ValueError("too many dims")

    from dataclasses import replace

    monkeypatch.setitem(MEASURES, "idep", replace(MEASURES["idep"], solve=refuse))
    for name in ("iccs", "deficiency"):
        monkeypatch.delitem(MEASURES, name)
    found = compare_measures(estimate())
    assert found.measures == ("broja", "mmi", "iig")
    assert "too many dims" in found.notes[0]
    with pytest.raises(ValueError, match="too many dims"):
        compare_measures(estimate(), [IDep()])


def test_files_hold_everything(tmp_path):
    found = compare_measures(estimate(4), CHEAP)
    read = MeasureComparison.load(found.save(tmp_path / "compared.nc"))
    assert (read.measures, read.labels) == (found.measures, found.labels)
    np.testing.assert_array_equal(read.atoms.synergy, found.atoms.synergy)
    assert found.to_xarray(["layer"])["atoms"].sel(measure="mmi").sizes["layer"] == 4
    assert found.take(0).atoms.synergy.shape == (4,)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda given: compare_measures(np.eye(3)), TypeError, "estimate"),
        (lambda given: compare_measures(given, []), ValueError, "measures"),
        (lambda given: compare_measures(given, [MMI(), MMI()]), ValueError, "measures"),
        (lambda given: compare_measures(given, ["mmi"]), TypeError, "measures"),
        (lambda given: compare_measures(given, [MMI()]).of("broja"), ValueError, "measure"),
        (lambda given: compare_measures(given, [MMI()]).count(lambda atoms: atoms.synergy), TypeError, "statement"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call(estimate())
