// The atoms over the layers, several conditions on top of each other or side by side; and the metrics in numbers.

const PANEL_ORDER = ["unique_1", "unique_2", "redundancy", "synergy"];

function trajectoryLines(s) {
  const conditions = conditionsOf(s.model).filter((c) => s.conditions.has(c));
  return conditions.flatMap((condition) =>
    ATOMS.map((atom) => {
      const where = { model: s.model, task: s.task, condition };
      return { condition, atom, where, series: scaled(atomSeries(s, atom, where), unitFactor(s)) };
    }),
  );
}

// Conditions differ in color where each panel holds an atom, and atoms where each holds a condition.
function trajectoryLook(s, byAtom, condition, atom) {
  const place = conditionsOf(s.model).indexOf(condition); // a condition looks the same whatever else is shown
  if (!byAtom) return { color: ATOM_COLORS[themeNow()][atom], dash: ATOM_DASHES[atom], symbol: ATOM_SYMBOLS[atom] };
  const color = condition === 0 ? ink().text : lineColor(place - 1);
  return { color, dash: dashOf(place), symbol: SYMBOLS[place % SYMBOLS.length] };
}

function drawTrajectories(s, width) {
  const lines = trajectoryLines(s);
  const conditions = [...new Set(lines.map((line) => line.condition))];
  const missing = conditions.map((c) => missingReason(s, c)).filter(Boolean);
  if (missing.length === conditions.length) return { message: missing.join(" "), rows: [] };
  const byAtom = s.panels === "atom";
  const conditionName = (c) => labelOf("condition", DIMS.condition[c]);
  const order = byAtom ? PANEL_ORDER : conditions;
  const legendRows = byAtom ? Math.ceil(conditions.length / Math.max(1, Math.floor(width / 230))) : 1;
  const shape = { wide: byAtom ? 2 : 3, xTitle: axisTitle(s), yTitle: s.unit, legendRows };
  const layout = panelLayout(order.map(byAtom ? atomLabel : conditionName), width, shape);
  const x = layerValues(s, s.model);
  const data = lines.flatMap(({ condition, atom, series }) => {
    const name = byAtom ? conditionName(condition) : atomLabel(atom);
    const panel = order.indexOf(byAtom ? atom : condition);
    const look = trajectoryLook(s, byAtom, condition, atom);
    return bandTraces({ ...onLayers(s.model, x, series), name, panel, isShown: panel === 0, ...look });
  });
  const cuts = conditions.filter((c) => c !== 0);
  const entropies = conditions.map((condition) => entropyOf(s, s.task, condition));
  layout.yaxis.title.text = `${s.unit} about ${targetLabel()}`;
  if (byAtom && cuts.length === 1) layout.shapes = order.flatMap((_, panel) => windowShape(s, s.model, cuts[0], panel));
  if (!byAtom) layout.shapes = conditions.flatMap((c, panel) => windowShape(s, s.model, c, panel));
  if (!byAtom) layout.shapes.push(...entropies.flatMap((value, panel) => entropyLine(value, panel)));
  const rows = lines.flatMap(({ where, atom, series }) => seriesRows(s, where, atom, series, s.unit));
  return { data, layout, rows, note: missing.join(" ") };
}

// A line as rows that can be downloaded.
function seriesRows(s, where, quantity, { y, lower, upper }, unit) {
  const depth = seriesOrNothing("depth", where, "layer");
  const shared = { ...namesAt(where), estimate: estimateLabel(s), quantity };
  const place = (i) => ({ layer: DIMS.layer[i], depth: depth[i] });
  const rowAt = (i) => ({ ...shared, ...place(i), value: y[i], lower: lower[i], upper: upper[i], unit });
  return layersOf(where.model).map(rowAt);
}

// A value and its interval below it, in the chosen unit.
function valueLines([value, lower, upper], unit, s) {
  const factor = unit === "nats" ? unitFactor(s) : 1;
  return rangeLines(value * factor, lower * factor, upper * factor, unit === "layer" ? 0 : 3);
}
const unitText = (unit, s) => (unit === "nats" ? ` (${s.unit})` : "");

function fillMetrics(s) {
  const tasks = tasksOf(s.model);
  const csv = [];
  const rows = places("metric_name").map((m) => {
    const unit = valueAt("metric_unit", { metric_name: m });
    const texts = tasks.map((task) => {
      const where = { model: s.model, task, metric_name: m };
      const [value, lower, upper] = withEnds("metric", where);
      csv.push({ ...namesAt(where), value, lower, upper, unit });
      return valueLines([value, lower, upper], unit, s);
    });
    return [valueAt("metric_label", { metric_name: m }) + unitText(unit, s), ...texts];
  });
  const columns = ["", ...tasks.map((t) => DIMS.task[t])];
  return { columns, rows, csv, caption: `Baseline of ${DIMS.model[s.model]}`, isTight: true };
}

// The baseline and, for one set of edges after the other, the window "all" or the widest one; all where they are few.
const MOST_CUTS = 3;

function firstConditions(all) {
  if (all.length <= 1 + MOST_CUTS) return all;
  if (!["window", "cut_first", "cut_last"].every(has)) return all.slice(0, 1 + MOST_CUTS);
  const width = (condition) => {
    const [first, last] = windowOf(state.model, condition) ?? [0, -1];
    return valueAt("window", { condition }) === "all" ? Infinity : last - first;
  };
  const widest = (edges) => all.filter((c) => edgesOf(c) === edges).reduce((a, b) => (width(b) > width(a) ? b : a));
  return [all[0], ...edgeSets(state.model).slice(0, MOST_CUTS).map(widest)];
}

function setUpTrajectories() {
  const conditions = (s) => conditionsOf(s.model).map((i) => [i, labelOf("condition", DIMS.condition[i])]);
  defineChoice("conditions", "Conditions", conditions, { several: true, initial: firstConditions });
  defineChoice("panels", "Panels", () => [["atom", "one for each atom"], ["condition", "one for each condition"]]);
  defineChart("trajectories", ["model", "task", "estimate", "unit", "axis", "panels", "conditions"], drawTrajectories);
  defineTable("metrics", ["model", "unit"], fillMetrics, ["metric"]);
}
