// Shares at a chosen depth for every model and task, and how far they are apart.

// With more of them, those of the chosen task alone are shown.
const MOST_PROFILES = 24;
const hasManyProfiles = () => DIMS.model.length * DIMS.task.length > MOST_PROFILES;

// What differs among those that are shown.
function profileLabel(model, task) {
  if (hasManyProfiles()) return String(model);
  return DIMS.model.length > 1 ? `${model}, ${task}` : String(task);
}

function drawFingerprints(s, width) {
  const isShown = (task) => !hasManyProfiles() || task === s.task;
  const all = places("model").flatMap((model) => tasksOf(model).filter(isShown).map((task) => ({ model, task })));
  const depth = valueOrNothing("point_depth", { point: s.point });
  const rows = [];
  const data = places("share").map((share) => {
    const atom = DIMS.share[share];
    const values = all.map(({ model, task }) => {
      const where = { model, task, point: s.point, share };
      const [value, lower, upper] = withEnds("fingerprint", where);
      rows.push({ ...namesAt(where), depth, value, lower, upper });
      return { value, text: rangeText(100 * lower, 100 * upper, 1) + chanceAtDepth({ model, task, share }, depth) };
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
  const layout = heatLayout(all.length, ticktext, { rowHeight: hasManyProfiles() ? 22 : 34 });
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
  const part = (name, profile) => valueAt(`profile_${name}`, { profile });
  const isKnown = (i) => !Number.isNaN(valueAt("fingerprint_distance", { profile: i, profile_2: i }));
  const isShown = (i) => !hasManyProfiles() || part("task", i) === String(DIMS.task[s.task]);
  const shown = places("profile").filter((i) => isKnown(i) && isShown(i));
  const labels = shown.map((i) => profileLabel(part("model", i), part("task", i)));
  const look = { colorscale: upperHalf(MATRIX_SCALES[themeNow()]), zmin: 0 };
  return drawMatrix("fingerprint_distance", {}, ["profile", "profile_2"], shown, labels, look, width);
}

function setUpFingerprints() {
  if (!anyHas("fingerprint")) return;
  const label = (i) => `${DIMS.point[i]} (${numberText(valueOrNothing("point_depth", { point: i }), 2)})`;
  defineChoice("point", "Depth", () => places("point").map((i) => [i, label(i)]), { initial: (all) => all.at(-1) });
  const own = hasManyProfiles() ? ["task"] : [];
  defineChart("fingerprints", [...own, "point"], drawFingerprints, ["fingerprint"]);
  defineChart("distances", own, drawDistances, ["fingerprint_distance"]);
}
