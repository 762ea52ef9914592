"""Every option of every selector, every box and every button does something."""

import csv
import io
from pathlib import Path

import pytest

from tests.browser.browsers import download, draw_all, open_page

pytestmark = pytest.mark.slow

SHOWN = """one => JSON.stringify([one.querySelector('.plot')?.data, one.querySelector('.plot')?.layout,
    one.querySelector('table')?.textContent, one.querySelector('.message')?.textContent,
    one.querySelector('#rows')?.textContent])"""


def test_every_option_of_every_selector_changes_what_is_shown(browser, full):
    with open_page(browser, full) as page:
        holders = page.locator("[data-chart], [data-table]")
        tried = 0
        for holder in holders.all():
            holder.scroll_into_view_if_needed()
            page.wait_for_timeout(50)
            for select in holder.locator("select").all():
                if not select.is_visible():
                    continue
                first = select.input_value()
                values = select.locator("option").evaluate_all("all => all.map(one => one.value)")
                for value in [*(v for v in values if v != first), first]:
                    before = holder.evaluate(SHOWN)
                    select.select_option(value)
                    assert select.input_value() == value
                    assert holder.evaluate(SHOWN) != before, (holder.get_attribute("id"), value)
                    tried += 1
        assert tried > 200


def test_a_choice_holds_everywhere(browser, full):
    with open_page(browser, full) as page:
        page.locator("#chart-trajectories select[data-choice=task]").select_option(label="LogicalObj")
        texts = (
            "[...document.querySelectorAll('select[data-choice=task]')].map(one => one.selectedOptions[0].textContent)"
        )
        assert set(page.evaluate(texts)) == {"LogicalObj"}
        page.locator("#chart-windows").scroll_into_view_if_needed()
        assert "LogicalObj" in page.locator("#table-changed caption").inner_text()


def test_boxes_add_and_remove_conditions(browser, full):
    names = (
        "[...new Set(document.querySelector('#chart-trajectories .plot').data.map(one => one.name).filter(Boolean))]"
    )
    with open_page(browser, full) as page:
        page.locator("#chart-trajectories").scroll_into_view_if_needed()
        page.locator("#chart-trajectories summary").click()
        boxes = page.locator("#chart-trajectories input[type=checkbox]")
        assert len(page.evaluate(names)) == boxes.count() == 4
        for place in range(3):
            boxes.nth(place).uncheck()
            assert len(page.evaluate(names)) == 3 - place
        assert boxes.nth(3).is_disabled()
        boxes.nth(0).check()
        assert len(page.evaluate(names)) == 2


def test_numbers_can_be_searched_and_paged(browser, full):
    with open_page(browser, full) as page:
        rows = page.locator("#rows")
        assert rows.inner_text() == "1 to 25 of 384 rows"
        page.get_by_role("button", name="Next").click()
        assert rows.inner_text() == "26 to 50 of 384 rows"
        page.get_by_role("button", name="Previous").click()
        page.get_by_label("Search in these rows").fill("six mmi logicalobj")
        assert rows.inner_text() == "1 to 25 of 28 rows"
        page.locator("#table-explorer select[data-choice=at_condition]").select_option(label="Baseline")
        assert rows.inner_text() == "1 to 7 of 7 rows"
        page.get_by_label("Search in these rows").fill("nowhere")
        assert "no numbers" in page.locator("#table-explorer .message").inner_text()


def test_every_download_holds_something(browser, full, tmp_path):
    with open_page(browser, full) as page:
        draw_all(page)
        found = []
        for button in page.locator(".downloads button, #everything").all():
            file = download(page, button, tmp_path)
            check(file)
            found.append(file.name)
        assert len(found) == len(set(found)) == page.locator(".downloads button").count() + 1


def check(file: Path) -> None:
    content = file.read_bytes()
    if file.suffix == ".png":
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5_000
    elif file.suffix == ".svg":
        assert content.startswith(b"<svg")
        assert b"<path" in content
    else:
        rows = list(csv.reader(io.StringIO(content.decode())))
        assert len(rows) > 1
        assert len({len(row) for row in rows}) == 1
        assert len(set(rows[0])) == len(rows[0])


def test_everything_holds_every_number(browser, full, results, tmp_path):
    with open_page(browser, full) as page:
        file = download(page, page.locator("#everything"), tmp_path)
    rows = list(csv.DictReader(file.open()))
    for name in ("unique_1", "difference_lower", "spectrum_2", "metric", "universe_value", "verdict"):
        own = [row["value"] for row in rows if row["variable"] == name]
        assert len(own) == int(results[name].notnull().sum())
    row = next(r for r in rows if r["variable"] == "synergy" and r["measure"] == "mmi" and r["layer"] == "3")
    where = {k: row[k] for k in ("model", "task", "condition", "measure")} | {"layer": 3}
    assert abs(float(row["value"]) - results["synergy"].sel(where).item()) < 1e-6
