// The same task in several models, and how trajectories correlate between models and between tasks.


function drawModels(chosen, width) {
  const s = { ...chosen, axis: chosen.comparedAxis };
  const shown = places("model").filter((model) => cellOf(model, s.task, 0) === "done");
  if (!shown.length) return { message: "No model has an estimate of the baseline in this task.", rows: [] };
  const isShare = s.scale === "share";
  const look = isShare ? { unit: "% of I₁₂", digits: 1, suffix: " %" } : { unit: s.unit, digits: 3, suffix: "" };
  const lines = shown.flatMap((model) =>
    PANEL_ORDER.map((atom, panel) => {
      const where = { model, task: s.task, condition: 0 };
      const series = isShare ? shareSeries(s, atom, where) : scaled(atomSeries(s, atom, where), unitFactor(s));
      return { model, atom, panel, where, series };
    }),
  );
  const unit = isShare ? "percent of i_12" : s.unit;
  const rows = lines.flatMap(({ where, atom, series }) => seriesRows(s, where, atom, series, unit));
  const draw = s.modelsAs === "heat" ? modelRows : modelLines;
  return { ...draw(s, lines, shown, look, width), rows };
}

function modelLines(s, lines, shown, { unit, digits, suffix }, width) {
  const shape = { wide: 2, xTitle: axisTitle(s), yTitle: unit };
  const data = lines.flatMap(({ model, panel, series }) => {
    const place = shown.indexOf(model);
    const look = { color: lineColor(place), dash: dashOf(place), symbol: SYMBOLS[place % SYMBOLS.length] };
    const text = { name: String(DIMS.model[model]), digits, suffix, isShown: panel === 0 };
    return bandTraces({ ...onLayers(model, layerValues(s, model), series), ...look, ...text, panel });
  });
  return { data, layout: panelLayout(PANEL_ORDER.map(atomLabel), width, shape) };
}

// A panel for each atom, a row for each model.
function modelRows(s, lines, shown, look, width) {
  const columns = modelColumns(s, shown);
  const data = PANEL_ORDER.map((_, panel) => {
    const own = lines.filter((line) => line.panel === panel);
    const cells = (read) => own.map((line) => columns.map(({ layerOf }) => read(line, layerOf(line.model))));
    const n = panel ? panel + 1 : "";
    return {
      type: "heatmap",
      x: columns.map((column) => column.x),
      z: cells(({ series }, layer) => series.y[layer] ?? null),
      text: cells((line, layer) => rowText(line, layer, look)),
      hoverinfo: "text",
      xaxis: `x${n}`,
      yaxis: `y${n}`,
      coloraxis: "coloraxis",
      ygap: 1,
    };
  });
  const coloraxis = { ...colorRange(lines), colorbar: { title: { text: look.unit }, thickness: 12, outlinewidth: 0 } };
  return { data, layout: { ...rowsLayout(s, shown, width), coloraxis } };
}

// The places on the axis, and the layer that a model has there: over the depth, the nearest.
function modelColumns(s, shown) {
  const most = Math.max(...shown.map((model) => layersOf(model).length)) - 1;
  return Array.from({ length: most + 1 }, (_, i) => {
    if (s.axis !== "depth") return { x: DIMS.layer[i], layerOf: (model) => layersOf(model)[i] };
    const nearest = (own) => own[Math.round((i / most) * (own.length - 1))];
    return { x: i / most, layerOf: (model) => nearest(layersOf(model)) };
  });
}

function rowText({ model, series: { y, lower, upper } }, layer, { digits, suffix }) {
  if (layer === undefined) return "";
  const value = numberText(y[layer], digits) + suffix + rangeText(lower[layer], upper[layer], digits);
  return `${plain(DIMS.model[model])}, layer ${DIMS.layer[layer]}: ${value}`;
}

// From zero, or symmetric around it where a value is well below.
function colorRange(lines) {
  const values = lines.flatMap(({ series }) => series.y).filter(Number.isFinite);
  const [least, most] = [Math.min(0, ...values), Math.max(0, ...values)];
  if (least > -0.1 * most) return { cmin: 0, cmax: most, colorscale: SEQUENTIAL[themeNow()] };
  const end = Math.max(-least, most);
  return { cmin: -end, cmax: end, colorscale: SCALES[themeNow()] };
}

function rowsLayout(s, shown, width) {
  const names = shown.map((model) => tickEnd(String(DIMS.model[model])));
  const wide = width < 900 ? 1 : 2;
  const shape = { wide, xTitle: axisTitle(s), yTitle: "", rowHeight: 18 * shown.length + 60, legendRows: 0 };
  const layout = panelLayout(PANEL_ORDER.map(atomLabel), width, shape);
  const ticks = { tickmode: "array", tickvals: shown.map((_, i) => i), ticktext: names, tickfont: { size: 11 } };
  const look = { ...ticks, autorange: "reversed", showgrid: false, zeroline: false };
  PANEL_ORDER.forEach((_, panel) => {
    const axis = layout[`yaxis${panel ? panel + 1 : ""}`];
    Object.assign(axis, look, { showticklabels: panel % wide === 0 });
  });
  const longest = Math.max(4, ...names.map((name) => name.length));
  return { ...layout, margin: { ...layout.margin, l: 7 * longest + 14 } };
}

