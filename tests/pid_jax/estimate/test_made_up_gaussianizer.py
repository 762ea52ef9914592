"""A Gaussianizer that only its record knows goes the whole way: estimate, inference, study, figure, page, commands."""

import re
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
import typer

from pid_jax.cli.options import known_gaussianizer
from pid_jax.estimate.by_ranks import normal_scores
from pid_jax.estimate.gaussianize import GAUSSIANIZERS, label_of, record_of, register
from pid_jax.estimate.gaussianizer import FitOptions, GaussianizerRecord, Latents
from pid_jax.estimate.samples import estimate_pid
from pid_jax.inference.bootstrap import bootstrap_pid
from pid_jax.inference.comparison import compare_pid
from pid_jax.inference.permutation import permutation_test
from pid_jax.plot.trajectories import plot_gaussianizers
from pid_jax.report.page import write_report
from pid_jax.runtime.arrays import side_by_side
from pid_jax.settings.estimate import NoReduction, PIDSpec
from pid_jax.settings.gaussianize import Copula, Gaussianizer, NoGaussianization
from pid_jax.settings.inference import ConditionalIndependence
from pid_jax.study.config import read_config
from pid_jax.study.full import run_full_study
from pid_jax.study.multiverse import Multiverse
from pid_jax.study.results import one_model
from pid_jax.study.spec import StudySpec
from tests.study_stores import make_store

N = 150


@dataclass(frozen=True)
class Bent(Gaussianizer):
    """Bend every coordinate by an inverse hyperbolic sine.

    Attributes:
        unit: Size of a coordinate from which on it is bent.
    """

    unit: float = 1.0


def bend(reduced, settings: Bent, _: FitOptions) -> Latents:
    return Latents.of(settings, side_by_side([np.arcsinh(np.asarray(one.scores) / settings.unit) for one in reduced]))


RECORD = GaussianizerRecord(name="bent", label="inverse sine", default=Bent(), fit=bend)
RAW = PIDSpec(NoReduction(), NoGaussianization())


@pytest.fixture
def spec():
    register(RECORD)
    yield PIDSpec(NoReduction(), Bent())
    del GAUSSIANIZERS[RECORD.name]


@pytest.fixture(scope="module")
def samples() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(N, 1))
    return [np.sinh(x) for x in (target + rng.normal(size=(N, 1)), target - rng.normal(size=(N, 1)), target)]


def check_equal(found, wanted) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_array_equal(one, other)


def test_corrected_estimates_are_those_of_the_bent_samples(samples, spec, key):
    found = estimate_pid(*samples, spec=spec, key=key)
    plain = estimate_pid(*(np.arcsinh(x) for x in samples), spec=RAW, key=key)
    for name in ("atoms", "information", "bias", "lower", "upper", "cov"):
        check_equal(getattr(found, name), getattr(plain, name))
    assert found.gaussianizer == "Bent"
    assert found.settings["gaussianize"] == {"method": "Bent", "unit": 1.0}
    assert found.bias is not None
    assert np.all(found.bias.synergy != 0)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda *x, **more: bootstrap_pid(*x, resamples=200, **more), ("standard_error", "lower", "upper")),
        (lambda *x, **more: permutation_test(*x, resamples=50, **more), ("p_value", "replicates")),
        (
            lambda *x, **more: permutation_test(*x, resamples=50, null=ConditionalIndependence(1), **more),
            ("p_value", "replicates"),
        ),
        (
            lambda *x, **more: compare_pid(x, (x[1], x[0], x[2]), resamples=50, **more),
            ("difference", "lower", "upper", "p_value"),
        ),
    ],
    ids=["bootstrap_pid", "permutation_test", "conditional", "compare_pid"],
)
def test_inference_is_that_of_the_bent_samples(samples, spec, key, function, names):
    found = function(*samples, spec=spec, key=key)
    plain = function(*(np.arcsinh(x) for x in samples), spec=RAW, key=key)
    for name in names:
        check_equal(getattr(found, name), getattr(plain, name))


