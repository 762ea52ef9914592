// What the models themselves decide: the atoms of every task next to each other, with intervals, under the entropy.

const DECISION = JSON.parse(document.getElementById("decision-data")?.textContent ?? "null");

function decisionTasks(model, answer) {
  const known = DECISION.values.target_entropy[model];
  return DECISION.task.map((_, i) => i).filter((task) => Number.isFinite(known[task][answer]));
}

function decisionTrace(s, model, tasks, atom) {
  const factor = unitFactor(s);
  const read = (name) => tasks.map((task) => DECISION.values[name][model][task][s.decided] * factor);
  const [y, lower, upper] = [read(atom), read(`${atom}_lower`), read(`${atom}_upper`)];
  const ends = { array: y.map((one, i) => upper[i] - one), arrayminus: y.map((one, i) => one - lower[i]) };
  const name = plain(DECISION.labels[atom]);
  return {
    type: "bar",
    x: tasks.map((task) => plain(DECISION.task[task])),
    y,
    name,
    marker: { color: ATOM_COLORS[themeNow()][atom], line: { width: 0 }, pattern: patternOf(atom) },
    error_y: { type: "data", symmetric: false, ...ends, color: ink().text, thickness: 1.2, width: 3 },
    customdata: y.map((_, i) => rangeText(lower[i], upper[i])),
    hovertemplate: `%{y:.3f}%{customdata} ${s.unit}<extra>${name}</extra>`,
  };
}

function decisionRows(s, model, tasks) {
  const names = [...ATOMS, "i_1", "i_2", "i_12", "target_entropy"];
  const value = (name, task) => (DECISION.values[name]?.[model][task][s.decided] ?? NaN) * unitFactor(s);
  return tasks.flatMap((task) => names.map((quantity) => ({
    model: DECISION.model[model], task: DECISION.task[task], answer: DECISION.answer[s.decided][0], quantity,
    value: value(quantity, task), lower: value(`${quantity}_lower`, task), upper: value(`${quantity}_upper`, task),
    unit: s.unit,
  })));
}

function drawDecision(s) {
  const model = DECISION.model.indexOf(String(DIMS.model[s.model]));
  const tasks = model < 0 ? [] : decisionTasks(model, s.decided);
  if (!tasks.length) return { message: `There is no decision of ${DIMS.model[s.model]} for this choice.`, rows: [] };
  const data = STACK_ORDER.map((atom) => decisionTrace(s, model, tasks, atom));
  const line = { color: ink().text, width: 1.4, dash: "dash" };
  const shapes = tasks.map((task, i) => {
    const y = DECISION.values.target_entropy[model][task][s.decided] * unitFactor(s);
    return { type: "line", xref: "x", yref: "y", x0: i - 0.45, x1: i + 0.45, y0: y, y1: y, line };
  });
  const yTitle = { text: `${s.unit} about ${DECISION.answer[s.decided][1]}`, standoff: 6 };
  const xaxis = { ...axisStyle(), type: "category" };
  const limits = data.flatMap((one) => one.y.flatMap((y, i) => [y + one.error_y.array[i], y - one.error_y.arrayminus[i]]));
  const range = [Math.min(0, ...limits), 1.05 * Math.max(...limits, ...shapes.map((one) => one.y0))];
  const yaxis = { ...axisStyle(), title: yTitle, zeroline: true, range };
  data.push({ type: "scatter", mode: "lines", x: [null], y: [null], name: "H(answer)", line });
  return { data, rows: decisionRows(s, model, tasks),
    layout: { height: 360, margin: { t: 50 }, barmode: "group", bargap: 0.25, shapes, xaxis, yaxis } };
}

function setUpDecision() {
  if (!DECISION) return;
  defineChoice("decided", "About", () => DECISION.answer.map(([, label], i) => [i, label]));
  defineChart("decision", ["model", "decided", "unit"], drawDecision, null);
}
