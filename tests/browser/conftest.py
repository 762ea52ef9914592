"""One browser for all tests, and pages of studies that hold everything, and as little as possible."""

import json
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
        if not str(name).startswith(("difference", "added", "replicate", "compared", "spectrum"))
        and not str(name).endswith(("_lower", "_upper"))
    ]
    study = study[kept].isel(condition=[0], measure=[0])
    return write_report(study, tmp_path_factory.mktemp("bare") / "index.html")


@pytest.fixture(scope="session")
def gappy(tmp_path_factory) -> Path:
    """A study in which the second model lacks a task and a condition, and two combinations of the first failed."""
    study = planted(replicates=2)
    gone = xr.zeros_like(study["cell"], dtype=bool)
    gone[1, 2], gone[1, :, 3] = True, True
    failed = xr.zeros_like(gone)
    failed[0, 1, 1], failed[0, 2, 0] = True, True
    for name, values in study.data_vars.items():
        if values.dims[:3] == gone.dims and values.dtype.kind == "f":
            study[name] = values.where(~gone & ~failed)
    study["status"] = study["status"].where(~gone & ~failed, -1)
    study["cell"] = study["cell"].where(~gone, "absent").where(~failed, "failed")
    study["problem"] = study["problem"].where(~failed, "the states were <i>lost</i>")
    study.attrs["problems"] = json.dumps(["extra/: damaged"])
    return write_report(study, tmp_path_factory.mktemp("gappy") / "index.html")