def test_a_record_of_ranks_gets_what_the_copula_gets(samples, spec, key, monkeypatch):
    """The noise of ranks is taken off covariances where the record says so, and nowhere else."""

    def rank(reduced, settings: Bent, _: FitOptions) -> Latents:
        return Latents.of(settings, normal_scores(reduced, Copula()))

    copula = estimate_pid(*samples, spec=PIDSpec(NoReduction(), Copula()), key=key)
    for is_ranked in (True, False):
        record = replace(RECORD, fit=rank, is_ranked=is_ranked)
        monkeypatch.setitem(GAUSSIANIZERS, RECORD.name, record)
        found = estimate_pid(*samples, spec=spec, key=key)
        assert np.array_equal(found.cov, copula.cov) == is_ranked
        assert (found.atoms.synergy == copula.atoms.synergy) == is_ranked


@dataclass(frozen=True)
class Copied(Copula):
    """Settings without a record, though of a subclass of some that have one."""


@pytest.mark.parametrize("settings", [Bent(), Copied()])
@pytest.mark.parametrize(
    ("name", "construct"),
    [
        ("PIDSpec(gaussianize", lambda one: PIDSpec(gaussianize=one)),
        ("StudySpec(compared", lambda one: StudySpec(compared=(one,))),
        ("Multiverse(gaussianizers", lambda one: Multiverse(gaussianizers=(one,))),
        ("gaussianize", record_of),
    ],
)
def test_settings_without_a_record_are_refused_where_they_are_chosen(settings, name, construct):
    with pytest.raises(
        TypeError, match=rf"{re.escape(name)}.*Copula\(\).*{type(settings).__name__}.*register"
    ) as caught:
        construct(settings)
    assert "Copied()" not in str(caught.value).partition(", got ")[0]


@dataclass
class Thawed(Gaussianizer):
    """Settings that may change, and so have no hash."""


@pytest.mark.usefixtures("spec")
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: "bent", TypeError, "GaussianizerRecord"),
        (lambda: RECORD, ValueError, r"'bent'.*del GAUSSIANIZERS\['bent'\]"),
        (lambda: replace(RECORD, name="other"), ValueError, "label"),
        (lambda: replace(RECORD, name="other", label="other"), ValueError, "settings"),
        (lambda: replace(RECORD, name="", default=Copied()), TypeError, "name"),
        (lambda: replace(RECORD, default=Thawed()), TypeError, "default"),
        (lambda: replace(RECORD, default=Bent), TypeError, "default"),
        (lambda: replace(RECORD, fit=None), TypeError, "fit"),
    ],
)
def test_records_that_cannot_be_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        register(make())
    assert [*GAUSSIANIZERS] == ["flow", "copula", "nothing", "auto", "bent"]


def test_commands_and_labels_of_what_has_no_record():
    with pytest.raises(typer.BadParameter, match=r"'bent' .*'copula'"):
        known_gaussianizer("bent")
    assert label_of("Bent") == "Bent"
    assert record_of(Copula()).method == "Copula"


@pytest.mark.slow
@pytest.mark.usefixtures("spec")
def test_a_study_names_it_in_its_file_figures_and_page(tmp_path):
    make_store(tmp_path / "b")
    (tmp_path / "study.toml").write_text(
        'dims = [2, 2, 1]\ngaussianize = "bent"\ncompared = ["nothing"]\nmeasures = ["mmi"]\n'
        'replicates = 50\ntarget = "final-norm"\ntasks = ["a"]\n[[models]]\nname = "m"\nstore = "b"\n'
        '[multiverse]\ngaussianize = ["nothing", "bent"]\n'
    )
    config = read_config(tmp_path / "study.toml")
    assert config.spec.pid.gaussianize == Bent()
    assert config.multiverse is not None
    assert config.multiverse.gaussianizers == (NoGaussianization(), Bent())
    found = run_full_study(config, cells=tmp_path / "cells")
    assert not found.problems
    results = found.targets["final-norm"].results
    assert set(results["gaussianized_by"].values.astype(str).ravel()) == {"Bent"}
    assert results["gaussianizer"].values.tolist() == ["Bent", "NoGaussianization"]
    assert results.attrs["estimator"] == "Bent"
    figure = plot_gaussianizers(one_model(results, "m"))
    assert "inverse sine" in {text.get_text() for axis in figure.axes for text in [axis.title, *axis.texts]}
    page = write_report(results, tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("inverse sine") >= 2
    assert "here: inverse sine, no map." in page
    assert known_gaussianizer("bent") == "bent"
