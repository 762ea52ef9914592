"""The page of a study: how large it is, how long it takes to write, and how long until it can be used.

A study of 6 tasks, 2 models, 12 conditions and 33 layers, with metrics and verdicts. "Interactive" is when the first
chart is drawn and a control has changed it, both counted from the request for the file, in headless Chromium.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.pages import write_page
from benchmarks.timing import circumstances
from pid_jax.report.page import write_report
from tests.browser.browsers import ARGUMENTS, DESKTOP, PHONE, find_browser
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

TASKS = ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr")
MODELS = {"llava-1.5-7b": 32, "llava-1.6-7b": 32}
CUTS = {"all": (0.0, 1.0)} | {f"{3 * i}-{3 * i + 2}": (3 * i / 31, (3 * i + 2) / 31) for i in range(10)}
RUNS = 7
# Waits for the first chart, changes its unit as a reader would, and reads the clock of the page at both.
_INTERACT = """() => new Promise((done) => {
  const times = {};
  const step = () => {
    const plot = document.querySelector("#chart-trajectories .plot");
    if (!plot?.data) return requestAnimationFrame(step);
    times.drawn ??= performance.now();
    const before = plot.data.find((one) => one.name).y[0];
    const unit = document.querySelector("#chart-trajectories select[data-choice=unit]");
    unit.value = "nats";
    unit.dispatchEvent(new Event("change"));
    times.changed = plot.data.find((one) => one.name).y[0] !== before ? performance.now() : NaN;
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const end = () => done({ ...times, painted: paint?.startTime, shown: performance.now() });
    requestAnimationFrame(() => setTimeout(end));
  };
  step();
})"""


def load(browser: Browser, file: Path, size: tuple[int, int]) -> dict[str, float]:
    """Open the page once at its first chart; return seconds since the request."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"{file.as_uri()}#trajectories", wait_until="commit")
    found = page.evaluate(_INTERACT)
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return {name: value / 1000 for name, value in found.items()} | {"cpu": metrics["TaskDuration"]}


def main() -> None:
    results = with_made_up_metrics(planted(MODELS, TASKS, cuts=CUTS, replicates=5))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        start = time.perf_counter()
        file = write_report(results, Path(folder) / "index.html")
        writing = time.perf_counter() - start
        browser = playwright.chromium.launch(executable_path=find_browser(playwright), args=list(ARGUMENTS))
        rows: list[dict[str, Any]] = []
        for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            runs = [load(browser, file, size) for _ in range(RUNS)]
            rows.append(
                {
                    "window": f"{name}, {size[0]} x {size[1]}",
                    "text painted (s)": statistics.median(run["painted"] for run in runs),
                    "first chart drawn (s)": statistics.median(run["drawn"] for run in runs),
                    "interactive, median (s)": statistics.median(run["shown"] for run in runs),
                    "interactive, fastest (s)": min(run["shown"] for run in runs),
                    "interactive, slowest (s)": max(run["shown"] for run in runs),
                    "CPU of the page's thread (s)": statistics.median(run["cpu"] for run in runs),
                }
            )
        sizes = [{"page (MB)": file.stat().st_size / 1e6, "written in (s)": writing, "combinations": 6 * 2 * 12 * 33}]
        conditions = circumstances("plotly", "playwright") | {"browser": browser.version}
        browser.close()
    text = (
        f"6 tasks, 2 models, 12 conditions, 33 layers, with metrics; {RUNS} loads each in headless Chromium "
        f"{conditions['browser']}. Wanted: at most 8 MB, interactive within 2 seconds."
    )
    write_page("report", "The page of a study", text, {"Size": sizes, "Load": rows}, conditions)


if __name__ == "__main__":
    main()
