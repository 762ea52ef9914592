// The claims under other choices of target, dimensions, map and measure.

const VERDICT_SIGNS = { supported: "✓", "contradicted": "✗", "not testable here": "○" };
const VERDICT_SYMBOLS = { supported: "circle", "contradicted": "x", "not testable here": "circle-open" };

const universeLabel = (universe) => labelOf("universe", DIMS.universe[universe]);

// The number that decides with its interval, the verdict and the reason, in the chosen unit.
function universeCell(s, universe, model) {
  const where = { universe, model, claim: s.claim };
  const own = valueAt("claim_unit", { claim: s.claim });
  const [factor, unit] = own === "nats" ? [unitFactor(s), s.unit] : [1, own];
  const named = (name) => (has(`universe_${name}`) ? `universe_${name}` : `universe_value_${name}`);
  const end = (name) => factor * valueOrNothing(named(name), where);
  const [value, lower, upper] = [factor * valueAt("universe_value", where), end("lower"), end("upper")];
  const [verdict, reason] = ["verdict", "reason"].map((name) => valueAt(`universe_${name}`, where));
  return { ...namesAt(where), choice: universeLabel(universe), value, lower, upper, unit, verdict, reason };
}

function drawUniverses(s, width) {
  const all = places("universe");
  const rows = [];
  const shown = hasManyModels() ? [s.model] : places("model");
  const groups = shown.map((model) => {
    const cells = all.map((universe) => universeCell(s, universe, model));
    rows.push(...cells);
    const values = cells.map((cell) => ({ ...cell, note: ` (${cell.verdict})` }));
    const symbols = cells.map(({ verdict }) => VERDICT_SYMBOLS[verdict] ?? "diamond");
    return { name: String(DIMS.model[model]), values, symbols };
  });
  const title = `value that decides${unitText(valueAt("claim_unit", { claim: s.claim }), s)}`;
  return { ...dotPlot(all.map(universeLabel), groups, title, width), rows };
}

function fillUniverses(s) {
  const csv = [];
  const rows = places("universe").map((universe) => {
    const signs = places("claim").map((claim) => {
      const where = { universe, model: s.model, claim };
      const verdict = valueAt("universe_verdict", where);
      csv.push({ ...namesAt(where), choice: universeLabel(universe), verdict });
      const sign = VERDICT_SIGNS[verdict] ?? "?";
      return element("span", { title: verdict, role: "img", "aria-label": verdict }, sign);
    });
    return [universeLabel(universe), ...signs];
  });
  const columns = ["Choice", ...DIMS.claim.map((name) => String(name).replaceAll("_", " "))];
  return { columns, rows, csv, caption: String(DIMS.model[s.model]), wordColumns: columns.length, isTight: true };
}

function setUpUniverses() {
  if (!anyHas("universe_value")) return;
  defineChoice("claim", "Claim", () => places("claim").map((i) => [i, valueAt("claim_text", { claim: i })]));
  const hasAmounts = places("claim").some((claim) => valueAt("claim_unit", { claim }) === "nats");
  const needs = ["universe_value"];
  const keys = ["claim", ...(hasManyModels() ? ["model"] : []), ...(hasAmounts ? ["unit"] : [])];
  defineChart("universes", keys, drawUniverses, needs);
  defineTable("verdicts", ["model"], fillUniverses, needs);
}
