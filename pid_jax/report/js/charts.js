// Charts and tables that follow the choices. A chart is drawn when it comes near the window, and again when it is
// stale.

const charts = [];
const filled = [];
const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [
    ["zoom2d", "pan2d", "resetScale2d"]
  ], showTips: false };
const PRINT_WIDTH = 660;
const NO_PLOTLY = "This browser cannot unpack the script that draws charts; browsers since 2023 can. " +
  "The data can be downloaded below.";
let plotlyState = "waiting";
let restIsPlanned = false;

// Says that the chosen target has no numbers of a kind; null where it has.
function lacking(needs) {
  if (needs.every(has)) return null;
  return { message: `There is none for information about ${targetLabel()}: choose another target.`, rows: [] };
}

// `draw(state, width)` returns { data, layout, rows }: traces, layout, and what is downloaded; or { message }; a
// note is shown above. `needs` are variables without which there is nothing to draw; without it (null) the chart is the
// same for all targets.
function defineChart(id, own, drawOwn, needs = []) {
  const figure = document.querySelector(`[data-chart="${id}"]`);
  if (!figure) return;
  const keys = needs ? ["target", ...own] : own;
  const draw = (s, width) => (needs && lacking(needs)) || drawOwn(s, width);
  const plot = element("div", { class: "plot", role: "img", "aria-label": figure.getAttribute("aria-label") });
  const buttons = element(
    "div", { class: "downloads" },
    button("CSV", () => downloadCsv(id, draw(state, plot.clientWidth).rows ?? []), `${id}: data as CSV`),
    button("PNG", () => downloadImage(chart, "png"), `${id}: image as PNG`),
    button("SVG", () => downloadImage(chart, "svg"), `${id}: image as SVG`),
  );
  const caption = figure.querySelector("figcaption");
  figure.insertBefore(element("div", { class: "controls" }, ...keys.map(control)), caption);
  const [chosen, note] = [element("p", { class: "caption print-only" }), element("p", { class: "note", hidden: true })];
  for (const part of [chosen, note, plot]) figure.insertBefore(part, caption);
  figure.append(buttons);
  const chart = { id, keys, draw, plot, chosen, note, figure, isNear: false, isStale: true, width: 0 };
  charts.push(chart);
}

// `fill(state)` returns { columns, rows, csv }; `csv` are the rows that are downloaded, or makes them. Without `needs` (null) it is the
// same for all targets.
function defineTable(id, own, fillOwn, needs = []) {
  const place = document.querySelector(`[data-table="${id}"]`);
  if (!place) return;
  const keys = needs ? ["target", ...own] : own;
  const fill = (s) => (needs && lacking(needs) ? { columns: [], rows: [], csv: [] } : fillOwn(s));
  const holder = element("div");
  const csvRows = ({ csv }) => (typeof csv === "function" ? csv() : csv);
  const save = button("CSV", () => downloadCsv(id, csvRows(fill(state))), `${id}: table as CSV`);
  const chosen = element("p", { class: "caption print-only" });
  place.append(element("div", { class: "controls" }, ...keys.map(control)), chosen, holder, element(
  "div", { class: "downloads" }, save));
  filled.push({ id, keys, fill, holder, chosen, isStale: true });
}

const noNumbers = () => element("p", { class: "message" }, "There are no numbers for this choice.");

function fillTables() {
  for (const table of filled.filter((one) => one.isStale)) {
    const { columns, rows, ...look } = table.fill(state);
    const made = rows.length ? tableElement(columns, rows, look) : noNumbers();
    const search = rows.length ? searchBox(made.querySelector("table")) : null;
    table.holder.replaceChildren(...(search ? [search, made] : [made]));
    table.chosen.textContent = chosenText(table.keys);
    table.isStale = false;
  }
}

