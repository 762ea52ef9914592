"""Where a browser is, how it is started, and pages that fail at the first error or request."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, Playwright, TimeoutError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
DESKTOP, PHONE = (1280, 900), (390, 844)
_INSIDE = ("file:", "data:", "blob:", "about:")


def find_browser(playwright: Playwright) -> str | None:
    """Return the path of an installed Chromium, or None."""
    paths = [path for name in NAMES if (path := shutil.which(name))]
    own = playwright.chromium.executable_path
    return next(iter([*paths, *([own] if own and Path(own).exists() else [])]), None)


@contextmanager
def open_page(
    browser: Browser, file: Path, size: tuple[int, int] = DESKTOP, theme: str = "light", has_scripts: bool = True
) -> Iterator[Page]:
    """Open a file and wait until its charts can be drawn; at the end, fail if it asked for anything or complained."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        java_script_enabled=has_scripts,
        reduced_motion="reduce",
    )
    complaints: list[str] = []
    context.route("**/*", lambda route: route.continue_() if route.request.url.startswith(_INSIDE) else route.abort())
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("request", lambda r: None if r.url.startswith(_INSIDE) else complaints.append(f"request: {r.url[:200]}"))
    page.goto(file.as_uri())
    if has_scripts:
        page.wait_for_selector("html[data-ready=ready]", state="attached")
    yield page
    context.close()
    assert not complaints, complaints


def download(page: Page, button: Locator, folder: Path) -> Path:
    """Click a button and keep the file that it saves.

    Chromium now and then takes a download that follows another at once for one that nobody asked for, and drops it:
    then the button is clicked again.
    """
    for milliseconds in (3_000, 30_000):
        try:
            with page.expect_download(timeout=milliseconds) as waiting:
                button.click()
        except TimeoutError:
            continue
        file = folder / waiting.value.suggested_filename
        waiting.value.save_as(file)
        return file
    raise AssertionError(f"nothing was saved by {button}")


def draw_all(page: Page) -> None:
    """Bring every chart near the window once, so that all are drawn."""
    for place in range(page.locator("figure.chart").count()):
        page.locator("figure.chart").nth(place).scroll_into_view_if_needed()
        page.wait_for_function(
            "i => document.querySelectorAll('figure.chart')[i].querySelector('.main-svg, .message')", arg=place
        )
