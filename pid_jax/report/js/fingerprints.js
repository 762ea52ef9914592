// Shares at a chosen depth for every model and task, and how far they are apart.

function profiles() {
  return places("model").flatMap((model) => tasksOf(model).map((task) => ({ model, task, label: DIMS.model.length > 1 ?
      `${DIMS.model[model]}, ${DIMS.task[task]}` : String(DIMS.task[task]) })));
}

function drawFingerprints(s, width) {
  const all = profiles();
  const rows = [];
  const data = places("share").map((share) => {
    const atom = DIMS.share[share];
    const values = all.map(({ model, task }) => {
      const [value, lower, upper] = ["", "_lower", "_upper"].map((end) => valueOrNothing(
      `fingerprint${end}`, { model, task, point: s.point, share }));
      rows.push({ model: DIMS.model[model], task: DIMS.task[task], point: DIMS.point[s.point],
        depth: valueOrNothing("point_depth", { point: s.point }), share: atom, value, lower, upper });
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
  const text = all.map((one) => tickText(one.label, width));
  const layout = heatLayout(all.length, text, { rowHeight: 34 });
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
      yaxis: { ...axisStyle(), tickmode: "array", tickvals: all.map((_, i) => i), ticktext: text, autorange: "reversed",
        showgrid: false },
    },
    rows,
  };
}

function drawDistances(s, width) {
  const isKnown = (i) => !Number.isNaN(valueAt("fingerprint_distance", { profile: i, profile_2: i }));
  const shown = places("profile").filter(isKnown);
  const label = (i) => (DIMS.model.length > 1 ?
    `${valueAt("profile_model", { profile: i })}, ${valueAt("profile_task", { profile: i })}` : valueAt(
      "profile_task", { profile: i }));
  return drawMatrix("fingerprint_distance", {}, ["profile", "profile_2"], shown, shown.map(
  label), { colorscale: upperHalf(MATRIX_SCALES[themeNow()]), zmin: 0 }, width);
}

function setUpFingerprints() {
  if (!has("fingerprint")) return;
  defineChoice("point", "Depth", () => places("point").map((i) => [i,
    `${DIMS.point[i]} (${numberText(valueOrNothing("point_depth", { point: i }), 2)})`
  ]), { initial: (all) => all.at(-1) });
  defineChart("fingerprints", ["point"], drawFingerprints);
  defineChart("distances", [], drawDistances);
}
