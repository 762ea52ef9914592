// The same task in several models, and how trajectories correlate between models and between tasks.

function drawModels(chosen, width) {
  const s = { ...chosen, axis: chosen.comparedAxis };
  const isShare = s.scale === "share";
  const order = ["unique_1", "unique_2", "redundancy", "synergy"];
  const shown = places("model").filter((model) => cellOf(model, s.task, 0) === "done");
  if (!shown.length) return { message: "No model has an estimate of the baseline in this task.", rows: [] };
  const layout = panelLayout(order.map(atomLabel), width, { wide: 2, xTitle: axisTitle(s), yTitle: isShare ?
      "% of I₁₂" : s.unit });
  const rows = [];
  const data = shown.flatMap((model, place) =>
    order.flatMap((atom, panel) => {
      const where = { model, task: s.task, condition: 0 };
      const series = isShare ? shareSeries(s, atom, where) : scaled(atomSeries(s, atom, where), unitFactor(s));
      const depth = seriesOrNothing("depth", { model }, "layer");
      for (const i of layersOf(model))
        rows.push({ model: DIMS.model[model], task: DIMS.task[s.task], estimate: estimateLabel(s), quantity: atom,
          layer: DIMS.layer[i], depth: depth[i], value: series.y[i], lower: series.lower[i], upper: series.upper[
            i], unit: isShare ? "percent of i_12" : s.unit });
      return bandTraces({ ...onLayers(model, layerValues(s, model), series), name: String(DIMS.model[model]), color: lineColor(
          place), dash: dashOf(place), symbol: SYMBOLS[place % SYMBOLS.length], panel, isShown: panel === 0,
        digits: isShare ? 1 : 3, suffix: isShare ? " %" : "" });
    }),
  );
  return { data, layout, rows };
}

const correlatedLabel = (i) => (DIMS.atom[i] === "all" ? "All atoms" : atomLabel(DIMS.atom[i]));

function fillModelCorrelation() {
  const atoms = [...places("atom")].reverse(); // all of them together first
  const pairs = places("model").flatMap((a) => places("model_2").filter((b) => b > a).map((b) => [a, b]));
  const csv = [];
  const rows = pairs.flatMap(([a, b]) =>
    places("task").map((task) => {
      const texts = atoms.map((atom) => {
        const [value, lower, upper] = ["", "_lower", "_upper"].map((end) => valueOrNothing(
          `model_correlation${end}`, { model: a, model_2: b, task, atom }));
        csv.push({ model: DIMS.model[a], model_2: DIMS.model_2[b], task: DIMS.task[task], atom: DIMS.atom[atom],
          value, lower, upper });
        return numberText(value) + rangeText(lower, upper);
      });
      return [`${DIMS.model[a]} and ${DIMS.model[b]}`, DIMS.task[task], ...texts];
    }),
  );
  const known = rows.filter((row) => row.slice(2).some((text) => text !== "–"));
  return { columns: ["Models", "Task", ...atoms.map(correlatedLabel)], rows: known, csv, wordColumns: 2 };
}

// A matrix with its numbers written into it, from two dimensions of a variable.
function drawMatrix(name, where, [rowDim, columnDim], shown, labels, look, width) {
  const z = shown.map((r) => shown.map((c) => valueAt(name, { ...where, [rowDim]: r, [columnDim]: c })));
  const text = labels.map((label) => tickText(label, width));
  const rows = shown.flatMap((r, i) => shown.map((c, j) => ({
    [rowDim]: labels[i], [columnDim]: labels[j], value: z[i][j], lower: valueOrNothing(`${name}_lower`, { ...
      where, [rowDim]: r, [columnDim]: c }), upper: valueOrNothing(`${name}_upper`, { ...where, [rowDim]: r, [
        columnDim
      ]: c }) })));
  const ends = shown.map((r, i) => shown.map((c, j) => rangeText(rows[i * shown.length + j].lower, rows[i * shown
    .length + j].upper)));
  const numbers = z.map((line) => line.map((value) => (shown.length > (width < 560 ? 6 : 16) ? "" : numberText(value,
    2))));
  const hover = shown.map((_, i) => shown.map((__, j) =>
    `${plain(labels[i])}<br>${plain(labels[j])}: ${numberText(z[i][j])}${ends[i][j]}`));
  const layout = heatLayout(shown.length, text, { rowHeight: 36, bottom: 90 });
  const isCrowded = width < 560 && shown.length > 6;
  const ticks = { tickmode: "array", tickvals: shown.map((_, i) => i), ticktext: text };
  return {
    data: [{ type: "heatmap", z, text: numbers, texttemplate: "%{text}", textfont: { color: ink().text },
        hovertext: hover, hoverinfo: "text", xgap: 1, ygap: 1, colorbar: { thickness: 12, outlinewidth: 0 }, ...
        look }],
    layout: { ...layout, xaxis: { ...axisStyle(), ...ticks, ...(isCrowded ? { ticktext: labels.map(tickEnd),
          tickangle: -90 } : { tickangle: -35 }), showgrid: false }, yaxis: { ...axisStyle(), ...ticks,
        autorange: "reversed", showgrid: false } },
    rows,
  };
}

function drawTasks(s, width) {
  const shown = tasksOf(s.model);
  const look = { colorscale: MATRIX_SCALES[themeNow()], zmin: -1, zmax: 1 };
  return drawMatrix("task_correlation", { model: s.model, atom: s.correlated }, ["task", "task_2"], shown, shown.map((
    t) => String(DIMS.task[t])), look, width);
}

function setUpModels() {
  defineChoice("comparedAxis", "Axis", () => AXES.toReversed());
  defineChoice("scale", "Scale", () => [
    ["amount", "amounts"],
    ["share", "shares of I₁₂"]
  ]);
  defineChart("models", ["task", "scale", "estimate", "unit", "comparedAxis"], drawModels);
  if (has("model_correlation")) defineTable("model-correlation", [], fillModelCorrelation);
  if (!has("task_correlation")) return;
  defineChoice("correlated", "Atom", () => places("atom").map((i) => [i, DIMS.atom[i] === "all" ? "all atoms" :
    atomLabel(DIMS.atom[i])
  ]), { initial: (all) => all.at(-1) });
  defineChart("tasks", ["model", "correlated"], drawTasks);
}
