"""Masks and conditions of others on the page: rows, choices and effects under their own names."""

import json

import numpy as np
import pytest

from pid_jax.report.page import write_report
from pid_jax.study.metrics.add import add_metrics
from tests.browser.browsers import draw_all, open_page
from tests.study_results import planted

pytestmark = pytest.mark.slow

TICKS = "id => document.querySelector(`#chart-${id} .plot`).layout.yaxis.ticktext"
ROWS = [
    *("Image-Question cut, 0-2", "Image-Question cut, 3-5"),
    *("First-Patch cut, 0-2", "First-Patch cut, 3-5"),
    "heads off",
]


@pytest.fixture(scope="module")
def study():
    """Cuts of edges, of a mask, and one of which nothing is known but its name."""
    cuts = {"0-2": (0.0, 0.3), "3-5": (0.4, 0.7)}
    made = planted({"eight": 8}, cuts=cuts, edges=("image-question", "first-patch", "x"), replicates=50)
    made = made.isel(condition=slice(6))
    for name, last in (("edges", "heads off"), ("window", ""), ("condition_label", "heads off")):
        made = made.assign_coords({name: ("condition", [*map(str, made[name].values[:5]), last])})
    for end in ("cut_first", "cut_last"):
        made[end][:, 5] = -1
    return add_metrics(made)


@pytest.fixture(scope="module")
def page(browser, study, tmp_path_factory):
    with open_page(browser, write_report(study, tmp_path_factory.mktemp("own") / "index.html")) as opened:
        draw_all(opened)
        yield opened


def test_every_condition_has_a_row_and_a_frame_if_its_window_is_known(page):
    assert page.evaluate(TICKS, "windows") == ROWS
    frames = "document.querySelector('#chart-windows .plot').layout.shapes.filter(one => one.type === 'rect').length"
    assert page.evaluate(frames) == 4


def test_the_widest_cut_of_every_name_is_shown_first(page):
    names = (
        "[...new Set(document.querySelector('#chart-trajectories .plot').data.map(one => one.name).filter(Boolean))]"
    )
    shown = page.evaluate(names)
    assert [name.partition(" cut")[0] for name in shown] == ["Baseline", "Image-Question", "First-Patch", "heads off"]


@pytest.mark.parametrize(("choice", "rows"), [("First-Patch", ROWS[2:4]), ("heads off", ROWS[4:])])
def test_every_name_is_a_choice(page, study, choice, rows):
    select = page.locator("#chart-effects select[data-choice=edges]")
    assert select.locator("option").all_inner_texts() == ["Image-Question", "First-Patch", "heads off"]
    page.locator("#chart-effects select[data-choice=effect]").select_option(label="change of accuracy")
    select.select_option(label=choice)
    for chart in ("effects", "associations"):
        page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    page.wait_for_function(
        f"wanted => JSON.stringify(({TICKS})('effects')) === wanted", arg=json.dumps(rows, separators=(",", ":"))
    )
    x = page.evaluate("document.querySelector('#chart-effects .plot').data[0].x")
    at = {"model": "eight", "task": "ChooseAttr", "effect_name": "accuracy_change"}
    places = [place for place, label in enumerate(study["condition_label"].values) if label in rows]
    assert np.allclose(x, study["effect"].sel(at).isel(condition=places), atol=1e-6)
