"""The page of a study: how large it is, how long it takes to write, and how long until it can be used.

Studies of 6 tasks and 12 conditions, of 2 models of 33 layers and of 26 models of 25 to 41 layers, with metrics and
verdicts. "Interactive" is when the first
chart is drawn and a control has changed it, counted by the page's own clock from the request for the file. Chromium
runs without a debugger, which is a reader's way: with one, it reads the script that draws charts twice.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

from benchmarks.measure import cost_of
from benchmarks.record import write_results
from benchmarks.tables import Row
from pid_jax.report.page import write_report
from tests.browser.browsers import ARGUMENTS, DESKTOP, PHONE, find_browser
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

TASKS = ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr")
STUDIES = {
    "2 models": {"llava-1.5-7b": 32, "llava-1.6-7b": 32},
    "26 models": {f"model-{i:02}": (24, 28, 32, 40)[i % 4] for i in range(26)},
}
CUTS = {"all": (0.0, 1.0)} | {f"{3 * i}-{3 * i + 2}": (3 * i / 31, (3 * i + 2) / 31) for i in range(10)}
RUNS, SECONDS = 5, 60
_MARK = "TIMES "
# Waits for the first chart, changes its unit as a reader would, and says when each had happened.
_INTERACT = """<script>(() => {
  const times = {};
  const step = () => {
    const plot = document.querySelector("#chart-trajectories .plot");
    const unit = document.querySelector("#chart-trajectories select[data-choice=unit]");
    const first = plot?.data?.find((one) => one.name).y[0];
    if (first === undefined) return requestAnimationFrame(step);
    if (times.drawn === undefined) {
      times.drawn = performance.now();
      times.before = first;
      plot.scrollIntoView({ behavior: "instant" });
      unit.value = "nats";
      unit.dispatchEvent(new Event("change"));
    }
    if (first === times.before) return requestAnimationFrame(step);
    const painted = performance.getEntriesByName("first-contentful-paint")[0].startTime;
    const end = () => console.log("TIMES " + JSON.stringify({ ...times, painted, shown: performance.now() }) + " END");
    requestAnimationFrame(() => setTimeout(end));
  };
  step();
})();</script></body>"""


def load(browser: str, file: Path, size: tuple[int, int]) -> dict[str, float]:
    """Open the page once, at its first chart, in a fresh browser; return seconds since the request."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            *(browser, *ARGUMENTS, "--enable-logging=stderr", f"--user-data-dir={profile}"),
            *(f"--window-size={size[0]},{size[1]}", f"{file.as_uri()}#trajectories"),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            try:
                deadline = time.monotonic() + SECONDS
                for line in process.stderr:
                    if _MARK in line:
                        text = line.partition(_MARK)[2].partition(" END")[0]
                        return {name: value / 1000 for name, value in json.loads(text).items()}
                    if time.monotonic() > deadline:
                        break
            finally:
                process.terminate()
    raise RuntimeError(f"{file} was not interactive within {SECONDS} seconds")


def measure_load(browser: str, file: Path, window: str, size: tuple[int, int]) -> Row:
    """Load a page several times in a window."""
    runs = [load(browser, file, size) for _ in range(RUNS)]
    shown = [run["shown"] for run in runs]
    return {
        "window": f"{window}, {size[0]} x {size[1]}",
        "text painted (s)": statistics.median(run["painted"] for run in runs),
        "first chart drawn (s)": statistics.median(run["drawn"] for run in runs),
        "interactive, median (s)": statistics.median(shown),
        "interactive, fastest (s)": min(shown),
        "interactive, slowest (s)": max(shown),
    }


def tall(playwright: Playwright, browser: str, file: Path) -> int:
    """Return the height of a page in pixels, in a desktop's window."""
    opened = playwright.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
    page = opened.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready=ready]", state="attached")
    height = int(page.evaluate("document.body.scrollHeight"))
    opened.close()
    return height


def measure(browser: str, name: str) -> tuple[Row, list[Row]]:
    """Write the page of a study, and load it."""
    models = STUDIES[name]
    results = with_made_up_metrics(planted(models, TASKS, cuts=CUTS, replicates=5))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.html"
        cost = cost_of(lambda: write_report(results, file))
        size = file.stat().st_size
        with sync_playwright() as playwright:
            height = tall(playwright, browser, file)
        file.write_text(file.read_text().replace("</body>", _INTERACT))
        windows = (("desktop", DESKTOP), ("phone", PHONE))
        loads: list[Row] = [{"study": name, **measure_load(browser, file, *window)} for window in windows]
    combinations = len(TASKS) * (1 + len(CUTS)) * sum(1 + blocks for blocks in models.values())
    about = {"page (MB)": size / 1e6, "written in (CPU s)": cost.cpu, "height (pixels)": height}
    return {"study": name, "combinations": combinations, **about}, loads


def main() -> None:
    with sync_playwright() as playwright:
        browser = find_browser(playwright)
    if browser is None:
        raise RuntimeError("no browser: install Chromium (on Debian: apt-get install chromium)")
    measured = [measure(browser, name) for name in STUDIES]
    version = subprocess.run([browser, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    busy = os.getloadavg()[0]
    text = (
        f"6 tasks, 12 conditions, with metrics; {RUNS} loads each in headless {version}, on a machine with a load of "
        f"{busy:.1f}. Wanted of 2 models: at most 8 MB, interactive within 2 seconds."
    )
    tables = {"Size": [size for size, _ in measured], "Load": [row for _, loads in measured for row in loads]}
    write_results("report", "The page of a study", text, tables, "plotly", browser=version, load=busy)


if __name__ == "__main__":
    main()
