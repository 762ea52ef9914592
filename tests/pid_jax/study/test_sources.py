"""What a study says of vision and language is said of the source that is it, whichever comes first, or not at all."""

import re

import numpy as np
import pytest
import xarray as xr

from pid_jax.plot.catalog import planned_figures
from pid_jax.plot.verdicts import plot_verdicts
from pid_jax.report.page import write_report
from pid_jax.study.metrics.add import add_metrics
from pid_jax.study.metrics.claims import NOT_TESTABLE, SUPPORTED, Claim, Finding, Judged
from pid_jax.study.metrics.sources import LANGUAGE, VISION, Sources
from pid_jax.study.metrics.verdicts import CLAIMS
from pid_jax.study.spec import StudySpec
from tests.study_results import planted

SIX = ("a", "b", "c", "d", "e", "f")
NEITHER = ("synergy_small", "variants_agree")
SWAPPED = {"unique_1": "unique_2", "i_1": "i_2", "explained_variance_1": "explained_variance_2"}
SWAPPED |= {"reduction_angle_1": "reduction_angle_2", "spectrum_1": "spectrum_2", "source_1": "source_2"}
SWAPPED |= {"gain_1": "gain_2", "dims_1": "dims_2"}
SWAPPED |= {other: name for name, other in SWAPPED.items()}


def renamed(name: str) -> str:
    """Write a variable, or a label, as it is called where the sources have changed places."""
    names = "|".join(sorted(SWAPPED, key=len, reverse=True))
    return re.sub(rf"({names})(?!\d)", lambda found: SWAPPED[found.group()], name)


def swap(results: xr.Dataset) -> xr.Dataset:
    """Make the same study with source_1 and source_2 in each other's place."""
    turned = results.rename({name: f"new {renamed(str(name))}" for name in results.data_vars})
    turned = turned.rename({name: str(name).removeprefix("new ") for name in turned.data_vars})
    for dim in ("quantity", "source"):
        labels = [renamed(str(label)) for label in turned[dim].values]
        turned = turned.assign_coords({dim: labels}).sel({dim: results[dim].values})
    first, second = results.attrs["source_1_label"], results.attrs["source_2_label"]
    return turned.assign_attrs(source_1_label=second, source_2_label=first)


def called(results: xr.Dataset, first: str, second: str) -> xr.Dataset:
    return results.assign_attrs(source_1_label=first, source_2_label=second)


@pytest.fixture(scope="module")
def study() -> xr.Dataset:
    return planted(tasks=SIX)


@pytest.fixture(scope="module")
def judged(study) -> xr.Dataset:
    return add_metrics(study)


def test_labels_come_from_roles():
    assert StudySpec(source_1_role="question", source_2_role="image").labels == (LANGUAGE, VISION, "target")
    assert StudySpec(source_1_role="last").labels == ("last", LANGUAGE, "target")


def test_swapping_twice_changes_nothing(study):
    xr.testing.assert_identical(swap(swap(study)), study)
    np.testing.assert_array_equal(swap(study)["unique_2"], study["unique_1"])


