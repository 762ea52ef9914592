"""The documentation site builds without a warning, holds together, and loads nothing from elsewhere."""

import html
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
SITE = ROOT / "docs" / "_build" / "html"
# Tags that make a browser fetch what they name; a link is only followed when somebody clicks it.
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


class Page(HTMLParser):
    """Anchors of a page, and what it links to and loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADING.get(tag) in found:
            self.loaded.append(found[LOADING[tag]])


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """Build the site as `make docs` does, and read it."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(SITE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path) for path in sorted(SITE.rglob("*.html"))}


def test_all_pages_are_there(pages):
    names = {path.relative_to(SITE).with_suffix("").as_posix() for path in pages}
    written = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    tutorial = {f"auto_gallery/{path.stem}" for path in (ROOT / "docs" / "gallery").glob("plot_*.py")}
    assert {"index", "api/estimates", *tutorial, *written} - {"_build"} <= names


def test_links_inside_of_the_site_lead_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            place = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            is_there = place.exists()
            if is_there and parts.fragment and place in pages:
                is_there = unquote(parts.fragment) in pages[place].anchors
            if not is_there:
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert not broken
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(pages):
    foreign = {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}
    assert not foreign
    styles = [path.read_text(encoding="utf-8") for path in SITE.rglob("*.css")]
    assert styles
    assert not any("@import" in style or "url(http" in style or "url(//" in style for style in styles)


def test_signatures_stand_as_they_are_written(pages):
    shown = re.sub(r"<[^>]+>", "", (SITE / "api" / "estimates.html").read_text(encoding="utf-8"))
    assert "source_1: ArrayLike" in shown
    assert "spec: PIDSpec | None = None" in shown
    core = html.unescape(re.sub(r"<[^>]+>", "", (SITE / "api" / "core.html").read_text(encoding="utf-8")))
    assert "cov: Float[Array, 'D D']" in core
