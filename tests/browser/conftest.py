"""One browser for all tests, and pages of studies that hold everything, and as little as possible."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import xarray as xr
from playwright.sync_api import Browser, sync_playwright

from pid_jax.report.page import write_report
from tests.browser.browsers import ARGUMENTS, NAMES, find_browser
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = find_browser(playwright)
        if path is None:
            pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (on Debian: apt-get install chromium)")
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def results() -> xr.Dataset:
    return with_made_up_metrics(planted(replicates=4))


@pytest.fixture(scope="session")
def full(results, tmp_path_factory) -> Path:
    return write_report(results, tmp_path_factory.mktemp("full") / "index.html")


@pytest.fixture(scope="session")
def bare(tmp_path_factory) -> Path:
    """A study of one model, one measure and no cuts, without tests, metrics, intervals or other maps."""
    study = planted(models={"one": 4}, cuts={"all": (0.0, 1.0)}, replicates=2)
    kept = [
        name
        for name in study.data_vars
        if not str(name).startswith(("difference", "added", "replicate", "tested", "compared", "spectrum"))
        and not str(name).endswith(("_lower", "_upper"))
    ]
    study = study[kept].isel(condition=[0], measure=[0])
    return write_report(study, tmp_path_factory.mktemp("bare") / "index.html")
