"""A measure that is defined outside of the package goes wherever those of the package go; what it lacks is named."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pid_jax import (
    MMI,
    BCa,
    ConditionalIndependence,
    IndirectInference,
    LedoitWolf,
    NoGaussianization,
    NoReduction,
    ParametricBootstrap,
    PIDSpec,
    bootstrap_pid,
    compare_pid,
    estimate_pid,
    gaussian_pid,
    permutation_test,
    samples_needed,
)
from pid_jax.pid.atoms import PIDAtoms, solution
from pid_jax.pid.measure import Calibration, Measure, Redundancy
from pid_jax.pid.mmi import calibrate_mmi, mmi_of
from pid_jax.pid.registry import MEASURES, register
from pid_jax.plot.catalog import planned_figures
from pid_jax.plot.trajectories import plot_measures, plot_trajectories
from pid_jax.report.page import write_report
from pid_jax.settings.estimate import spec_from_dict, spec_to_dict
from pid_jax.study.config import read_config
from pid_jax.study.full import run_full_study
from pid_jax.study.multiverse import Multiverse
from pid_jax.study.spec import StudySpec
from tests.study_stores import make_store


@dataclass(frozen=True)
class Half(Redundancy):
    """Half of MMI's redundancy."""


@dataclass(frozen=True)
class Bare(Redundancy):
    """The same, without all that a measure need not have."""


def half_of(whitened):
    whole = mmi_of(whitened)
    i_1, i_2, half = whole.information.i_1, whole.information.i_2, whole.atoms.redundancy / 2
    return solution(whole.information, i_1 - half, i_2 - half, whitened, whole.gap)


def halved(atoms, other):
    """Move half of the redundancy to the other atoms; `other` bounds the redundancy from the other side."""
    return PIDAtoms(
        redundancy=atoms.redundancy / 2,
        unique_1=atoms.unique_1 + atoms.redundancy / 2,
        unique_2=atoms.unique_2 + atoms.redundancy / 2,
        synergy=atoms.synergy - other.redundancy / 2,
    )


def calibrate_half(*arguments):
    whole = calibrate_mmi(*arguments)
    return Calibration(
        bias=halved(whole.bias, whole.bias),
        information_bias=whole.information_bias,
        lower=halved(whole.lower, whole.upper),
        upper=halved(whole.upper, whole.lower),
    )


HALF = Measure(
    settings=Half,
    name="half",
    label="Half of MMI",
    solve=half_of,
    unique=lambda information, half_log_ratios: jnp.maximum(information.i_1, information.i_2),
    calibrate=calibrate_half,
    remark="sets the redundant part to half of that of MMI.",
)
BARE = Measure(settings=Bare, name="bare", label="Bare", solve=half_of)
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=(120, 1))
ROWS = (TARGET + RNG.normal(size=(120, 1)), TARGET + 2 * RNG.normal(size=(120, 1)), TARGET)
SPEC = {"reduction": NoReduction(), "gaussianize": NoGaussianization()}


@pytest.fixture(autouse=True)
def _both_known():
    for measure in (HALF, BARE):
        register(measure)
    yield
    for measure in (HALF, BARE):
        del MEASURES[measure.name]


def specs(*measures, **others):
    return [PIDSpec(redundancy=measure, **SPEC, **others) for measure in measures]


def assert_halved(half, whole):
    for name, expected in vars(halved(whole, whole)).items():
        np.testing.assert_allclose(getattr(half, name), expected, atol=1e-12)


def test_estimates_and_replicates_are_those_of_the_measure():
    options = {"key": KEY, "resamples": 100, "level": 0.9, "interval": BCa()}
    half, whole = (bootstrap_pid(*ROWS, spec=spec, **options) for spec in specs(Half(), MMI()))
    assert_halved(half.estimate, whole.estimate)
    assert_halved(half.estimated.bias, whole.estimated.bias)
    assert_halved(half.replicates, whole.replicates)
    for one in (half.lower, half.estimated.lower):
        other = whole.lower if one is half.lower else whole.estimated.lower
        np.testing.assert_allclose(one.redundancy, other.redundancy / 2, atol=1e-12)
    alone = estimate_pid(*ROWS, spec=specs(Half())[0], key=KEY)
    assert alone.settings["redundancy"] == {"method": "Half", "rank_cut": 1e-13}
    assert spec_from_dict(spec_to_dict(Half(rank_cut=1e-9))) == Half(rank_cut=1e-9)


@pytest.mark.slow
def test_replicates_without_a_short_cut_scatter_alike():
    """Standard deviations of 400 replicates are known to 3.5 %: five times that, as both have draws of their own."""
    half, bare = (
        bootstrap_pid(*ROWS, spec=spec, key=KEY, resamples=400, level=0.9, interval=BCa())
        for spec in specs(Half(), Bare(), bias_correction=ParametricBootstrap(50))
    )
    for name, error in vars(half.standard_error).items():
        np.testing.assert_allclose(getattr(bare.standard_error, name), error, rtol=5 * 0.035 * np.sqrt(2))


@pytest.mark.parametrize("null", [None, ConditionalIndependence(1)])
def test_permutations_and_their_p_values_are_those_of_the_measure(null):
    half, whole = (
        permutation_test(*ROWS, spec=spec, key=KEY, resamples=20, null=null) for spec in specs(Bare(), MMI())
    )
    assert_halved(half.replicates, whole.replicates)
    assert half.p_value.redundancy == whole.p_value.redundancy


