"""Settings refuse nonsense when they are made, and describe themselves."""

import dataclasses
import json

import pytest

from pid_jax.pid.broja import BROJA
from pid_jax.pid.mmi import MMI
from pid_jax.settings.estimate import (
    OAS,
    PCA,
    Exact,
    LedoitWolf,
    NoReduction,
    PIDSpec,
    Randomized,
    SampleCovariance,
    spec_from_dict,
    spec_to_dict,
)
from pid_jax.settings.gaussianize import Copula, NoGaussianization

ALL = (
    PCA,
    Exact,
    Randomized,
    NoReduction,
    Copula,
    NoGaussianization,
    SampleCovariance,
    LedoitWolf,
    OAS,
    MMI,
    BROJA,
    PIDSpec,
)


@pytest.mark.parametrize("spec", ALL)
def test_specs_are_hashable_equal_by_value_and_frozen(spec):
    assert hash(spec()) == hash(spec())
    assert spec() == spec()
    for field in dataclasses.fields(spec):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(spec(), field.name, None)


def test_dims_of_a_pca():
    assert PCA(dim=5).dims == (5, 5, 5)
    assert PCA(dim=(3, 2, 1)).dims == (3, 2, 1)
    assert PCA(dim=[3, 2, 1]) == PCA(dim=(3, 2, 1))


@pytest.mark.parametrize("dim", [0, -1, 2.0, True, None, "4", (4, 0, 4), (4, 4.0, 4)])
def test_dims_that_are_no_whole_numbers(dim):
    with pytest.raises(ValueError, match=r"PCA\(dim=\.\.\.\)"):
        PCA(dim=dim)


@pytest.mark.parametrize("dim", [(4, 4), (4, 4, 4, 4), ()])
def test_wrong_number_of_dims(dim):
    with pytest.raises(ValueError, match=rf"needs one number or three .* got {len(dim)} numbers"):
        PCA(dim=dim)


@pytest.mark.parametrize("name", ["oversample", "power_iterations", "restarts"])
@pytest.mark.parametrize("value", [0, 1.0, True, None])
def test_counts_of_a_randomized_solver_that_are_no_whole_numbers(name, value):
    with pytest.raises(ValueError, match=rf"Randomized\({name}=\.\.\.\) needs a whole number of at least 1, got"):
        Randomized(**{name: value})


@pytest.mark.parametrize("solver", [Exact, "exact", None, PCA()])
def test_solvers_of_the_wrong_kind(solver):
    with pytest.raises(TypeError, match=r"PCA\(solver=\.\.\.\).*Randomized\(\).*Exact\(\)"):
        PCA(solver=solver)


@pytest.mark.parametrize("value", [-0.1, 1, 2.0, float("nan"), "0.1", None])
@pytest.mark.parametrize(
    ("spec", "name"),
    [(PCA, "rank_cut"), (Copula, "tie_tolerance"), (BROJA, "rank_cut"), (MMI, "rank_cut"), (Randomized, "tolerance")],
)
def test_fractions_outside_their_range(spec, name, value):
    with pytest.raises(ValueError, match=rf"{spec.__name__}\({name}=\.\.\.\) needs a number in \[0, 1\), got"):
        spec(**{name: value})


@pytest.mark.parametrize(
    ("stage", "value", "wanted"),
    [
        ("reduction", Copula(), r"PCA\(\) or NoReduction\(\)"),
        ("gaussianize", None, r"RealNVP\(\) or Copula\(\) or NoGaussianization\(\) or Auto\(\).*"),
        ("bias_correction", 3, r"IndirectInference\(\) or ParametricBootstrap\(\) or NoCorrection\(\)"),
        ("covariance", "sample", r"SampleCovariance\(\) or LedoitWolf\(\) or OAS\(\)"),
        ("redundancy", BROJA, r"BROJA\(\) or MMI\(\) or .*"),
    ],
)
def test_stages_of_the_wrong_kind(stage, value, wanted):
    with pytest.raises(TypeError, match=rf"PIDSpec\({stage}=\.\.\.\) needs {wanted}, got"):
        PIDSpec(**{stage: value})


def test_description_is_plain_json_with_every_field():
    spec = PIDSpec(reduction=PCA(dim=(3, 2, 1), solver=Exact()), redundancy=MMI())
    described = spec_to_dict(spec)
    assert json.loads(json.dumps(described)) == described
    assert described == {
        "method": "PIDSpec",
        "reduction": {
            "method": "PCA",
            "dim": [3, 2, 1],
            "variance": None,
            "rank_cut": 1e-10,
            "standardize": False,
            "solver": {"method": "Exact"},
        },
        "gaussianize": {"method": "Copula", "tie_tolerance": 0.0},
        "covariance": {"method": "SampleCovariance"},
        "redundancy": {"method": "MMI", "rank_cut": 1e-13},
        "bias_correction": {"method": "IndirectInference", "draws": 100},
    }


@pytest.mark.parametrize("measure", [MMI(rank_cut=1e-9), BROJA()])
def test_measures_are_read_back_from_their_description(measure):
    assert spec_from_dict(spec_to_dict(measure)) == measure


def test_measures_that_earlier_versions_described_are_read():
    assert spec_from_dict({"method": "BROJA", "rank_cut": 1e-12, "dtype": "float64"}) == BROJA(rank_cut=1e-12)
    with pytest.warns(UserWarning, match="float32"):
        assert spec_from_dict({"method": "BROJA", "dtype": "float32"}) == BROJA()
