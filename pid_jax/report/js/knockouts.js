// What cuts change: layer by layer, as one number per cut, and together with properties of tasks.

const cutsOf = (model) => conditionsOf(model).filter((c) => c !== 0);
const edgesOf = (condition) => valueAt("edges", { condition });
const edgeSets = (model) => [...new Set(cutsOf(model).map(edgesOf))];
// Cuts of the chosen edges.
const chosenCuts = (s) => cutsOf(s.model).filter((c) => edgesOf(c) === s.edges);

// Cut minus baseline in nats, with its interval and p-value where it was tested.
function changeSeries(s, condition, quantity) {
  const where = { model: s.model, task: s.task, condition };
  if (has("difference")) {
    const full = { ...where, quantity: position("quantity", quantity) };
    const [y, lower, upper, p] = ["", "_lower", "_upper", "_family_wise"].map((end) => seriesOrNothing(
      `difference${end}`, full, "layer"));
    return { y, lower, upper, p };
  }
  const read = (c) => seriesAt(quantity, { ...where, condition: c, measure: 0 }, "layer");
  const [before, after] = [read(0), read(condition)];
  const nothing = before.map(() => NaN);
  return { y: after.map((value, i) => value - before[i]), lower: nothing, upper: nothing, p: nothing };
}

// Every cell of the heat map, as a row that can be downloaded.
function windowRows(s, cuts, shown) {
  const factor = unitFactor(s);
  return cuts.flatMap((condition) => {
    const { y, lower, upper, p } = changeSeries(s, condition, s.quantity);
    return shown.map((i) => ({
      model: DIMS.model[s.model],
      task: DIMS.task[s.task],
      condition: DIMS.condition[condition],
      quantity: s.quantity,
      layer: DIMS.layer[i],
      difference: y[i] * factor,
      lower: lower[i] * factor,
      upper: upper[i] * factor,
      p_family_wise: p[i],
      unit: s.unit,
    }));
  });
}

function windowHover({ condition, layer, difference, lower, upper, p_family_wise: p, unit }) {
  const chance = Number.isFinite(p) ? `<br>p = ${numberText(p)} (all layers)` : "";
  const value = `${numberText(difference)}${rangeText(lower, upper)} ${unit}`;
  return `${plain(labelOf("condition", condition))}<br>layer ${layer}: ${value}${chance}`;
}

// Layers after the blocks that are cut: block b leads from layer b to layer b + 1.
function windowFrames(s, cuts) {
  return cuts.flatMap((condition, row) => {
    const ends = windowOf(s.model, condition);
    if (!ends) return [];
    const line = { color: ink().text, width: 1.2 };
    return [{ type: "rect", x0: ends[0] + 0.5, x1: ends[1] + 0.5, y0: row - 0.46, y1: row + 0.46, line }];
  });
}

// Lines between one set of edges and the next.
function edgeLines(cuts) {
  const starts = cuts.map((_, row) => row).filter((row) => row && edgesOf(cuts[row]) !== edgesOf(cuts[row - 1]));
  const line = { color: ink().soft, width: 1, dash: "dot" };
  return starts.map((row) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: row - 0.5, y1: row - 0.5, line }));
}

function drawWindows(s, width) {
  const [cuts, shown] = [cutsOf(s.model), layersOf(s.model)];
  const rows = windowRows(s, cuts, shown);
  const inGrid = (read) => cuts.map((_, r) => rows.slice(r * shown.length, (r + 1) * shown.length).map(read));
  const largest = Math.max(1e-9, ...rows.map((row) => Math.abs(row.difference)).filter(Number.isFinite));
  const places = rows.map((row, i) => [row, Math.floor(i / shown.length)]);
  const dots = places.filter(([row]) => isSignificant(row.p_family_wise));
  const ticktext = cuts.map((c) => tickText(labelOf("condition", DIMS.condition[c]), width));
  const layout = heatLayout(cuts.length, ticktext, { rowHeight: cuts.length > 8 && width >= 560 ? 26 : 36 });
  const vertical = { tickmode: "array", tickvals: cuts.map((_, r) => r), ticktext, autorange: "reversed" };
  return {
    data: [
      {
        type: "heatmap", z: inGrid((row) => row.difference), x: shown.map((i) => DIMS.layer[i]), y: vertical.tickvals,
        hovertext: inGrid(windowHover), hoverinfo: "text", colorscale: SCALES[themeNow()], zmin: -largest,
        zmax: largest, xgap: 1, ygap: 3, colorbar: { thickness: 12, outlinewidth: 0, title: { text: s.unit } },
      },
      {
        type: "scatter", mode: "markers", x: dots.map(([row]) => row.layer), y: dots.map(([, r]) => r),
        marker: { size: 4, color: ink().text, line: { color: ink().paper, width: 1 } }, hoverinfo: "skip",
        showlegend: false,
      },
    ],
    layout: {
      ...layout,
      shapes: [...windowFrames(s, cuts), ...edgeLines(cuts)],
      xaxis: { ...axisStyle(), title: { text: "layer (0 = embeddings)" }, showgrid: false },
      yaxis: { ...axisStyle(), ...vertical, showgrid: false },
    },
    rows,
  };
}

