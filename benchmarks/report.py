"""The page of a study: how large it is, how long it takes to write, and how long until it can be used.

A study of 6 tasks, 2 models, 12 conditions and 33 layers, with metrics and verdicts. "Interactive" is when the first
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

from playwright.sync_api import sync_playwright

from benchmarks.measure import cost_of
from benchmarks.record import write_results
from benchmarks.tables import Row, collect
from pid_jax.report.page import write_report
from tests.browser.browsers import ARGUMENTS, DESKTOP, PHONE, find_browser
from tests.study_metrics import with_made_up_metrics
from tests.study_results import planted

TASKS = ("ChooseAttr", "ChooseCat", "ChooseRel", "CompareAttr", "LogicalObj", "QueryAttr")
MODELS = {"llava-1.5-7b": 32, "llava-1.6-7b": 32}
CUTS = {"all": (0.0, 1.0)} | {f"{3 * i}-{3 * i + 2}": (3 * i / 31, (3 * i + 2) / 31) for i in range(10)}
RUNS, SECONDS = 9, 60
_MARK = "TIMES "
# Waits for the first chart, changes its unit as a reader would, and says when each had happened.
_INTERACT = """<script>(() => {
  const times = {};
  const step = () => {
    const plot = document.querySelector("#chart-trajectories .plot");
    if (!plot?.data) return requestAnimationFrame(step);
    times.drawn ??= performance.now();
    const before = plot.data.find((one) => one.name).y[0];
    const unit = document.querySelector("#chart-trajectories select[data-choice=unit]");
    unit.value = "nats";
    unit.dispatchEvent(new Event("change"));
    if (plot.data.find((one) => one.name).y[0] === before) throw new Error("the control changed nothing");
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


def main() -> None:
    results = with_made_up_metrics(planted(MODELS, TASKS, cuts=CUTS, replicates=5))
    with sync_playwright() as playwright:
        browser = find_browser(playwright)
    if browser is None:
        raise RuntimeError("no browser: install Chromium (on Debian: apt-get install chromium)")

    def measure(window: tuple[str, tuple[int, int]]) -> Row:
        name, size = window
        runs = [load(browser, file, size) for _ in range(RUNS)]
        shown = [run["shown"] for run in runs]
        return {
            "window": f"{name}, {size[0]} x {size[1]}",
            "text painted (s)": statistics.median(run["painted"] for run in runs),
            "first chart drawn (s)": statistics.median(run["drawn"] for run in runs),
            "interactive, median (s)": statistics.median(shown),
            "interactive, fastest (s)": min(shown),
            "interactive, slowest (s)": max(shown),
        }

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.html"
        writing = cost_of(lambda: write_report(results, file)).wall
        size = file.stat().st_size
        file.write_text(file.read_text().replace("</body>", _INTERACT))
        rows = collect(measure, [("desktop", DESKTOP), ("phone", PHONE)])
    version = subprocess.run([browser, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    busy = os.getloadavg()[0]
    sizes = [{"page (MB)": size / 1e6, "written in (s)": writing, "combinations": 6 * 2 * 12 * 33}]
    text = (
        f"6 tasks, 2 models, 12 conditions, 33 layers, with metrics; {RUNS} loads each in headless {version}, on a "
        f"machine with a load of {busy:.1f}. Wanted: at most 8 MB, interactive within 2 seconds."
    )
    tables = {"Size": sizes, "Load": rows}
    write_results("report", "The page of a study", text, tables, "plotly", browser=version, load=busy)


if __name__ == "__main__":
    main()
