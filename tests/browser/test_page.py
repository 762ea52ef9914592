"""The page in a browser: no error, no request, no overflow, light and dark, on a phone, on paper and by keyboard."""

import json

import pytest
from playwright.sync_api import expect

from pid_jax.report.page import write_report
from tests.browser.browsers import DESKTOP, PHONE, draw_all, open_page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

MOST_BYTES = 8e6
CHARTS = {
    *("information", "trajectories", "shares", "models", "tasks", "fingerprints", "distances", "windows", "effects"),
    *("associations", "universes", "spectra"),
}


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("study", ["full", "bare"])
def test_nothing_overflows_and_every_chart_is_drawn(browser, request, study, size, theme):
    with open_page(browser, request.getfixturevalue(study), size, theme) as page:
        draw_all(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("figure.chart .message").count() == 0
        drawn = page.locator("figure.chart:has(.main-svg)").evaluate_all("all => all.map(one => one.dataset.chart)")
        assert set(drawn) == (CHARTS if study == "full" else {"information", "trajectories", "shares"})
        outside = """() => [...document.querySelectorAll('main *')]
            .filter(one => !one.closest('.scroll, nav, .plot, noscript'))
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 90))"""
        assert page.evaluate(outside) == []


@pytest.mark.slow
def test_a_bare_study_says_what_it_lacks(browser, bare):
    with open_page(browser, bare) as page:
        text = page.locator("main").inner_text()
    for piece in (
        "This study holds one model",
        "Correlations between tasks were not computed",
        "Fingerprints were not computed",
        "No cut of attention was studied",
        "not examined under other choices",
        "was not divided into directions",
        "Nothing was tested",
        "No intervals were computed",
    ):
        assert piece in text
    assert "says of the claims" not in text


@pytest.mark.slow
def test_what_is_missing_is_not_offered_and_what_failed_says_why(browser, gappy):
    options = "all => all.map(one => one.textContent)"
    with open_page(browser, gappy) as page:
        draw_all(page)
        chart = page.locator("#chart-trajectories")
        chart.scroll_into_view_if_needed()
        task, model = (chart.locator(f"select[data-choice={name}]") for name in ("task", "model"))
        task.select_option(label="ChooseCat")
        reason = "eight, ChooseCat, Image-Question cut, all could not be estimated: the states were <i>lost</i>"
        expect(chart.locator(".note")).to_have_text(reason)
        task.select_option(label="LogicalObj")
        expect(chart.locator(".note")).to_contain_text("eight, LogicalObj, Baseline could not be estimated")
        model.select_option(label="six")
        assert task.locator("option").evaluate_all(options) == ["ChooseAttr", "ChooseCat"]
        assert task.input_value() == "0"
        expect(chart.locator(".note")).to_be_hidden()
        assert chart.locator("input[type=checkbox]").count() == 3
        page.locator("#chart-spectra").scroll_into_view_if_needed()
        conditions = page.locator("#chart-spectra select[data-choice=condition] option")
        assert conditions.evaluate_all(options) == ["Baseline", "Image-Question cut, all", "Image-Question cut, 0-2"]
        model.select_option(label="eight")
        page.locator("#chart-spectra select[data-choice=task]").select_option(label="LogicalObj")
        expect(page.locator("#chart-spectra .message")).to_contain_text("could not be estimated: the states were")
        warnings = page.locator("#diagnostics .warning").inner_text()
        assert "Left out: extra/: damaged" in warnings
        assert warnings.count("Not estimated: eight") == 2


@pytest.mark.slow
def test_colors_follow_the_system_and_the_button(browser, full):
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('#chart-trajectories .plot').layout.paper_bgcolor"
    with open_page(browser, full, theme="dark") as page:
        draw_all(page)
        dark = page.evaluate(paper), page.evaluate(line)
        page.get_by_role("button", name="Light colors").click()
        page.locator("#chart-trajectories").scroll_into_view_if_needed()
        page.wait_for_function(f"() => {line} === '#ffffff'")
        light = page.evaluate(paper), page.evaluate(line)
        assert light == ("rgb(255, 255, 255)", "#ffffff")
        assert dark == ("rgb(21, 24, 28)", "#15181c")
        page.get_by_role("button", name="Dark colors").click()
        assert page.evaluate(paper) == dark[0]
    with open_page(browser, full) as page:
        assert page.evaluate(paper) == light[0]


@pytest.mark.slow
def test_paper_shows_all_charts_in_light_colors_and_no_controls(browser, full):
    with open_page(browser, full, theme="dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        page.wait_for_function(f"() => document.querySelectorAll('figure.chart .main-svg').length >= {len(CHARTS)}")
        backgrounds = "[...document.querySelectorAll('.plot')].map(one => one.layout.paper_bgcolor)"
        assert page.evaluate(backgrounds) == ["#ffffff"] * len(CHARTS)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator(".controls:visible, .downloads:visible, nav:visible").count() == 0
        expect(page.locator("#chart-trajectories .print-only")).to_contain_text("Model: eight · Task: ChooseAttr")
        assert len(page.pdf(format="A4")) > 100_000
        page.emulate_media(media="screen", color_scheme="dark")
        page.locator("#chart-shares").scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelector('#chart-shares .plot').layout.paper_bgcolor === '#15181c'")


@pytest.mark.slow
def test_controls_can_be_reached_and_used_by_keyboard(browser, full):
    with open_page(browser, full) as page:
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    """() => { const one = document.activeElement; const look = getComputedStyle(one);
                    return [one.tagName, one.dataset.choice ?? one.id ?? '', look.outlineStyle] }"""
                )
            )
            if seen[-1][:2] == ["SELECT", "panels"]:
                break
        names = [name for _, name, _ in seen]
        assert seen[0][0] == "A"
        assert {"theme", "everything", "model", "task", "estimate", "unit", "axis", "panels"} <= set(names)
        assert {outline for tag, _, outline in seen if tag in ("SELECT", "BUTTON")} == {"solid"}
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.selectedOptions[0].textContent") == "one for each condition"
        title = "document.querySelector('#chart-trajectories .plot').layout?.annotations[0].text"
        page.wait_for_function(f"() => {title} === 'Baseline'")