function drawChart(chart) {
  const width = isPrinting ? PRINT_WIDTH : chart.plot.clientWidth;
  const { data, layout, message, note } = chart.draw(state, width);
  chart.isStale = false;
  chart.width = width;
  chart.note.textContent = note ?? "";
  chart.note.hidden = !note;
  chart.chosen.textContent = chosenText(chart.keys);
  const words = [chart.figure.getAttribute("aria-label"), chart.chosen.textContent];
  chart.plot.setAttribute("aria-label", words.filter(Boolean).join(". "));
  if (message || plotlyState === "missing") {
    if (chart.isDrawn) Plotly.purge(chart.plot);
    chart.isDrawn = false;
    chart.plot.style.height = "auto";
    chart.plot.replaceChildren(element("p", { class: "message" }, message ?? NO_PLOTLY));
    return;
  }
  if (!chart.isDrawn) chart.plot.replaceChildren();
  const base = baseLayout();
  const full = { ...base, ...layout, margin: { ...base.margin, ...layout.margin }, legend: { ...base.legend, ...layout
      .legend } };
  chart.plot.style.height = `${full.height}px`;
  chart.plot.style.minHeight = `${full.height}px`;
  if (isPrinting) full.width = PRINT_WIDTH;
  else full.autosize = true;
  Plotly.react(chart.plot, data, full, CONFIG);
  chart.isDrawn = true;
}

function drawNear() {
  if (plotlyState === "waiting") return;
  for (const chart of charts)
    if (chart.isNear && chart.isStale) drawChart(chart);
  drawRest();
}

// Draw the others one by one while nothing else happens, so that a saved page or a picture of all of it has them.
function drawRest() {
  if (restIsPlanned || plotlyState === "waiting") return;
  restIsPlanned = true;
  (window.requestIdleCallback ?? setTimeout)(() => {
    restIsPlanned = false;
    const next = isPrinting ? undefined : charts.find((chart) => chart.isStale && chart.plot.clientWidth > 0);
    if (!next) return;
    drawChart(next);
    drawRest();
  });
}

function makeStale(key) {
  // Another model may have settled other choices anew.
  for (const one of [...charts, ...filled])
    if (key === undefined || key === "model" || key === "target" || one.keys.includes(key)) one.isStale = true;
  fillTables();
  drawNear();
}

async function downloadImage(chart, format) {
  if (plotlyState !== "ready") return;
  if (chart.isStale || !chart.isDrawn) drawChart(chart);
  if (!chart.isDrawn) return;
  const { clientWidth: width, clientHeight: height } = chart.plot;
  const uri = await Plotly.toImage(chart.plot, { format, width: Math.max(width, 400), height, scale: format ===
      "png" ? 2 : 1 });
  const [head, body] = [uri.slice(0, uri.indexOf(",")), uri.slice(uri.indexOf(",") + 1)];
  const content = head.endsWith("base64") ? bytesOf(body) : decodeURIComponent(body);
  download(`${chart.id}.${format}`, content instanceof Uint8Array ? [content] : content, format === "png" ?
    "image/png" : "image/svg+xml");
}

// Unpack the script that draws, and run it.
async function loadPlotly() {
  try {
    const stream = new Blob([bytesOf(document.getElementById("plotly").textContent)]).stream().pipeThrough(
      new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    plotlyState = typeof Plotly === "undefined" ? "missing" : "ready";
  } catch (error) {
    plotlyState = "missing";
  }
}

function watchCharts() {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) charts.find((chart) => chart.figure === entry.target).isNear = entry
      .isIntersecting;
      drawNear();
    }, { rootMargin: "400px 0px" },
  );
  charts.forEach((chart) => observer.observe(chart.figure));
  let timer = 0;
  addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (isPrinting) return;
      for (const chart of charts)
        if (chart.plot.clientWidth !== chart.width) chart.isStale = true;
      drawNear();
    }, 150);
  });
}

function setPrinting(value) {
  if (isPrinting === value || plotlyState === "waiting") return;
  isPrinting = value;
  charts.forEach((chart) => {
    chart.isStale = true;
    if (value) drawChart(chart);
  });
  if (!value) drawNear();
}

function watchPrinting() {
  addEventListener("beforeprint", () => setPrinting(true));
  addEventListener("afterprint", () => setPrinting(false));
  matchMedia("print").addEventListener("change", (event) => setPrinting(event.matches));
}
