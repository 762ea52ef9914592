"""Tables of the benchmarks as pages of the site.

They lie in benchmarks/results, where `make bench` writes them, and links in docs/ lead there, so that they work on a
code host too. For the site they are copied to docs/results, and links are led to the copies.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

LINK = re.compile(r"\]\((?P<up>(?:\.\./)+)benchmarks/results/(?P<page>\w+\.md)\)")


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy the tables before pages are looked for."""
    app.connect("config-inited", copy_results)
    app.connect("source-read", lead_links)
    return {"version": "1", "parallel_read_safe": True}


def copy_results(app: Sphinx, config: Config) -> None:
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
    """Lead links to tables to their copies, one folder less up."""
    source[0] = LINK.sub(lambda found: f"]({found['up'][3:]}results/{found['page']})", source[0])
