// The same task in several models, and how trajectories correlate between models and between tasks.

function drawModels(chosen, width) {
  const s = { ...chosen, axis: chosen.comparedAxis };
  const isShare = s.scale === "share";
  const shown = places("model").filter((model) => cellOf(model, s.task, 0) === "done");
  if (!shown.length) return { message: "No model has an estimate of the baseline in this task.", rows: [] };
  const yTitle = isShare ? "% of I₁₂" : s.unit;
  const layout = panelLayout(PANEL_ORDER.map(atomLabel), width, { wide: 2, xTitle: axisTitle(s), yTitle });
  const rows = [];
  const data = shown.flatMap((model, place) => {
    const look = { color: lineColor(place), dash: dashOf(place), symbol: SYMBOLS[place % SYMBOLS.length] };
    const text = { name: String(DIMS.model[model]), digits: isShare ? 1 : 3, suffix: isShare ? " %" : "" };
    return PANEL_ORDER.flatMap((atom, panel) => {
      const where = { model, task: s.task, condition: 0 };
      const series = isShare ? shareSeries(s, atom, where) : scaled(atomSeries(s, atom, where), unitFactor(s));
      rows.push(...seriesRows(s, where, atom, series, isShare ? "percent of i_12" : s.unit));
      const line = onLayers(model, layerValues(s, model), series);
      return bandTraces({ ...line, ...text, ...look, panel, isShown: panel === 0 });
    });
  });
  return { data, layout, rows };
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
      ...heatLayout(shown.length, ticktext, { rowHeight: 36, bottom: 90 }),
      xaxis: { ...ticks, ...crowded },
      yaxis: { ...ticks, autorange: "reversed" },
    },
    rows: cells.flat(),
  };
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
  defineChart("models", ["task", "scale", "estimate", "unit", "comparedAxis"], drawModels);
  defineTable("model-correlation", [], fillModelCorrelation, ["model_correlation"]);
  if (!anyHas("task_correlation")) return;
  const atoms = () => places("atom").map((i) => [i, correlatedLabel(i)]);
  defineChoice("correlated", "Atom", atoms, { initial: (all) => all.at(-1) });
  defineChart("tasks", ["model", "correlated"], drawTasks, ["task_correlation"]);
}
