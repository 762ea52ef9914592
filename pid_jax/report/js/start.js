// Put the page together: choices and tables at once, the script that draws charts after the first paint.

function setUpDownloads() {
  const everything = document.getElementById("everything");
  everything.hidden = false;
  everything.addEventListener("click", () => download("everything.csv", [...everythingParts()],
    "text/csv;charset=utf-8"));
  for (const place of document.querySelectorAll("[data-variables]")) {
    const names = place.dataset.variables.split(" ").filter(has);
    const dims = new Set(names.flatMap((name) => BLOCK.variables[name].dims));
    const widest = names.find((name) => BLOCK.variables[name].dims.length === dims.size);
    const parts = names.flatMap((name) => [name, ...ENDINGS.map((end) => name + end), name.replace("value", "lower"),
      name.replace("value", "upper")
    ]).filter((name, i, all) => has(name) && all.indexOf(name) === i);
    const rows = () => [...wheres(variable(widest))].map(([where]) => Object.fromEntries([...variable(widest).dims.map((
      dim) => [dim, DIMS[dim][where[dim]]]), ...parts.map((name) => [name, valueAt(name, where)])]));
    place.append(button("CSV", () => downloadCsv(widest, rows()), `${widest}: table as CSV`));
  }
}

// Mark the section that is being read.
function watchSections() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-20% 0px -70% 0px" },
  );
  document.querySelectorAll("main > section").forEach((section) => observer.observe(section));
}

function start() {
  defineShared();
  for (const setUp of [setUpTrajectories, setUpShares, setUpModels, setUpFingerprints, setUpKnockouts, setUpUniverses,
      setUpSpectra, setUpTests, setUpExplorer
    ]) setUp();
  settle();
  fillTables();
  listeners.push(makeStale);
  setUpTheme(() => makeStale());
  setUpDownloads();
  watchSections();
  watchCharts();
  watchPrinting();
  loadPlotly().then(() => {
    if (plotlyState === "missing") charts.forEach((chart) => drawChart(chart));
    else drawNear();
    document.documentElement.dataset.ready = plotlyState;
  });
}

start();
