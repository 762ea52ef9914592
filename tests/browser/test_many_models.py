"""A page of many models: marks instead of sentences, rows instead of lines, and boxes to search in."""

import numpy as np
import pytest
import xarray as xr
from playwright.sync_api import expect

from pid_jax.plot.quantities import MOST_MODELS
from pid_jax.report.page import write_report
from tests.browser.browsers import PHONE, draw_all, open_page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

MODELS = {f"llava-{'abcdefghijklmnopqrstuvwxyz'[i]}": 4 + i % 3 for i in range(26)}
TASKS = ("ChooseAttr", "ChooseCat")
TALLEST = 30_000  # pixels; the page of six tasks and twelve conditions has 25,500

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def many() -> xr.Dataset:
    return with_made_up_metrics(planted(MODELS, TASKS, replicates=2))


@pytest.fixture(scope="module")
def file(many, tmp_path_factory):
    return write_report(many, tmp_path_factory.mktemp("many") / "index.html")


@pytest.fixture(scope="module")
def page(browser, file):
    with open_page(browser, file) as opened:
        draw_all(opened)
        yield opened


def data_of(page, chart: str) -> list[dict]:
    return page.evaluate(f"document.querySelector('#chart-{chart} .plot').data")


def choose(page, chart: str, key: str, label: str) -> list[dict]:
    """Choose an option of a chart, and return the data of the chart when it has been drawn again."""
    page.evaluate(f"document.querySelector('#chart-{chart} .plot').data.isOld = true")
    page.locator(f"#chart-{chart} select[data-choice={key}]").select_option(label=label)
    page.wait_for_function(f"() => !document.querySelector('#chart-{chart} .plot').data.isOld")
    return data_of(page, chart)


def test_every_verdict_is_a_mark(page, many):
    cells = page.locator("#summary .marks tbody tr").evaluate_all(
        "all => all.map(row => [...row.querySelectorAll('td')].map(one => one.innerText.trim()))"
    )
    of = {"supported": "✓", "contradicted": "✗", "not testable here": "○"}
    wanted = many["verdict"].transpose("claim", "model").values
    assert cells == [[of[str(one)] for one in row] for row in wanted]
    assert page.locator("#claims > details:has(.verdicts)").count() == many.sizes["claim"]


def test_what_is_said_of_each_model_is_folded(page, many):
    assert page.evaluate("document.body.scrollHeight") < TALLEST
    page.get_by_text("26 models in words").click()
    own = page.locator("#summary details details")
    assert own.count() == len(MODELS)
    own.last.locator("summary").click()
    assert "unique to vision" in own.last.inner_text()


def test_trajectories_of_models_are_rows(page, many):
    (panel, *_) = data_of(page, "models")
    deepest = 1 + max(MODELS.values())
    assert np.shape(panel["z"]) == (len(MODELS), deepest)
    deep = [i for i, blocks in enumerate(MODELS.values()) if 1 + blocks == deepest]
    vision = many["unique_1"].sel(measure="broja").isel(task=0, condition=0, model=deep).values / np.log(2)
    assert np.allclose(np.array(panel["z"], float)[deep], vision, rtol=1e-5)
    # A shallow model shows its nearest layer at each depth.
    shallow = many["unique_1"].sel(measure="broja").isel(task=0, condition=0, model=0).values / np.log(2)
    at = [int(np.floor(4 * i / (deepest - 1) + 0.5)) for i in range(deepest)]
    assert np.allclose(np.array(panel["z"], float)[0], shallow[at], rtol=1e-5)
    lines = choose(page, "models", "modelsAs", "lines")
    assert len([one for one in lines if one.get("name")]) == 4 * len(MODELS)


def test_correlations_of_models_are_a_matrix(page, many):
    (heat,) = choose(page, "model-matrix", "task", "ChooseCat")
    own = many["model_correlation"].sel(task="ChooseCat", atom="all").transpose("model", "model_2").values
    assert np.allclose(np.array(heat["z"], float), own, rtol=1e-5, equal_nan=True)
    assert page.locator("#table-model-correlation").count() == 0


def test_fingerprints_and_choices_are_those_of_one_task_or_model(page, many):
    bars = data_of(page, "fingerprints")
    assert all(len(bar["y"]) == len(MODELS) for bar in bars)
    assert np.shape(data_of(page, "distances")[0]["z"]) == (len(MODELS), len(MODELS))
    assert len([one for one in data_of(page, "universes") if one.get("name")]) == 1


def test_a_model_is_found_by_a_part_of_its_name(page):
    chart = page.locator("#chart-trajectories")
    chart.get_by_label("Find: Model").fill("-k")
    select = chart.locator("select[data-choice=model]")
    assert select.locator("option").all_inner_texts() == ["llava-a", "llava-k"]  # the chosen one stays
    select.select_option(label="llava-k")
    assert (
        page.locator("#table-metrics select[data-choice=model]").evaluate("one => one.selectedOptions[0].textContent")
        == "llava-k"
    )
    chart.get_by_label("Find: Model").fill("")
    assert select.locator("option").count() == len(MODELS)


def test_long_tables_can_be_searched(page):
    box = page.locator("#tasks details").first
    box.locator("summary").click()
    box.get_by_label("Search in 52 rows").fill("llava-C choosecat")
    rows = box.locator("tbody tr:visible")
    expect(rows).to_have_count(1)
    assert rows.inner_text().split()[:2] == ["llava-c", "ChooseCat"]


def test_nothing_overflows_on_a_phone(browser, file):
    with open_page(browser, file, PHONE) as small:
        draw_all(small)
        assert small.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_few_models_stay_in_words(browser, tmp_path):
    some = dict(list(MODELS.items())[:MOST_MODELS])
    few = with_made_up_metrics(planted(some, TASKS, replicates=2))
    with open_page(browser, write_report(few, tmp_path / "index.html")) as opened:
        assert opened.locator("#summary .marks, #chart-model-matrix").count() == 0
        assert opened.locator("#summary h3").count() == 1 + MOST_MODELS
