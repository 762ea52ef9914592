// The atoms in bits, stacked, a panel for every task of a model; the entropy of an answer is a dashed line.

// The entropy of the answer in the chosen unit; NaN where the target is a state.
const entropyOf = (s, task, condition) => valueOrNothing("target_entropy", { model: s.model, task, condition }) *
  unitFactor(s);

function entropyLine(value, panel) {
  if (!Number.isFinite(value)) return [];
  const n = panel ? panel + 1 : "";
  const line = { color: ink().text, width: 1.4, dash: "dash" };
  return [{ type: "line", xref: `x${n} domain`, yref: `y${n}`, x0: 0, x1: 1, y0: value, y1: value, line }];
}

function drawInformation(s, width) {
  const tasks = tasksOf(s.model).filter((task) => cellOf(s.model, task, s.condition) === "done");
  if (!tasks.length) return { message: missingReason(s, s.condition) ?? "No task has this condition.", rows: [] };
  const texts = { xTitle: axisTitle(s), yTitle: `${s.unit} about ${targetLabel()}` };
  const titles = tasks.map((task) => {
    const entropy = entropyOf(s, task, s.condition);
    return Number.isFinite(entropy) ? `${DIMS.task[task]} (H = ${numberText(entropy, 2)} ${s.unit})` : DIMS.task[task];
  });
  const layout = panelLayout(titles, width, { wide: 2, rowHeight: 240, ...texts });
  const [x, shown, rows] = [layerValues(s, s.model), layersOf(s.model), []];
  const data = tasks.flatMap((task, panel) => {
    const n = panel ? panel + 1 : "";
    if (panel) delete layout[`yaxis${n}`].matches; // answers of tasks differ in entropy
    layout.shapes.push(...entropyLine(entropyOf(s, task, s.condition), panel));
    return STACK_ORDER.map((atom) => {
      const where = { model: s.model, task, condition: s.condition };
      const series = scaled(atomSeries(s, atom, where), unitFactor(s));
      rows.push(...seriesRows(s, where, atom, series, s.unit));
      return {
        type: "bar",
        x: shown.map((i) => x[i]),
        y: shown.map((i) => series.y[i]),
        name: plain(atomLabel(atom)),
        legendgroup: atom,
        showlegend: panel === 0,
        xaxis: `x${n}`,
        yaxis: `y${n}`,
        marker: { color: ATOM_COLORS[themeNow()][atom], line: { width: 0 }, pattern: patternOf(atom) },
        customdata: shown.map((i) => rangeText(series.lower[i], series.upper[i])),
        hovertemplate: `%{y:.3f}%{customdata} ${s.unit}<extra>${plain(atomLabel(atom))}</extra>`,
      };
    });
  });
  return { data, layout: { ...layout, barmode: "relative", bargap: 0.06 }, rows };
}

const STACK_ORDER = ["unique_1", "redundancy", "unique_2", "synergy"];

function setUpInformation() {
  defineChart("information", ["model", "condition", "estimate", "unit", "axis"], drawInformation);
}
