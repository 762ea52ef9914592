"""Links of the pages that lead to other places on the site than on a code host.

Tables of the benchmarks lie in benchmarks/results, where `make bench` writes them; for the site they are copied to
docs/results. Files of docs/gallery become the pages of the tutorial. Pages link to the files, so that links work on a
code host too, and here the links are led to the pages.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

TABLE = re.compile(r"\]\((?P<up>(?:\.\./)+)benchmarks/results/(?P<page>\w+\.md)\)")
TUTORIAL = re.compile(r"\]\((?P<up>(?:\.\./)*)gallery/(?P<page>\w+)\.(?:py|rst)\)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy the tables before pages are looked for."""
    app.connect("config-inited", copy_tables)
    app.connect("source-read", lead_links)
    return {"version": "1", "parallel_read_safe": True}


def copy_tables(app: Sphinx, config: Config) -> None:
    """Copy what changed, so that unchanged pages are not read again."""
    docs = Path(app.srcdir)
    there = docs / "results"
    there.mkdir(exist_ok=True)
    made = {page.name: page for page in (docs.parent / "benchmarks" / "results").glob("*.md")}
    for gone in [page for page in there.glob("*.md") if page.name not in made]:
        gone.unlink()
    for name, page in made.items():
        copy = there / name
        if not copy.exists() or copy.read_bytes() != page.read_bytes():
            shutil.copyfile(page, copy)


def lead_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Lead links to tables to their copies, one folder less up, and links to files of the gallery to their pages."""
    led = TABLE.sub(lambda found: f"]({found['up'][3:]}results/{found['page']})", source[0])
    source[0] = TUTORIAL.sub(_tutorial_page, led)


def _tutorial_page(found: re.Match) -> str:
    name = "index" if found["page"] == "GALLERY_HEADER" else found["page"]
    return f"]({found['up']}auto_gallery/{name}.rst)"
