// Unique information, direction by direction of the target.

function drawSpectra(s) {
  const name = `spectrum_${s.source.at(-1)}`;
  const shown = layersOf(s.model);
  const where = { model: s.model, task: s.task, condition: s.condition };
  const missing = missingReason(s, s.condition);
  if (missing) return { message: missing, rows: [] };
  const z = places("direction").map((direction) => {
    const values = seriesAt(name, { ...where, direction }, "layer");
    return shown.map((i) => values[i] * unitFactor(s));
  });
  const shared = { ...namesAt(where), source: s.source };
  const rowAt = (direction, j, value) => ({ ...shared, direction, layer: DIMS.layer[shown[j]], value, unit: s.unit });
  const rows = z.flatMap((line, d) => line.map((value, j) => rowAt(d + 1, j, value)));
  const layout = heatLayout(z.length, ["00"], { rowHeight: 26 });
  const heat = {
    type: "heatmap",
    z,
    x: shown.map((i) => DIMS.layer[i]),
    y: z.map((_, d) => d + 1),
    colorscale: SEQUENTIAL[themeNow()],
    zmin: 0,
    xgap: 1,
    ygap: 1,
    hovertemplate: `layer %{x}, direction %{y}: %{z:.3f} ${s.unit}<extra></extra>`,
    colorbar: { thickness: 12, outlinewidth: 0, title: { text: s.unit } },
  };
  const style = { ...axisStyle(), showgrid: false };
  const ticks = { autorange: "reversed", dtick: z.length > 12 ? 4 : 1, tick0: 1 };
  return {
    data: [heat],
    layout: {
      ...layout,
      margin: { ...layout.margin, l: 56 },
      xaxis: { ...style, title: { text: "layer (0 = embeddings)" } },
      yaxis: { ...style, ...ticks, title: { text: "direction" } },
    },
    rows,
  };
}

function setUpSpectra() {
  const known = ["source_1", "source_2"].filter((name) => anyHas(`spectrum_${name.at(-1)}`));
  if (!known.length) return;
  defineChoice("source", "Unique to", () => known.map((name) => [name, labelOf("source", name)]));
  const needs = known.map((name) => `spectrum_${name.at(-1)}`);
  defineChart("spectra", ["model", "task", "condition", "source", "unit"], drawSpectra, needs);
}
