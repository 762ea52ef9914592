"""Claims under several measures on the page: a count in the table of claims, and all values below it."""

import numpy as np
import pytest

from pid_jax.report.by_measure import agreement, measure_tables
from pid_jax.report.page import write_report
from pid_jax.report.verdicts import claims
from tests.study_metrics import COMPARED, with_made_up_metrics
from tests.study_results import planted, planted_answer


@pytest.fixture
def study():
    made = with_made_up_metrics(planted(replicates=2))
    made["by_measure_holds"][0, 0], made["by_measure_value"][0, 0] = [1, 0, -1, 1, 1], [0.5, 0.25, np.nan, 0.75, 1]
    made["by_measure_count"][0, 0], made["by_measure_total"][0, 0] = 3, 4
    made["by_measure_total"][:, 1] = 0
    return made


def test_rows_of_claims_say_under_how_many_measures_they_hold(study):
    found = claims(study)
    assert found[0]["rows"][0]["measures"] == "3 of 4"
    assert [row["measures"] for row in found[1]["rows"]] == ["", ""]
    assert agreement(with_made_up_metrics(planted_answer(replicates=2)).isel(model=0, claim=0)) == ""


def test_tables_hold_the_values_of_claims_that_have_any(study):
    (table,) = measure_tables(with_made_up_metrics(planted_answer(replicates=2)), study)
    assert len(table["measures"]) == len(COMPARED)
    assert len(table["rows"]) == (study.sizes["claim"] - 1) * study.sizes["model"]
    first = table["rows"][0]
    assert first["texts"][:3] == ["✓\u00a00.500", "✗\u00a00.250", "○\u00a0–"]
    assert first["agreement"] == "3 of 4"


def test_the_page_holds_the_table_without_the_atoms(study, tmp_path):
    text = write_report(study, tmp_path / "index.html").read_text(encoding="utf-8")
    assert "The claims under 5 measures" in text
    assert "3 of 4" in text
    assert "by_measure_synergy" not in text
    plain = study.drop_dims("compared_measure").drop_vars(["by_measure_count", "by_measure_total"])
    assert "<summary>The claims under" not in write_report(plain, tmp_path / "plain.html").read_text(encoding="utf-8")
