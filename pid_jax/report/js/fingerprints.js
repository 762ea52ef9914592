// Shares at a chosen depth for every model and task, and how far they are apart.

// The model is named where there are several.
const profileLabel = (model, task) => (DIMS.model.length > 1 ? `${model}, ${task}` : String(task));

function drawFingerprints(s, width) {
  const all = places("model").flatMap((model) => tasksOf(model).map((task) => ({ model, task })));
  const depth = valueOrNothing("point_depth", { point: s.point });
  const rows = [];
  const data = places("share").map((share) => {
    const atom = DIMS.share[share];
    const values = all.map(({ model, task }) => {
      const where = { model, task, point: s.point, share };
      const [value, lower, upper] = withEnds("fingerprint", where);
      rows.push({ ...namesAt(where), depth, value, lower, upper });
      return { value, text: rangeText(100 * lower, 100 * upper, 1) };
    });
    return {
      type: "bar",
      orientation: "h",
      y: all.map((_, i) => i),
      x: values.map((one) => 100 * one.value),
      name: plain(atomLabel(atom)),
      customdata: values.map((one) => one.text),
      hovertemplate: `%{x:.1f} %%{customdata}<extra>${plain(atomLabel(atom))}</extra>`,
      marker: { color: ATOM_COLORS[themeNow()][atom], pattern: patternOf(atom) },
    };
  });
  const ticktext = all.map(({ model, task }) => tickText(profileLabel(DIMS.model[model], DIMS.task[task]), width));
  const layout = heatLayout(all.length, ticktext, { rowHeight: 34 });
  const ticks = { tickmode: "array", tickvals: all.map((_, i) => i), ticktext };
  return {
    data,
    layout: {
      ...layout,
      barmode: "relative",
      bargap: 0.25,
      margin: { ...layout.margin, t: 60 },
      height: layout.height + 40,
      xaxis: { ...axisStyle(), title: { text: "% of I₁₂" } },
      legend: { y: 1.02 },
      yaxis: { ...axisStyle(), ...ticks, autorange: "reversed", showgrid: false },
    },
    rows,
  };
}

function drawDistances(s, width) {
  const isKnown = (i) => !Number.isNaN(valueAt("fingerprint_distance", { profile: i, profile_2: i }));
  const shown = places("profile").filter(isKnown);
  const part = (name, profile) => valueAt(`profile_${name}`, { profile });
  const labels = shown.map((i) => profileLabel(part("model", i), part("task", i)));
  const look = { colorscale: upperHalf(MATRIX_SCALES[themeNow()]), zmin: 0 };
  return drawMatrix("fingerprint_distance", {}, ["profile", "profile_2"], shown, labels, look, width);
}

function setUpFingerprints() {
  if (!anyHas("fingerprint")) return;
  const label = (i) => `${DIMS.point[i]} (${numberText(valueOrNothing("point_depth", { point: i }), 2)})`;
  defineChoice("point", "Depth", () => places("point").map((i) => [i, label(i)]), { initial: (all) => all.at(-1) });
  defineChart("fingerprints", ["point"], drawFingerprints, ["fingerprint"]);
  defineChart("distances", [], drawDistances, ["fingerprint_distance"]);
}
