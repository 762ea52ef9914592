"""A page of many cuts, tasks and long names: what is shown first, and what fits."""

import numpy as np
import pytest
from playwright.sync_api import expect

from pid_jax.report.page import write_report
from tests.browser.browsers import PHONE, draw_all, open_page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

pytestmark = pytest.mark.slow

CUTS = {"0-1": (0.0, 0.15), "0-2": (0.0, 0.3), "4-7": (0.55, 1.0), "all": (0.0, 1.0)}
EDGES = ("image-last", "image-question", "question-last")
TASKS = ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr")


@pytest.fixture(scope="module")
def study():
    made = planted(tasks=TASKS, cuts=CUTS, edges=EDGES, replicates=2)
    made["added_family_wise"][:, :, 1:] = np.nan
    made["unique_1_lower"][0, 0, 0, 0, :2] = [-1.11022e-15, 2e-13]
    made["unique_1"][0, 0, 0, 0, 2] = -3.25e-7
    return with_made_up_metrics(made)


@pytest.fixture(scope="module")
def page(browser, study, tmp_path_factory):
    with open_page(browser, write_report(study, tmp_path_factory.mktemp("whole") / "index.html")) as opened:
        draw_all(opened)
        yield opened


def test_the_widest_cut_of_each_kind_is_shown_first(page):
    names = "[...document.querySelector('#chart-trajectories .plot').data.map(one => one.name).filter(Boolean)]"
    cuts = [f"{edge} cut, all" for edge in ("Image-Question", "Image-Last", "Question-Last")]
    assert list(dict.fromkeys(page.evaluate(names))) == ["Baseline", *cuts]


def test_tables_fit_a_desktop(page, study):
    page.locator("#claims details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    boxes = """[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth + 1)
        .map(one => one.getAttribute('aria-label'))"""
    assert page.evaluate(boxes) == []
    assert page.locator("#table-verdicts thead th").count() == 1 + study.sizes["claim"]
    assert page.locator("#table-verdicts tbody th").first.inner_text() == "This study"
    columns = page.locator("#table-model-correlation thead th").all_inner_texts()
    assert columns[2:] == ["All atoms", "Redundant", "Unique: vision", "Unique: language", "Synergistic"]


def test_boxes_that_scroll_can_be_reached_by_keyboard(browser, study, tmp_path):
    with open_page(browser, write_report(study, tmp_path / "index.html"), PHONE) as small:
        out = "[...document.querySelectorAll('.scroll')].filter(one => one.tabIndex !== 0 || !one.ariaLabel).length"
        assert small.evaluate(out) == 0
        assert small.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_only_what_was_tested_is_listed(page):
    rows = page.locator("#table-added tbody th").all_inner_texts()
    assert rows == ["Baseline"]


def test_cuts_are_grouped_and_effects_are_of_one_kind(page, study):
    ticks = "id => document.querySelector(`#chart-${id} .plot`).layout.yaxis.ticktext"
    rows = page.evaluate(ticks, "windows")
    windows = ("all", "0-1", "0-2", "4-7")
    assert rows == [f"{edge} cut, {w}" for edge in ("Image-Question", "Image-Last", "Question-Last") for w in windows]
    z = page.evaluate("document.querySelector('#chart-windows .plot').data[0].z.map((row) => [...row])")
    first = study["difference"].sel(
        model="eight", task="ChooseAttr", quantity="unique_1", condition="image-question@all"
    )
    assert np.allclose(z[0], first.values / np.log(2), atol=1e-5)
    assert page.evaluate(ticks, "effects") == rows[:4]
    page.locator("#chart-effects select[data-choice=edges]").select_option(label="Image-Last")
    page.locator("#chart-effects").scroll_into_view_if_needed()
    page.wait_for_function(f"() => ({ticks})('effects')[0].startsWith('Image-Last')")
    x = page.evaluate("document.querySelector('#chart-effects .plot').data[0].x")
    wanted = study["effect"].sel(
        model="eight",
        task="ChooseAttr",
        effect_name="trapped_vision",
        condition=[f"image-last@{w}" for w in windows],
    )
    assert x == pytest.approx((wanted / np.log(2)).values, rel=1e-5)


def test_minus_signs_are_of_one_kind_and_rounding_is_zero(page):
    texts = page.locator("#table-explorer tbody tr").evaluate_all(
        "all => all.slice(0, 3).map(r => [...r.cells].slice(5).map(c => c.textContent))"
    )
    assert [row[1] for row in texts[:2]] == ["0", "0"]
    assert texts[2][0] == "−3.25e−7"
    page.get_by_label("Search in these rows").fill("-3.25e-7")
    expect(page.locator("#rows")).to_have_text("1 to 1 of 1 rows")


def test_names_without_spaces_break(browser, tmp_path):
    long = "name" * 40
    made = with_made_up_metrics(planted({long: 4, "b": 3}, (f"task {long}", "t"), replicates=2))
    made = made.assign_coords(condition_label=("condition", [f"{long} {i}" for i in range(4)]))
    with open_page(browser, write_report(made, tmp_path / "index.html")) as opened:
        draw_all(opened)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