def test_swapped_sources_give_the_same_verdicts(study, judged):
    swapped = add_metrics(swap(study))
    assert judged["verdict"].sel(claim="vision_early").values.tolist() == [SUPPORTED] * 2
    for name in ("verdict", "claim_text"):
        np.testing.assert_array_equal(swapped[name], judged[name])
    # Null systems are other random ones.
    reasons = [[re.sub(r"percentile.*", "", str(x)) for x in one["reason"].values.ravel()] for one in (swapped, judged)]
    assert reasons[0] == reasons[1]
    names = ("metric", "overall_metric", "effect", "overall_effect", "association", "claim_value")
    for name in [f"{name}{end}" for name in names for end in ("", "_lower", "_upper") if f"{name}{end}" in judged]:
        np.testing.assert_allclose(swapped[name], judged[name], atol=1e-9, err_msg=name)
    assert swapped["metric_name"].values.tolist() == judged["metric_name"].values.tolist()
    turned = [list(swapped["share"].values).index(renamed(str(one))) for one in judged["share"].values]
    np.testing.assert_allclose(swapped["layer_share"].isel(share=turned), judged["layer_share"], atol=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [
        (VISION, "last", {VISION}),
        ("last", VISION, {VISION}),
        (LANGUAGE, "last", {LANGUAGE}),
        ("last", LANGUAGE, {LANGUAGE}),
        ("suffix", "last", set()),
        (VISION, VISION, set()),
    ],
)
def test_nothing_is_said_of_what_no_source_is(study, judged, first, second, known):
    found = add_metrics(called(study, first, second))
    for name, claim in CLAIMS.items():
        verdicts, reasons = (found[kind].sel(claim=name).values.tolist() for kind in ("verdict", "reason"))
        if claim.about and claim.about not in known:
            assert verdicts == [NOT_TESTABLE] * 2
            assert all(claim.about in reason and first in reason and second in reason for reason in reasons)
            assert np.isnan(found["claim_value"].sel(claim=name)).all()
        elif name in NEITHER:
            assert verdicts == judged["verdict"].sel(claim=name).values.tolist()
    names = [*found["metric_name"].values, *found["metric_label"].values, *found["property"].values]
    names += [*found["effect_name"].values, *found["effect_label"].values]
    for modality in {VISION, LANGUAGE} - known:
        assert not [name for name in names if modality in str(name)]
    assert np.isfinite(found["metric"].sel(metric_name="synergy_share_last")).all()


@pytest.mark.slow
def test_figures_show_what_is_left(study):
    for figure in planned_figures(add_metrics(called(study, "suffix", "last"))).values():
        figure.build()


def test_the_source_that_is_vision_decides(study):
    """Vision is what decays; with its place taken by language, the same numbers refute the claim."""
    assert add_metrics(called(study, "last", VISION))["verdict"].sel(claim="vision_early").values[0] != SUPPORTED
    assert add_metrics(called(swap(study), "last", VISION))["verdict"].sel(claim="vision_early").values[0] == SUPPORTED


def test_studies_without_labels_have_no_vision(study):
    bare = study.assign_attrs({})
    del bare.attrs["source_1_label"], bare.attrs["source_2_label"]
    assert Sources.of(bare).labels == ("source 1", "source 2")
    assert add_metrics(bare)["verdict"].sel(claim="vision_early").values.tolist() == [NOT_TESTABLE] * 2


def test_every_claim_carries_its_judge(study, judged, monkeypatch):
    """Another order of the claims moves verdicts with their texts."""
    turned = dict(reversed(CLAIMS.items()))
    monkeypatch.setattr("pid_jax.study.metrics.verdicts.CLAIMS", turned)
    found = add_metrics(study)
    assert found["claim"].values.tolist() == list(turned)
    for name in CLAIMS:
        for kind in ("verdict", "reason", "claim_text", "criterion"):
            np.testing.assert_array_equal(found[kind].sel(claim=name), judged[kind].sel(claim=name))


def test_a_made_up_claim_is_one_record(monkeypatch, tmp_path):
    def judge(results, model):
        return Judged(findings=[Finding(name="the value", value=1.0, lower=0.5, upper=1.5, least=0.0)])

    made_up = {
        "free": ({}, SUPPORTED, "value is 1"),
        "met": ({"about": LANGUAGE, "edges": "image-question", "compares_models": True}, SUPPORTED, "value is 1"),
        "no_sound": ({"about": "sound"}, NOT_TESTABLE, "sound"),
        "no_cut": ({"edges": "image-last"}, NOT_TESTABLE, "image-last"),
    }
    for name, (needs, *_) in made_up.items():
        claim = Claim(text=f"Made up: {name}.", criterion="Above zero.", judge=judge, **needs)
        monkeypatch.setitem(CLAIMS, name, claim)
    found = add_metrics(planted(replicates=20))
    for name, (_, verdict, named) in made_up.items():
        one = found.sel(claim=name)
        assert one["verdict"].values.tolist() == [verdict] * 2
        assert all(named in reason for reason in one["reason"].values)
    plot_verdicts(found)
    assert "Made up: no_cut." in write_report(found, tmp_path / "page.html").read_text()


def test_properties_need_smooth_metrics(study, monkeypatch):
    monkeypatch.setattr("pid_jax.study.metrics.association.PROPERTIES", {"depth": "peak_depth"})
    with pytest.raises(TypeError, match=r"PROPERTIES.*depth"):
        add_metrics(study)