@pytest.mark.slow
def test_every_control_has_a_name(browser, full):
    with open_page(browser, full) as page:
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('select, input, button')]
            .filter(one => !(one.labels?.length || one.getAttribute('aria-label') || one.textContent.trim())).length"""
        )
        assert nameless == 0
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
        assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_text_stands_out_in_both_themes(browser, full):
    contrast = """() => {
      const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((x) => x / 255)
        .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const paper = (one) => { for (; one; one = one.parentElement) { const c = getComputedStyle(one).backgroundColor;
        if (c !== 'rgba(0, 0, 0, 0)') return c; } };
      const ratios = [...document.querySelectorAll('main *, header *, nav *')]
        .filter((one) => !one.closest('.plot, noscript') &&
          [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) && !one.disabled)
        .map((one) => { const [a, b] = [light(getComputedStyle(one).color), light(paper(one))].sort((x, y) => y - x);
          return (a + 0.05) / (b + 0.05); });
      return Math.min(...ratios);
    }"""
    for theme in ("light", "dark"):
        with open_page(browser, full, theme=theme) as page:
            assert page.evaluate(contrast) >= 4.5


@pytest.mark.slow
def test_without_scripts_words_and_tables_are_there(browser, full, results):
    with open_page(browser, full, has_scripts=False) as page:
        text = page.locator("main").inner_text()
        assert "Charts need scripts" in text
        assert page.locator("#numbers noscript table").count() == 6
        assert page.locator("#claims tbody td[data-name=Verdict]").count() == results["verdict"].size
        assert "Download all numbers" not in page.locator("body").inner_text()


def test_names_from_users_stay_text(browser, tmp_path):
    attack = "</script><img src=x onerror=\"document.title='broken'\"><b>%{y}</b>"
    study = with_made_up_metrics(planted(models={attack: 4, "other": 3}, tasks=(attack, "b"), replicates=2))
    study = study.assign_coords(condition_label=("condition", [f"{attack} {i}" for i in range(4)]))
    study.attrs |= {
        "source_1_label": attack,
        "settings": json.dumps({attack: attack}),
        "problems": json.dumps([attack]),
    }
    with open_page(browser, write_report(study, tmp_path / "index.html")) as page:
        draw_all(page)
        assert page.title() != "broken"
        assert page.locator("img, b").count() == 0
        assert page.locator("#chart-models select").nth(1).inner_text().startswith(attack)


def test_the_page_is_small(full):
    assert full.stat().st_size < MOST_BYTES


def test_charts_are_drawn_without_scrolling(browser, full):
    with open_page(browser, full) as page:
        page.wait_for_function(
            "() => [...document.querySelectorAll('figure.chart')].filter(one => one.offsetWidth > 0)"
            ".every(one => one.querySelector('.main-svg, .message'))",
            timeout=60_000,
        )
        assert page.evaluate("scrollY") == 0
        assert page.locator("figure.chart .main-svg").count() > 10
