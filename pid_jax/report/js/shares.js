// The atoms as percentages of the total, stacked, a panel for every task of a model.

// Between which percents most random systems lie, for every layer: known of the baseline and the measure of the study.
function chanceTexts(s, where, atom) {
  const { tested_measure: tested, default_measure: other } = BLOCK.attributes;
  const isOwn = where.condition === 0 && s.estimate === `measure:${tested || other}`;
  const share = isOwn && has("chance_share_lower") ? position("share", atom) : -1;
  if (share < 0) return DIMS.layer.map(() => "");
  const [low, high] = ["lower", "upper"].map((end) => seriesAt(`chance_share_${end}`, { ...where, share }, "layer"));
  return low.map((value, i) => chanceText(value, high[i]));
}
const chanceText = (low, high) => {
  const range = rangeText(100 * low, 100 * high, 1).trim();
  return range ? `<br>random systems: ${range.slice(1, -1)} %` : "";
};

// The same at a depth, between the layers next to it.
function chanceAtDepth(where, depth) {
  if (!has("chance_share_lower") || Number.isNaN(depth)) return "";
  const depths = seriesAt("depth", where, "layer");
  const own = layersOf(where.model);
  const above = own.find((i) => depths[i] >= depth) ?? own.at(-1);
  const below = Math.max(above - 1, own[0]);
  const part = above === below ? 0 : (depth - depths[below]) / (depths[above] - depths[below]);
  const [low, high] = ["lower", "upper"].map((end) => {
    const values = seriesAt(`chance_share_${end}`, where, "layer");
    return values[below] + part * (values[above] - values[below]);
  });
  return chanceText(low, high);
}

function drawShares(s, width) {
  const tasks = tasksOf(s.model).filter((task) => cellOf(s.model, task, s.condition) === "done");
  if (!tasks.length) return { message: missingReason(s, s.condition) ?? "No task has this condition.", rows: [] };
  const texts = { xTitle: axisTitle(s), yTitle: "% of I₁₂" };
  const layout = panelLayout(tasks.map((t) => DIMS.task[t]), width, { wide: 3, rowHeight: 210, ...texts });
  const x = layerValues(s, s.model);
  const shown = layersOf(s.model);
  const rows = [];
  const data = tasks.flatMap((task, panel) =>
    ATOMS.map((atom) => {
      const where = { model: s.model, task, condition: s.condition };
      const [{ y }, total] = [shareSeries(s, atom, where), totalSeries(s, where)];
      const shared = { ...namesAt(where), estimate: estimateLabel(s), quantity: atom };
      for (const i of shown) rows.push({ ...shared, layer: DIMS.layer[i], percent: y[i], i_12_nats: total[i] });
      const chance = chanceTexts(s, where, atom);
      const n = panel ? panel + 1 : "";
      return {
        type: "bar",
        x: shown.map((i) => x[i]),
        y: shown.map((i) => y[i]),
        name: plain(atomLabel(atom)),
        legendgroup: atom,
        showlegend: panel === 0,
        xaxis: `x${n}`,
        yaxis: `y${n}`,
        marker: { color: ATOM_COLORS[themeNow()][atom], line: { width: 0 }, pattern: patternOf(atom) },
        customdata: shown.map((i) => chance[i]),
        hovertemplate: `%{y:.1f} %%{customdata}<extra>${plain(atomLabel(atom))}</extra>`,
      };
    }),
  );
  return { data, layout: { ...layout, barmode: "relative", bargap: 0.06 }, rows };
}

function setUpShares() {
  defineChart("shares", ["model", "condition", "estimate", "axis"], drawShares);
}
