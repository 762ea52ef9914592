"""A page of two targets in a browser: charts follow the target, and questions are sorted."""

import pytest
from playwright.sync_api import expect

from pid_jax.report.page import write_report
from tests.browser.browsers import draw_all, open_page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted, planted_answer, planted_decision, planted_questions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    made = {"answer": planted_answer(replicates=2), "final-norm": planted(replicates=2)}
    studies = {name: with_made_up_metrics(study) for name, study in made.items()}
    path = tmp_path_factory.mktemp("both") / "index.html"
    questions = planted_questions(studies["answer"])
    return write_report(studies, path, questions=questions, decision=planted_decision(questions))


def test_charts_follow_the_target(browser, both):
    with open_page(browser, both) as page:
        draw_all(page)
        assert "about the answer" in page.locator("#chart-information").inner_text()
        assert "none for information about the answer" in page.locator("#chart-spectra").inner_text()
        page.locator("#chart-information select[data-choice=target]").select_option(index=1)
        draw_all(page)
        assert "about the state" in page.locator("#chart-information").inner_text()
        assert page.locator("figure.chart .message").count() == 0
        assert page.locator("#chart-trajectories select[data-choice=target]").evaluate("one => one.selectedIndex") == 1


def test_questions_are_sorted_by_the_head_of_a_column(browser, both):
    first = "#table-questions tbody tr:first-child td:last-child"
    with open_page(browser, both) as page:
        expect(page.locator(first)).to_have_text("70.69")  # 49 nats
        page.get_by_role("button", name="sort by Synergistic").click()
        expect(page.locator(first)).to_have_text("0.00")


def test_the_models_own_decision(browser, both):
    bars = "#chart-decision .plot .bars .point"
    with open_page(browser, both) as page:
        draw_all(page)
        assert page.locator(bars).count() == 12  # four atoms of three tasks
        assert page.locator("#chart-decision .shapelayer path").count() == 3  # their entropies
        expect(page.locator("#chart-decision .ytitle")).to_contain_text("the model's answer")
        page.locator("#chart-decision select[data-choice=decided]").select_option(index=1)
        draw_all(page)
        expect(page.locator("#chart-decision .ytitle")).to_contain_text("the gold answer")
        page.locator("#table-questions select[data-choice=questionAt]").select_option(label="the model's own decision")
        expect(page.locator("#table-questions caption")).to_contain_text("the model's own decision")
        page.get_by_role("button", name="sort by Unique: vision").click()
        vision = page.locator("#table-questions tbody tr:first-child td").nth(4)
        expect(vision).to_have_text("70.69")  # 49 nats
        page.locator("#chart-decision select[data-choice=model]").select_option(index=1)
        draw_all(page)
        expect(page.locator("#chart-decision .message")).to_contain_text("no decision of six")