def test_errors_of_differences_are_those_of_the_measure():
    other = (ROWS[0] + RNG.normal(size=(120, 1)), *ROWS[1:])
    bare, whole = (
        compare_pid(ROWS, other, spec=spec, key=KEY, resamples=50)
        for spec in specs(Bare(), MMI(), bias_correction=ParametricBootstrap(50))
    )
    error = bare.standard_error.redundancy
    np.testing.assert_allclose(error, whole.standard_error.redundancy / 2, rtol=1e-9)
    # Replicates tell the bias of the redundancies to a part of the error only.
    assert abs(bare.difference.redundancy - whole.difference.redundancy / 2) < error


def test_samples_needed_without_a_calibration():
    pilot = gaussian_pid(np.cov(np.hstack(ROWS).T), (1, 1, 1), redundancy=Bare())
    found = samples_needed(pilot, width=5.0, key=KEY, simulations=10, most=20)
    assert (np.stack(jax.tree.leaves(found.width)) > 0).all()


def test_a_study_names_it(tmp_path):
    make_store(tmp_path / "b", count=60, layers=1)
    file = tmp_path / "study.toml"
    target = 'target = "final-norm"\n'
    settings = target + 'dims = [1, 1, 1]\ngaussianize = "copula"\ncompared = []\nreplicates = 50\n'
    file.write_text(f'{settings}tasks = ["a"]\nmeasures = ["half", "mmi"]\n[[models]]\nname = "m"\nstore = "b"\n')
    found = run_full_study(read_config(file))
    assert not found.problems
    results = found.targets["final-norm"].results
    half, whole = (results.sel(measure=name) for name in ("half", "mmi"))
    np.testing.assert_allclose(half.redundancy, whole.redundancy / 2, atol=1e-12)
    assert results.attrs["tested_measure"] == "half"
    one = results.isel(model=0)
    assert plot_trajectories(one, measure="half").axes
    assert "Half of MMI, baseline" in [axes.get_title() for axes in plot_measures(one).axes]
    assert {"trajectories", "measures"} <= {kind.partition("-")[0] for kind in planned_figures(results)}
    page = write_report(results, tmp_path / "page.html").read_text()
    assert "<strong>Half of MMI</strong> sets the redundant part to half of that of MMI." in page
    assert "<strong>BROJA</strong>" not in page
    assert "Certificate: not available" in page
    assert '"default_measure":"half"' in page


@pytest.mark.parametrize(
    "function",
    [
        lambda spec: estimate_pid(*ROWS, spec=spec, key=KEY),
        lambda spec: bootstrap_pid(*ROWS, spec=spec, key=KEY, resamples=200),
        lambda spec: compare_pid(ROWS, ROWS, spec=spec, key=KEY, resamples=50),
        lambda spec: StudySpec(pid=spec, measures=(spec.redundancy,)),
    ],
    ids=["estimate_pid", "bootstrap_pid", "compare_pid", "StudySpec"],
)
def test_a_measure_without_a_calibration_says_so(function):
    (spec,) = specs(Bare(), bias_correction=IndirectInference())
    with pytest.raises(ValueError, match=r"IndirectInference.*Bare.*ParametricBootstrap\(\) or NoCorrection\(\)"):
        function(spec)


def test_a_shrunk_covariance_needs_no_calibration():
    (spec,) = specs(Bare(), covariance=LedoitWolf())
    assert estimate_pid(*ROWS, spec=spec, key=KEY).bias is None


def test_measures_that_are_not_registered_are_refused():
    @dataclass(frozen=True)
    class Unknown(MMI):
        """Settings of no measure, though of a subclass of one."""

    for call in (
        lambda: gaussian_pid(np.eye(3), (1, 1, 1), redundancy=Unknown()),
        lambda: PIDSpec(redundancy=Unknown()),
        lambda: StudySpec(measures=(MMI(), Unknown())),
        lambda: Multiverse(measures=(Unknown(),)),
        lambda: spec_from_dict({"method": "Unknown"}),
    ):
        with pytest.raises(TypeError, match=r"BROJA.*MMI.*Half.*Unknown"):
            call()


@dataclass(frozen=True)
class Weighted(Redundancy):
    """Settings with a field that no function of a record would get."""

    alpha: float = 1.0


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: "bare", TypeError, "Measure"),
        (lambda: BARE, ValueError, r"'bare'.*del MEASURES\['bare'\]"),
        (lambda: replace(BARE, name="other"), ValueError, "label"),
        (lambda: replace(BARE, name="other", label="other"), ValueError, "settings"),
        (lambda: replace(BARE, name=""), TypeError, "name"),
        (lambda: replace(BARE, settings=dict), TypeError, "settings"),
        (lambda: replace(BARE, settings=Weighted), TypeError, "settings.*Weighted.*alpha.*one measure for each value"),
        (lambda: replace(BARE, solve=None), TypeError, "solve"),
    ],
)
def test_records_that_cannot_be_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        register(make())
    assert [*MEASURES] == ["broja", "mmi", "idep", "iig", "iccs", "deficiency", "half", "bare"]


@pytest.mark.parametrize("read", [float, np.asarray, lambda x: x[x > 0]])
def test_a_solve_that_cannot_be_traced_is_named(monkeypatch, read):
    def solve(whitened):
        return read(whitened.cross[0].sum(keepdims=read is not float))

    monkeypatch.setitem(MEASURES, "bare", replace(BARE, solve=solve))
    with pytest.raises(TypeError, match=r"'bare'.*solve") as caught:
        gaussian_pid(np.eye(3), (1, 1, 1), redundancy=Bare())
    assert isinstance(caught.value.__cause__, jax.errors.JAXTypeError | jax.errors.JAXIndexError)
