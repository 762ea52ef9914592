// The atoms as percentages of the total, stacked, a panel for every task of a model.

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
        hovertemplate: `%{y:.1f} %<extra>${plain(atomLabel(atom))}</extra>`,
      };
    }),
  );
  return { data, layout: { ...layout, barmode: "relative", bargap: 0.06 }, rows };
}

function setUpShares() {
  defineChart("shares", ["model", "condition", "estimate", "axis"], drawShares);
}
