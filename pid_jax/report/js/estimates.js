// Which estimate of the atoms is shown: a measure, or the first measure with another Gaussianizer; and the unit.

function estimateOptions() {
  const measures = DIMS.measure.map((name) => [`measure:${name}`, labelOf("measure", name)]);
  if (!has("compared_unique_1")) return measures;
  const first = labelOf("measure", DIMS.measure[0]);
  const maps = DIMS.gaussianizer.map((name) => [`map:${name}`, `${first}, ${labelOf("gaussianizer", name)}`]);
  return [...measures, ...maps];
}

const AXES = [
  ["layer", "layer"],
  ["depth", "depth (0 to 1)"]
];

function defineShared() {
  defineChoice("target", "Information about", () => BLOCKS.map((block, i) => [i, block.attributes.about]));
  defineChoice("model", "Model", () => DIMS.model.map((name, i) => [i, String(name)]));
  defineChoice("task", "Task", (s) => tasksOf(s.model).map((i) => [i, String(DIMS.task[i])]));
  const conditions = (s) => conditionsOf(s.model).map((i) => [i, labelOf("condition", DIMS.condition[i])]);
  defineChoice("condition", "Condition", conditions);
  const preferred = () => `measure:${BLOCK.attributes.default_measure}`;
  defineChoice("estimate", "Estimate", estimateOptions, { initial: preferred });
  defineChoice("unit", "Unit", () => [
    ["bits", "bits"],
    ["nats", "nats"]
  ]);
  defineChoice("axis", "Axis", () => AXES);
}

const unitFactor = (s) => (s.unit === "bits" ? BITS_PER_NAT : 1);
const estimateLabel = (s) => estimateOptions().find(([key]) => key === s.estimate)[1];

// { y, lower, upper } in nats over all layers, of the atom of a model, task and condition.
function atomSeries(s, atom, where) {
  const [kind, name] = [s.estimate.slice(0, s.estimate.indexOf(":")), s.estimate.slice(s.estimate.indexOf(":") + 1)];
  if (kind === "map") {
    const y = seriesAt(`compared_${atom}`, { ...where, gaussianizer: position("gaussianizer", name) }, "layer");
    return { y, lower: y.map(() => NaN), upper: y.map(() => NaN) };
  }
  const full = { ...where, measure: position("measure", name) };
  return {
    y: seriesAt(atom, full, "layer"),
    lower: seriesOrNothing(`${atom}_lower`, full, "layer"),
    upper: seriesOrNothing(`${atom}_upper`, full, "layer"),
  };
}

// I_12 in nats: measures share it, with another Gaussianizer it is the sum of the atoms.
function totalSeries(s, where) {
  if (s.estimate.startsWith("measure:")) return seriesAt("i_12", where, "layer");
  const all = ATOMS.map((atom) => atomSeries(s, atom, where).y);
  return all[0].map((_, i) => all.reduce((sum, values) => sum + values[i], 0));
}

// Below a hundredth of a bit, estimation noise is as large as I_12 itself, and a ratio to it says nothing.
const SMALLEST_TOTAL_NATS = 0.01;

function shareSeries(s, atom, where) {
  const total = totalSeries(s, where);
  const { y, lower, upper } = atomSeries(s, atom, where);
  const share = (values) => values.map((value, i) => (total[i] >= SMALLEST_TOTAL_NATS ? (100 * value) / total[i] :
  NaN));
  return { y: share(y), lower: share(lower), upper: share(upper) };
}

const scaled = (series, factor) => ({ y: series.y.map((x) => x * factor), lower: series.lower.map((x) => x * factor),
  upper: series.upper.map((x) => x * factor) });

// Why there is nothing to see of a combination, or null.
function missingReason(s, condition) {
  const where = { model: s.model, task: s.task, condition };
  const state = valueAt("cell", where);
  if (state === "done") return s.estimate.startsWith("map:") && condition > 0 ?
    "Gaussianizers are compared in the baseline alone." : null;
  const reason = valueOrNothing("problem", where);
  const what = state === "failed" ? "could not be estimated" : "does not exist";
  const names = [DIMS.model[s.model], DIMS.task[s.task], labelOf("condition", DIMS.condition[condition])];
  return `${names.join(", ")} ${what}${reason ? `: ${reason}` : "."}`;
}
