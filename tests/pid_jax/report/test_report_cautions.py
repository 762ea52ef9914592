"""What lowers the worth of numbers is said, conditions are in the order of readers, and universes have short names."""

import json

import numpy as np
import pytest

from pid_jax.report.data import data_block
from pid_jax.report.diagnostics import cautions, diagnostics
from pid_jax.report.page import for_page, write_report
from pid_jax.report.verdicts import claims
from tests.small_study import small_study
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted


@pytest.fixture
def results():
    return small_study().copy(deep=True)  # its variables share arrays


def test_a_sound_study_has_no_cautions(results):
    assert cautions(with_made_up_metrics(results)) == []


def test_variance_that_the_reduction_leaves_out_is_said_with_its_place(results):
    results["explained_variance_target"][0, 1, 1, 2:] = 0.4
    results["explained_variance_target"][0, 0, 2, 3] = 0.269
    results["explained_variance_2"][0, 0, 1, 0] = 0.49
    language, target = cautions(results)
    assert "In 1 of 6 combinations of model, task and condition" in language
    assert "less than half of the variance of language" in language
    assert "In 2 of 6 combinations" in target
    assert "The lowest is 26.9\u00a0%, in small, what, Image-Question cut, early, layer 3." in target
    assert "components are those of the baseline" in target
    assert "baseline" not in language
    results.attrs["reduction"] = ""
    assert "components" not in " ".join(cautions(results))
    results["explained_variance_target"][:] = np.nan
    assert len(cautions(results)) == 1


def test_few_samples_are_said(results):
    study = with_made_up_metrics(results)
    study["n_samples"][0] = [319.0, 320.0]
    (said,) = cautions(study)
    assert "1 task of a model has fewer than 10 samples for each of the 32 dimensions" in said
    assert "the fewest are 319, in small, what" in said
    study["n_samples"][0, 1] = 100.0
    assert "2 tasks of a model have" in cautions(study)[0]


def test_intervals_that_are_missing_are_counted(results):
    results["unique_1_lower"][0, 0, 1, 0, 2] = np.nan
    results["synergy_upper"][0, 0, 1, 0, 2:4] = np.nan
    assert cautions(results) == ["2 of 30 estimates have no interval."]
    results["unique_1"][0, 0, 1, 0, 3] = np.nan
    assert cautions(results) == ["1 of 29 estimates have no interval."]
    kept = [name for name in results.data_vars if not str(name).endswith(("_lower", "_upper"))]
    assert cautions(results[kept]) == ["No estimate has an interval."]


def test_cautions_are_warnings_of_the_page(results, tmp_path):
    results["explained_variance_1"][0, 0, 0, 0] = 0.1
    assert diagnostics(results)["cautions"] == cautions(results)
    text = write_report(results, tmp_path / "index.html").read_text()
    assert ">1 warning</a>" in text
    assert "less than half of the variance of vision" in text
    assert "No warnings" not in text


def test_conditions_stand_in_the_order_of_readers():
    cuts = {"2-3": (0.5, 1.0), "0-1": (0.0, 0.4), "all": (0.0, 1.0)}
    study = planted({"one": 4}, ("what",), edges=("question-last", "image-question"), cuts=cuts, replicates=2)
    found = for_page(study)
    edges = [f"{edge}@{window}" for edge in ("image-question", "question-last") for window in ("all", "0-1", "2-3")]
    assert found["condition"].values.tolist() == ["baseline", *edges]
    for name in found["condition"].values:
        assert found.sel(condition=name)["unique_1"].equals(study.sel(condition=name)["unique_1"])
    assert "replicate" not in found.dims
    bare = study.drop_vars(["edges", "window"])
    assert for_page(bare)["condition"].values.tolist() == study["condition"].values.tolist()


def test_universes_are_named_by_what_they_change(results):
    labels = json.loads(data_block(with_made_up_metrics(results)))["labels"]
    names = ["This study", "measure MMI", "dims 8+8+4", "normalizing flow", "target: AnswerLogits, dims 12+12+4"]
    assert list(labels["universe"].values())[:5] == names
    assert labels["edges"] == {"image-question": "Image-Question"}


def test_reasons_have_true_minus_signs(results):
    study = with_made_up_metrics(results)
    study["reason"][:] = "gains -0.04 (-0.05 to 0.01), with I_12 of image-question@0-2"
    row = claims(study)[0]["rows"][0]
    assert row["reason"] == "gains −0.04 (−0.05 to 0.01), with I₁₂ of image-question@0-2"


def test_what_does_not_exist_is_listed_once_for_all_tasks(results):
    results["cell"][0, :, 1] = "absent"
    results["cell"][0, 1, 2] = "absent"
    found = diagnostics(results)
    assert found["absent_count"] == 3
    whole = ["small", "every task", "Image-Question cut, all", ""]
    assert found["absent"] == [whole, ["small", "yes-no", "Image-Question cut, early", ""]]