// Points with whiskers, a row for every label, and a color, marker and small shift for every group.
function dotPlot(labels, groups, xTitle, width) {
  const text = labels.map((label) => tickText(label, width));
  const range = [labels.length - 0.4, -0.6];
  const rowHeight = Math.max(34, 10 * groups.length + 16);
  const layout = heatLayout(labels.length, text, { rowHeight, widest: width < 560 ? 120 : 300 });
  const legendRows = Math.ceil(groups.length / Math.max(1, Math.floor(width / 170)));
  const data = groups.map(({ name, values, symbols }, g) => ({
    type: "scatter",
    mode: "markers",
    name: plain(name),
    x: values.map((one) => one.value),
    y: labels.map((_, i) => i + (groups.length > 1 ? 0.56 * (g / (groups.length - 1) - 0.5) : 0)),
    marker: { color: lineColor(g), symbol: symbols ?? SYMBOLS[g % SYMBOLS.length], size: 8 },
    error_x: { type: "data", symmetric: false, array: values.map((one) => one.upper - one.value),
      arrayminus: values.map((one) => one.value - one.lower), color: lineColor(g), thickness: 1.3, width: 3 },
    customdata: values.map((one, i) =>
      `${plain(labels[i])}: ${numberText(one.value)}${rangeText(one.lower, one.upper)}${one.note ?? ""}`),
    hovertemplate: `%{customdata}<extra>${plain(name)}</extra>`,
    showlegend: groups.length > 1,
  }));
  return {
    data,
    layout: {
      ...layout,
      height: layout.height + 24 * legendRows,
      margin: { ...layout.margin, t: 24 + 24 * legendRows },
      legend: { y: 1.01 },
      xaxis: { ...axisStyle(), title: { text: titleText(xTitle, width) }, zeroline: true, zerolinewidth: 1.5 },
      yaxis: { ...axisStyle(), tickmode: "array", tickvals: labels.map((_, i) => i), ticktext: text, range },
    },
  };
}

const chanceNote = (p) => (Number.isFinite(p) ? `, p = ${numberText(p)}` : "");

function drawEffects(s, width) {
  const cuts = chosenCuts(s);
  const own = valueAt("effect_unit", { effect_name: s.effect });
  const [factor, unit] = own === "nats" ? [unitFactor(s), s.unit] : [1, own];
  const rows = [];
  const cell = (task, condition) => {
    const where = { model: s.model, task, condition, effect_name: s.effect };
    const [value, lower, upper] = withEnds("effect", where).map((x) => x * factor);
    const [p, familyWise] = ["effect_p", "effect_family_wise"].map((name) => valueOrNothing(name, where));
    rows.push({ ...namesAt(where), value, lower, upper, p, p_family_wise: familyWise, unit });
    return { value, lower, upper, note: chanceNote(familyWise) };
  };
  const group = (task) => ({ name: String(DIMS.task[task]), values: cuts.map((c) => cell(task, c)) });
  const groups = tasksOf(s.model).map(group);
  const title = valueAt("effect_label", { effect_name: s.effect }) + unitText(own, s);
  return { ...dotPlot(cuts.map((c) => labelOf("condition", DIMS.condition[c])), groups, title, width), rows };
}

// Places of the chosen edges and their windows, in the order of the cuts, with what they are called.
function associationKinds(s) {
  const place = (c) => [position("edges_name", edgesOf(c)), position("window_name", valueAt("window", { condition: c }))];
  const named = (c) => [...place(c), labelOf("condition", DIMS.condition[c])];
  return chosenCuts(s).map(named).filter(([edges, window]) => edges >= 0 && window >= 0);
}

function drawAssociations(s, width) {
  const rows = [];
  const cell = (property, [edges, window]) => {
    const where = { model: s.model, edges_name: edges, window_name: window, effect_name: s.effect, property };
    const [value, lower, upper] = withEnds("association", where);
    const p = valueOrNothing("association_p", where);
    rows.push({ ...namesAt(where), value, lower, upper, p });
    return { value, lower, upper, note: chanceNote(p) };
  };
  const kinds = associationKinds(s);
  const all = places("property").map((property) => kinds.map((kind) => cell(property, kind)));
  const known = kinds.map((_, i) => i).filter((i) => all.some((values) => Number.isFinite(values[i].value)));
  if (!known.length) return { message: "Too few tasks to correlate effects with their properties.", rows };
  const labels = known.map((i) => kinds[i][2]);
  const name = (property) => String(DIMS.property[property]).replaceAll("_", " ");
  const groups = all.map((values, property) => ({ name: name(property), values: known.map((i) => values[i]) }));
  const title = `Spearman correlation with: ${valueAt("effect_label", { effect_name: s.effect })}`;
  return { ...dotPlot(labels, groups, title, width), rows };
}

function setUpKnockouts() {
  const quantities = () => (has("difference") ? DIMS.quantity : ATOMS).map((name) => [name, atomLabel(name)]);
  defineChoice("quantity", "Amount", quantities, { initial: (all) => (all.includes("unique_1") ? "unique_1" : all[
    0]) });
  defineChart("windows", ["model", "task", "quantity", "unit"], drawWindows);
  if (!anyHas("effect")) return;
  defineChoice("effect", "Effect", () => places("effect_name").map((i) => [i, valueAt(
  "effect_label", { effect_name: i })]));
  defineChoice("edges", "Cut", (s) => edgeSets(s.model).map((edges) => [edges, labelOf("edges", edges)]));
  defineChart("effects", ["model", "edges", "effect", "unit"], drawEffects, ["effect"]);
  defineChart("associations", ["model", "edges", "effect"], drawAssociations, ["association"]);
}
