// Panels of a chart: their places, axes and titles, and lines with bands.

const layerValues = (s, model) =>
  s.axis === "depth" && has("depth") ? seriesAt("depth", { model }, "layer") : DIMS.layer;

// Panels in a grid, each with axes of its own that are matched, so that they zoom together.
function panelLayout(titles, width, shape) {
  const { wide = 2, rowHeight = 250, xTitle, yTitle, legendRows = 1 } = shape;
  const columns = Math.min(titles.length, width < 560 ? 1 : wide);
  const rows = Math.ceil(titles.length / columns);
  const [height, top] = [rows * rowHeight + 80 + 22 * legendRows, 44 + 22 * legendRows];
  const inner = height - top - 46;
  const layout = { height, margin: { t: top }, legend: { y: 1 + 26 / inner }, annotations: [], shapes: [] };
  const gapX = columns > 1 ? 0.06 : 0;
  const gapY = rows > 1 ? 58 / inner : 0;
  const [w, h] = [(1 - gapX * (columns - 1)) / columns, (1 - gapY * (rows - 1)) / rows];
  // Fixed margins and angles: measuring labels again and again takes most of the time of a chart.
  const style = { ...axisStyle(), automargin: false, tickangle: 0 };
  const title = (text) => ({ text, standoff: 6 });
  titles.forEach((text, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const n = i === 0 ? "" : i + 1;
    const [x, y] = [column * (w + gapX), 1 - row * (h + gapY)];
    const xText = i + columns >= titles.length ? xTitle : "";
    const yText = column === 0 ? yTitle : "";
    const [xDomain, yDomain] = [[x, x + w], [Math.max(0, y - h), y]];
    const [xLinked, yLinked] = i ? [{ matches: "x" }, { matches: "y" }] : [{}, {}];
    layout[`xaxis${n}`] = { ...style, ...xLinked, domain: xDomain, anchor: `y${n}`, title: title(xText) };
    layout[`yaxis${n}`] = { ...style, ...yLinked, domain: yDomain, anchor: `x${n}`, title: title(yText) };
    layout[`yaxis${n}`].zeroline = true;
    layout.annotations.push({ text: plain(text), x, y, ...PANEL_TITLE, font: { size: 13, color: ink().text } });
  });
  return layout;
}

const PANEL_TITLE = { xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false };

function axisStyle() {
  return { gridcolor: ink().grid, linecolor: ink().soft, zerolinecolor: ink().soft, zeroline: false, zerolinewidth: 1,
    tickcolor: ink().soft, automargin: true, showline: true };
}

// With more layers, markers would touch.
const MOST_MARKERS = 20;

// The layers of a model alone: the others are missing.
function onLayers(model, x, { y, lower, upper }) {
  const cut = (values) => layersOf(model).map((i) => values[i]);
  return { x: cut(x), series: { y: cut(y), lower: cut(lower), upper: cut(upper) } };
}

// A line and its band. Panels are numbered from 0; entries of the legend are shown once.
function bandTraces({ x, series, name, color, dash, symbol, panel, isShown, digits = 3, suffix = "", width = 2 }) {
  const axes = { xaxis: `x${panel ? panel + 1 : ""}`, yaxis: `y${panel ? panel + 1 : ""}`, legendgroup: name };
  const known = x.map((_, i) => i).filter((i) => Number.isFinite(series.lower[i]) && Number.isFinite(series.upper[i]));
  const traces = [];
  if (known.length > 1)
    traces.push({
      ...axes,
      x: [...known.map((i) => x[i]), ...known.map((i) => x[i]).reverse()],
      y: [...known.map((i) => series.upper[i]), ...known.map((i) => series.lower[i]).reverse()],
      mode: "lines",
      line: { width: 0 },
      fill: "toself",
      fillcolor: translucent(color, 0.2),
      hoverinfo: "skip",
      showlegend: false,
      type: "scatter",
    });
  traces.push({
    ...axes,
    x,
    y: series.y,
    name: plain(name),
    type: "scatter",
    mode: symbol && DIMS.layer.length <= MOST_MARKERS ? "lines+markers" : "lines",
    line: { color, dash, width },
    marker: { color, symbol, size: 6 },
    showlegend: isShown,
    customdata: series.y.map((_, i) => rangeText(series.lower[i], series.upper[i], digits)),
    hovertemplate: `%{y:.${digits}f}${suffix}%{customdata}<extra>${plain(name)}</extra>`,
  });
  return traces;
}

function windowShape(s, model, condition, panel) {
  const ends = windowOf(model, condition);
  if (!ends) return [];
  const last = has("last_layer") ? valueAt("last_layer", { model }) : DIMS.layer.at(-1);
  const [x0, x1] = s.axis === "depth" ? ends.map((end) => end / last) : ends;
  const n = panel ? panel + 1 : "";
  const look = { line: { width: 0 }, fillcolor: ink().window, layer: "below" };
  return [{ type: "rect", xref: `x${n}`, yref: `y${n} domain`, x0, x1, y0: 0, y1: 1, ...look }];
}

const axisTitle = (s) => (s.axis === "depth" ? "depth (0 = first layer, 1 = last)" : "layer (0 = embeddings)");

function heatLayout(rowCount, leftLabels, { rowHeight = 24, bottom = 50, widest = 190 } = {}) {
  const longest = Math.max(4, ...leftLabels.flatMap((text) => text.split("<br>")).map((line) => line.length));
  const margin = { l: Math.min(widest, 7 * longest + 14), t: 20, b: bottom };
  return { height: Math.max(220, rowCount * rowHeight + bottom + 50), margin };
}

// A text for Plotly, broken into lines of about so many characters; a longer word is cut.
function wrapped(text, most) {
  const lines = [""];
  for (const word of String(text).split(/(?<=\s)/)) {
    if (lines.at(-1) && (lines.at(-1) + word).trimEnd().length > most) lines.push("");
    lines[lines.length - 1] += word;
  }
  const cut = (line) => plain(line.length > most ? `${line.slice(0, most - 1)}…` : line);
  return lines.map((line) => cut(line.trim())).join("<br>");
}
// On a phone, two lines; where many stand side by side, their ends.
const tickText = (label, width) => wrapped(label, width < 560 ? Math.max(16, Math.ceil(label.length / 2) + 2) : 44);
const tickEnd = (label) => plain(label.length > 14 ? `…${label.slice(-13)}` : label);
const titleText = (title, width) => wrapped(title, Math.max(24, Math.floor(width / 11)));
