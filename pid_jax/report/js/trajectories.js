// The atoms over the layers, several conditions on top of each other or side by side; and the metrics in numbers.

function trajectoryLines(s) {
  const conditions = conditionsOf(s.model).filter((c) => s.conditions.has(c));
  const where = (condition) => ({ model: s.model, task: s.task, condition });
  return conditions.flatMap((condition) => ATOMS.map((atom) => ({ condition, atom, series: scaled(atomSeries(s, atom,
      where(condition)), unitFactor(s)) })));
}

function drawTrajectories(s, width) {
  const lines = trajectoryLines(s);
  const conditions = [...new Set(lines.map((line) => line.condition))];
  const missing = conditions.map((c) => missingReason(s, c)).filter(Boolean);
  if (missing.length === conditions.length) return { message: missing.join(" "), rows: [] };
  const byAtom = s.panels === "atom";
  const titles = byAtom ? ["unique_1", "unique_2", "redundancy", "synergy"].map(atomLabel) : conditions.map((c) =>
    labelOf("condition", DIMS.condition[c]));
  const order = byAtom ? ["unique_1", "unique_2", "redundancy", "synergy"] : conditions;
  const layout = panelLayout(titles, width, { wide: byAtom ? 2 : 3, xTitle: axisTitle(s), yTitle: s.unit,
    legendRows: byAtom ? Math.ceil(conditions.length / Math.max(1, Math.floor(width / 230))) : 1 });
  const x = layerValues(s, s.model);
  const data = lines.flatMap(({ condition, atom, series }) => {
    const place = conditionsOf(s.model).indexOf(condition); // a condition looks the same whatever else is shown
    const isBaseline = condition === 0;
    const name = byAtom ? labelOf("condition", DIMS.condition[condition]) : atomLabel(atom);
    const panel = order.indexOf(byAtom ? atom : condition);
    const look = byAtom ?
      { color: isBaseline ? ink().text : lineColor(place - 1), dash: isBaseline ? "solid" : dashOf(place),
        symbol: SYMBOLS[place % SYMBOLS.length] } :
      { color: ATOM_COLORS[themeNow()][atom], dash: ATOM_DASHES[atom], symbol: ATOM_SYMBOLS[atom] };
    return bandTraces({ ...onLayers(s.model, x, series), name, panel, isShown: panel === 0, ...look });
  });
  const cuts = conditions.filter((c) => c !== 0);
  if (byAtom && cuts.length === 1) layout.shapes = order.flatMap((_, panel) => windowShape(s, s.model, cuts[0], panel));
  if (!byAtom) layout.shapes = conditions.flatMap((c, panel) => windowShape(s, s.model, c, panel));
  if (missing.length) layout.annotations.push(note(missing.join(" ")));
  return { data, layout, rows: trajectoryRows(s, lines) };
}

const note = (text) => ({ text: plain(text), x: 0, y: 1, yshift: 40, xref: "paper", yref: "paper", xanchor: "left",
  yanchor: "bottom", showarrow: false, font: { size: 11, color: ink().soft } });

function trajectoryRows(s, lines) {
  const depth = seriesOrNothing("depth", { model: s.model }, "layer");
  return lines.flatMap(({ condition, atom, series }) =>
    layersOf(s.model).map((i) => ({
      model: DIMS.model[s.model],
      task: DIMS.task[s.task],
      condition: DIMS.condition[condition],
      estimate: estimateLabel(s),
      quantity: atom,
      layer: DIMS.layer[i],
      depth: depth[i],
      value: series.y[i],
      lower: series.lower[i],
      upper: series.upper[i],
      unit: s.unit,
    })),
  );
}

// A value and its interval as text, in the chosen unit.
function valueText(value, lower, upper, unit, s) {
  const factor = unit === "nats" ? unitFactor(s) : 1;
  const digits = unit === "layer" ? 0 : 3;
  return numberText(value * factor, digits) + rangeText(lower * factor, upper * factor, digits);
}
const unitText = (unit, s) => (unit === "nats" ? ` (${s.unit})` : "");

function fillMetrics(s) {
  const tasks = tasksOf(s.model);
  const ends = (where) => ["metric", "metric_lower", "metric_upper"].map((name) => valueOrNothing(name, where));
  const csv = [];
  const rows = places("metric_name").map((m) => {
    const unit = valueAt("metric_unit", { metric_name: m });
    const texts = tasks.map((task) => {
      const [value, lower, upper] = ends({ model: s.model, task, metric_name: m });
      csv.push({ model: DIMS.model[s.model], task: DIMS.task[task], metric: DIMS.metric_name[m], value, lower,
        upper, unit });
      return valueText(value, lower, upper, unit, s);
    });
    return [valueAt("metric_label", { metric_name: m }) + unitText(unit, s), ...texts];
  });
  return { columns: ["", ...tasks.map((t) => DIMS.task[t])], rows, csv, caption: `Baseline of ${DIMS.model[s.model]}` };
}

function setUpTrajectories() {
  defineChoice("conditions", "Conditions", (s) => conditionsOf(s.model).map((i) => [i, labelOf("condition", DIMS
    .condition[i])]), { several: true, initial: (all) => all.slice(0, 4) });
  defineChoice("panels", "Panels", () => [
    ["atom", "one for each atom"],
    ["condition", "one for each condition"]
  ]);
  defineChart("trajectories", ["model", "task", "estimate", "unit", "axis", "panels", "conditions"], drawTrajectories);
  defineTable("metrics", ["model", "unit"], fillMetrics);
}
