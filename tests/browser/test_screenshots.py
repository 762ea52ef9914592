"""What the page looks like, against small gray pictures; `python -m tests.browser.test_screenshots` takes them again.

Fonts differ between machines, so pictures are compared by the brightness of blocks.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from pid_jax.report.page import write_report
from tests.browser.browsers import ARGUMENTS, DESKTOP, PHONE, find_browser, open_page
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "screenshots"
WIDTH = 160
# Of 255: text that is a little longer or bolder changes a block by less, a chart that is missing by more.
BLOCK, LARGEST_MEAN, LARGEST_BLOCK = 20, 8.0, 70.0
VIEWS = {
    "desktop": (DESKTOP, "light"),
    "dark": (DESKTOP, "dark"),
    "phone": (PHONE, "light"),
    "phone_dark": (PHONE, "dark"),
    "print": (DESKTOP, "dark"),
}
PLACES = {
    "top": "body",
    "trajectories": "#chart-trajectories .plot",
    "windows": "#chart-windows .plot",
    "shares": "#chart-shares .plot",
}


def take(page: Page, view: str, place: str) -> Image.Image:
    """Take a small gray picture of the window's first screen, or of one chart."""
    if view == "print":
        page.emulate_media(media="print", color_scheme="dark")
    if place == "top":
        page.evaluate("scrollTo(0, 0)")
        content = page.screenshot()
    else:
        chart = page.locator(PLACES[place])
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
        content = chart.screenshot()
    picture = Image.open(io.BytesIO(content)).convert("L")
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.BOX)


def differences(one: Image.Image, other: Image.Image) -> np.ndarray:
    """Compare the mean brightness of blocks; the shorter picture decides how far down."""
    height = min(one.height, other.height) // BLOCK * BLOCK
    blocks = [
        np.asarray(p, dtype=float)[:height].reshape(height // BLOCK, BLOCK, WIDTH // BLOCK, BLOCK).mean((1, 3))
        for p in (one, other)
    ]
    return np.abs(blocks[0] - blocks[1])


@pytest.fixture(scope="module", params=VIEWS)
def view(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def page(browser, full, view):
    with open_page(browser, full, *VIEWS[view]) as opened:
        yield opened


@pytest.mark.parametrize("place", PLACES)
def test_the_page_looks_as_it_did(page, view, place):
    found = take(page, view, place)
    kept = Image.open(FOLDER / f"{view}_{place}.png")
    apart = differences(found, kept)
    assert abs(found.height - kept.height) <= 0.1 * kept.height
    assert apart.mean() < LARGEST_MEAN
    assert apart.max() < LARGEST_BLOCK


@pytest.mark.parametrize("place", PLACES)
def test_themes_are_told_apart(place):
    light, dark = (Image.open(FOLDER / f"{view}_{place}.png") for view in ("desktop", "dark"))
    assert differences(light, dark).mean() > 5 * LARGEST_MEAN


def test_a_missing_chart_is_noticed():
    kept = Image.open(FOLDER / "desktop_shares.png")
    empty = Image.new("L", kept.size, 255)
    assert differences(kept, empty).max() > LARGEST_BLOCK


def _take_all(browser: Browser, file: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    for view in VIEWS:
        with open_page(browser, file, *VIEWS[view]) as page:
            for place in PLACES:
                take(page, view, place).save(FOLDER / f"{view}_{place}.png", optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=find_browser(playwright), args=list(ARGUMENTS))
        _take_all(started, write_report(with_made_up_metrics(planted(replicates=4)), Path(folder) / "index.html"))
        started.close()
