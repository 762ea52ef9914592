// What was tested: whether a source adds to the other, and what cuts change.

const significantLayers = (p, model) => layersOf(model).filter((i) => isSignificant(p[i])).map((i) => DIMS.layer[i]);

function fillAdded(s) {
  const csv = [];
  const read = (condition, source) => {
    const where = { model: s.model, task: s.task, condition, source };
    const [p, familyWise] = ["added_p", "added_family_wise"].map((name) => seriesOrNothing(name, where, "layer"));
    return { where, p, familyWise };
  };
  const isTested = (c) => places("source").some((source) => read(c, source).familyWise.some(Number.isFinite));
  const rows = conditionsOf(s.model).filter(isTested).map((condition) => {
    const texts = places("source").map((source) => {
      const { where, p, familyWise } = read(condition, source);
      for (const i of layersOf(s.model))
        csv.push({ ...namesAt(where), layer: DIMS.layer[i], p: p[i], p_family_wise: familyWise[i] });
      return familyWise.some(Number.isFinite) ? spansText(significantLayers(familyWise, s.model)) : "–";
    });
    return [labelOf("condition", DIMS.condition[condition]), ...texts];
  });
  const [first, second] = DIMS.source.map((name) => labelOf("source", name));
  const columns = ["Condition", `${first} adds to ${second}`, `${second} adds to ${first}`];
  return { columns, rows, csv, caption: `${DIMS.model[s.model]}, ${DIMS.task[s.task]}`, wordColumns: 3 };
}

function fillChanged(s) {
  const [cuts, shown] = [cutsOf(s.model), layersOf(s.model)];
  const csv = windowRows(s, cuts, shown);
  const rows = cuts.map((condition) => {
    const name = labelOf("condition", DIMS.condition[condition]);
    const { y, lower, upper, p } = changeSeries(s, condition, s.quantity);
    const known = shown.filter((i) => Number.isFinite(y[i]));
    if (!known.length) return [name, "–", "–", "–"];
    const most = known.reduce((a, b) => (Math.abs(y[b]) > Math.abs(y[a]) ? b : a));
    const [value, ...ends] = [y, lower, upper].map((values) => values[most] * unitFactor(s));
    const largest = numberText(value) + rangeText(...ends);
    return [name, largest, String(DIMS.layer[most]), spansText(significantLayers(p, s.model))];
  });
  const columns = ["Cut", `Largest difference (${s.unit})`, "At layer", "Layers that differ"];
  return { columns, rows, csv, caption: `${DIMS.model[s.model]}, ${DIMS.task[s.task]}: ${atomLabel(s.quantity)}` };
}

function setUpTests() {
  defineTable("added", ["model", "task"], fillAdded, ["added_family_wise"]);
  if (anyHas("difference_family_wise"))
    defineTable("changed", ["model", "task", "quantity", "unit"], fillChanged, ["difference_family_wise"]);
}