const correlatedLabel = (i) => (DIMS.atom[i] === "all" ? "All atoms" : atomLabel(DIMS.atom[i]));

function fillModelCorrelation() {
  const own = places("atom").filter((i) => DIMS.atom[i] !== "all");
  const atoms = [...places("atom").filter((i) => !own.includes(i)), ...own]; // all of them together first
  const pairs = places("model").flatMap((a) => places("model_2").filter((b) => b > a).map((b) => [a, b]));
  const csv = [];
  const rows = pairs.flatMap(([a, b]) =>
    places("task").map((task) => {
      const texts = atoms.map((atom) => {
        const where = { model: a, model_2: b, task, atom };
        const [value, lower, upper] = withEnds("model_correlation", where);
        csv.push({ ...namesAt(where), value, lower, upper });
        return rangeLines(value, lower, upper);
      });
      return [`${DIMS.model[a]} and ${DIMS.model[b]}`, DIMS.task[task], ...texts];
    }),
  );
  const known = rows.filter((row) => row.slice(2).some((text) => text.textContent !== "–"));
  const columns = ["Models", "Task", ...atoms.map(correlatedLabel)];
  return { columns, rows: known, csv, wordColumns: 2, isTight: true };
}

// A matrix with its numbers written into it, from two dimensions of a variable.
function drawMatrix(name, where, [rowDim, columnDim], shown, labels, look, width) {
  const cells = shown.map((r, i) =>
    shown.map((c, j) => {
      const [value, lower, upper] = withEnds(name, { ...where, [rowDim]: r, [columnDim]: c });
      return { [rowDim]: labels[i], [columnDim]: labels[j], value, lower, upper };
    }),
  );
  const each = (read) => cells.map((row) => row.map(read));
  const ends = ({ value, lower, upper }) => numberText(value) + rangeText(lower, upper);
  const hovertext = each((cell) => `${plain(cell[rowDim])}<br>${plain(cell[columnDim])}: ${ends(cell)}`);
  const hasNumbers = shown.length <= (width < 560 ? 6 : 16);
  const ticktext = labels.map((label) => tickText(label, width));
  const ticks = { ...axisStyle(), tickmode: "array", tickvals: shown.map((_, i) => i), ticktext, showgrid: false };
  const isCrowded = width < 560 && shown.length > 6;
  const crowded = isCrowded ? { ticktext: labels.map(tickEnd), tickangle: -90 } : { tickangle: -35 };
  const heat = {
    type: "heatmap",
    z: each((cell) => cell.value),
    text: each((cell) => (hasNumbers ? numberText(cell.value, 2) : "")),
    texttemplate: "%{text}",
    textfont: { color: ink().text },
    hovertext,
    hoverinfo: "text",
    xgap: 1,
    ygap: 1,
    colorbar: { thickness: 12, outlinewidth: 0 },
  };
  return {
    data: [{ ...heat, ...look }],
    layout: {
      ...heatLayout(shown.length, ticktext, { rowHeight: hasNumbers ? 36 : 20, bottom: 90 }),
      xaxis: { ...ticks, ...crowded },
      yaxis: { ...ticks, autorange: "reversed" },
    },
    rows: cells.flat(),
  };
}

function drawModelMatrix(s, width) {
  const shown = places("model").filter((model) => cellOf(model, s.task, 0) === "done");
  const labels = shown.map((model) => String(DIMS.model[model]));
  const look = { colorscale: MATRIX_SCALES[themeNow()], zmin: -1, zmax: 1 };
  const where = { task: s.task, atom: s.correlated };
  return drawMatrix("model_correlation", where, ["model", "model_2"], shown, labels, look, width);
}

function drawTasks(s, width) {
  const shown = tasksOf(s.model);
  const labels = shown.map((t) => String(DIMS.task[t]));
  const look = { colorscale: MATRIX_SCALES[themeNow()], zmin: -1, zmax: 1 };
  const where = { model: s.model, atom: s.correlated };
  return drawMatrix("task_correlation", where, ["task", "task_2"], shown, labels, look, width);
}

function setUpModels() {
  defineChoice("comparedAxis", "Axis", () => AXES.toReversed());
  defineChoice("scale", "Scale", () => [["amount", "amounts"], ["share", "shares of I₁₂"]]);
  const ways = [["lines", "lines"], ["heat", "rows of a heat map"]];
  // The lines of many models lie on each other.
  const initial = () => (hasManyModels() ? "heat" : "lines");
  defineChoice("modelsAs", "Models as", () => ways, { initial });
  defineChart("models", ["task", "scale", "estimate", "unit", "comparedAxis", "modelsAs"], drawModels);
  defineTable("model-correlation", [], fillModelCorrelation, ["model_correlation"]);
  if (!anyHas("task_correlation") && !anyHas("model_correlation")) return;
  const atoms = () => places("atom").map((i) => [i, correlatedLabel(i)]);
  defineChoice("correlated", "Atom", atoms, { initial: (all) => all.at(-1) });
  defineChart("model-matrix", ["task", "correlated"], drawModelMatrix, ["model_correlation"]);
  if (!anyHas("task_correlation")) return;
  defineChart("tasks", ["model", "correlated"], drawTasks, ["task_correlation"]);
}
