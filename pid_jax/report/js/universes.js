// The claims under other choices of target, dimensions, map and measure.

const VERDICT_SIGNS = { supported: "✓", "not supported": "✗", "not testable here": "○" };
const VERDICT_SYMBOLS = { supported: "circle", "not supported": "x", "not testable here": "circle-open" };

function universeLabel(universe) {
  const parts = ["target", "dims", "gaussianizer", "measure"].map((name) => (has(`universe_${name}`) ? valueAt(
    `universe_${name}`, { universe }) : "")).filter(Boolean);
  return `${universe === 0 ? "Study: " : ""}${parts.join(" · ")}`;
}

function drawUniverses(s, width) {
  const all = places("universe");
  const unit = valueAt("claim_unit", { claim: s.claim });
  const factor = unit === "nats" ? unitFactor(s) : 1;
  const rows = [];
  const groups = places("model").map((model) => {
    const verdicts = all.map((universe) => valueAt("universe_verdict", { universe, model, claim: s.claim }));
    const values = all.map((universe) => {
      const where = { universe, model, claim: s.claim };
      const [value, lower, upper] = ["", "_lower", "_upper"].map((end) => valueOrNothing(`universe_value${end}`,
        where));
      const ends = [has("universe_lower") ? valueAt("universe_lower", where) : lower, has("universe_upper") ?
        valueAt("universe_upper", where) : upper
      ];
      rows.push({ universe: universeLabel(universe), model: DIMS.model[model], claim: DIMS.claim[s.claim],
        value: value * factor, lower: ends[0] * factor, upper: ends[1] * factor, unit: unit === "nats" ? s
          .unit : unit, verdict: verdicts[universe], reason: has("universe_reason") ? valueAt(
          "universe_reason", where) : "" });
      return { value: value * factor, lower: ends[0] * factor, upper: ends[1] * factor,
        note: ` (${verdicts[universe]})` };
    });
    return { name: String(DIMS.model[model]), values, symbols: verdicts.map((one) => VERDICT_SYMBOLS[one] ??
        "diamond") };
  });
  return { ...dotPlot(all.map(universeLabel), groups, `value that decides${unitText(unit, s)}`, width), rows };
}

function fillUniverses(s) {
  const csv = [];
  const rows = places("universe").map((universe) => {
    const signs = places("claim").map((claim) => {
      const verdict = valueAt("universe_verdict", { universe, model: s.model, claim });
      csv.push({ universe: universeLabel(universe), model: DIMS.model[s.model], claim: DIMS.claim[claim],
        verdict });
      return `${VERDICT_SIGNS[verdict] ?? "?"} ${verdict}`;
    });
    return [universeLabel(universe), ...signs];
  });
  return { columns: ["Choice", ...DIMS.claim.map((name) => String(name).replaceAll("_", " "))], rows, csv,
    caption: String(DIMS.model[s.model]), wordColumns: 99 };
}

function setUpUniverses() {
  if (!has("universe_value")) return;
  defineChoice("claim", "Claim", () => places("claim").map((i) => [i, valueAt("claim_text", { claim: i })]));
  const hasAmounts = places("claim").some((claim) => valueAt("claim_unit", { claim }) === "nats");
  defineChart("universes", hasAmounts ? ["claim", "unit"] : ["claim"], drawUniverses);
  defineTable("verdicts", ["model"], fillUniverses);
}
