// Put the page together: choices and tables at once, the script that draws charts after the first paint.

function setUpDownloads() {
  const everything = document.getElementById("everything");
  everything.hidden = false;
  const name = () => (BLOCKS.length > 1 ? `everything-${BLOCK.attributes.target}.csv` : "everything.csv");
  const save = () => download(name(), [...everythingParts()], "text/csv;charset=utf-8");
  everything.addEventListener("click", save);
  for (const place of document.querySelectorAll("[data-variables]")) {
    const names = place.dataset.variables.split(" ").filter(has);
    const dims = new Set(names.flatMap((name) => BLOCK.variables[name].dims));
    const widest = names.find((name) => BLOCK.variables[name].dims.length === dims.size);
    const ends = (name) => ["lower", "upper"].map((end) => name.replace("value", end));
    const kin = (name) => [...ENDINGS.map((end) => name + end), ...ends(name)];
    const parts = [...new Set(names.flatMap((name) => [name, ...kin(name)]))].filter(has);
    const values = (where) => Object.fromEntries(parts.map((name) => [name, valueAt(name, where)]));
    const rowAt = (where) => ({ ...namesAt(where), ...values(where) });
    const rows = () => [...wheres(variable(widest))].map(([where]) => rowAt(where));
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

function setUpSearch() {
  for (const table of document.querySelectorAll("main .scroll > table")) {
    const box = table.closest("[data-table]") ? null : searchBox(table);
    if (box) table.parentElement.before(box);
  }
}

function start() {
  defineShared();
  [setUpInformation, setUpTrajectories, setUpShares, setUpModels, setUpFingerprints].forEach((setUp) => setUp());
  [setUpDecision, setUpKnockouts, setUpQuestions, setUpUniverses, setUpSpectra, setUpTests, setUpExplorer].forEach((setUp) => setUp());
  settle();
  fillTables();
  listeners.push(makeStale);
  setUpTheme(() => makeStale());
  setUpDownloads();
  setUpSearch();
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
