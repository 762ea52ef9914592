// Every variable of the dataset as a table that can be narrowed, searched and downloaded.

const PAGE_ROWS = 25;
const ENDINGS = ["_lower", "_upper", "_p", "_family_wise"];
const ALL = "all";
let pageNumber = 0;
let searched = "";

// Variables with the same dimensions whose names differ by such an ending stand side by side.
function variableGroups() {
  const names = Object.keys(BLOCK.variables).filter((name) => BLOCK.variables[name].dims.length > 0);
  const sameDims = (a, b) => BLOCK.variables[a].dims.join() === BLOCK.variables[b].dims.join();
  const isPart = (name) => ENDINGS.some((end) => name.endsWith(end) && names.includes(name.slice(0, -end.length)) &&
    sameDims(name, name.slice(0, -end.length)));
  const isThere = (part, name) => names.includes(part) && sameDims(name, part);
  const partsOf = (name) => ENDINGS.map((end) => name + end).filter((part) => isThere(part, name));
  return names.filter((name) => !isPart(name)).map((name) => [name, [name, ...partsOf(name)]]);
}

// The position of an entry of a variable in one dimension, and in all.
const positionIn = ({ steps }, dim, flat) => Math.floor(flat / steps[dim]) % DIMS[dim].length;
const whereOf = (one, flat) => Object.fromEntries(one.dims.map((dim) => [dim, positionIn(one, dim, flat)]));

// Positions by dimension of every entry of a variable, in its order.
function* wheres(one) {
  for (let flat = 0; flat < one.size; flat += 1) yield [whereOf(one, flat), flat];
}

// Where entries of variables with the same dimensions are known. Rows are made of those that are shown: there may be
// hundreds of thousands.
function knownPlaces([first, ...others], fixed) {
  const isKnown = ({ isText, values }, flat) => isText || !Number.isNaN(values[flat]);
  const isIn = (flat) => Object.entries(fixed).every(([dim, at]) => positionIn(first, dim, flat) === at);
  const found = [];
  for (let flat = 0; flat < first.size; flat += 1)
    if (isIn(flat) && [first, ...others].some((one) => isKnown(one, flat))) found.push(flat);
  return found;
}

function groupRow(all, flat) {
  const row = namesAt(whereOf(all[0], flat));
  for (const { name, unit, values } of all) row[unit && unit !== "1" ? `${name} (${unit})` : name] = values[flat];
  return row;
}

// The variables that stand side by side, and the places of the rows that are asked for.
function chosenPlaces(s) {
  const all = variableGroups().find(([name]) => name === s.variable)[1].map(variable);
  const fixed = {};
  for (const dim of all[0].dims)
    if (s[`at_${dim}`] !== ALL) fixed[dim] = s[`at_${dim}`];
  const words = searchable(searched).split(/\s+/).filter(Boolean);
  const known = knownPlaces(all, fixed);
  if (!words.length) return [all, known];
  const isIn = (row, word) => Object.values(row).some((value) => searchable(shownText(value)).includes(word));
  return [all, known.filter((flat) => words.every((word) => isIn(groupRow(all, flat), word)))];
}

// Below this, a number is what rounding has left of zero; downloads keep it.
const SMALLEST_SHOWN = 1e-12;
const searchable = (text) => text.toLowerCase().replaceAll("−", "-");

function shownText(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isNaN(value)) return "–";
  return String(Math.abs(value) < SMALLEST_SHOWN ? 0 : Number(value.toPrecision(6))).replaceAll("-", "−");
}

function fillExplorer(s) {
  const [all, found] = chosenPlaces(s);
  const last = Math.max(0, Math.ceil(found.length / PAGE_ROWS) - 1);
  pageNumber = Math.min(pageNumber, last);
  const shown = found.slice(pageNumber * PAGE_ROWS, (pageNumber + 1) * PAGE_ROWS).map((flat) => groupRow(all, flat));
  const columns = shown.length ? Object.keys(shown[0]) : [];
  document.getElementById("rows").textContent = found.length ?
    `${pageNumber * PAGE_ROWS + 1} to ${pageNumber * PAGE_ROWS + shown.length} of ${found.length} rows` : "no rows";
  document.getElementById("previous").disabled = pageNumber === 0;
  document.getElementById("next").disabled = pageNumber === last;
  const texts = shown.map((row) => columns.map((name) => shownText(row[name])));
  const csv = () => found.map((flat) => groupRow(all, flat));
  return { columns, rows: texts, csv, caption: s.variable, wordColumns: variable(s.variable).dims.length };
}

function setUpExplorer() {
  const names = () => variableGroups().map(([name]) => [name, name]);
  defineChoice("variable", "Variable", names, { initial: () => "unique_1" });
  const every = BLOCKS.flatMap((block) => Object.values(block.variables).flatMap((one) => one.dims));
  const keys = [...new Set(BLOCKS.flatMap((block) => Object.keys(block.dims)))].filter((dim) => every.includes(dim));
  for (const dim of keys) {
    const all = [ALL, "all"];
    const entries = () => DIMS[dim].map((entry, i) => [i, labelOf(dim, entry)]);
    const own = (s) => (BLOCK.variables[s.variable].dims.includes(dim) ? [all, ...entries()] : [all]);
    defineChoice(`at_${dim}`, dim.replaceAll("_", " "), own);
  }
  defineTable("explorer", ["variable", ...keys.map((dim) => `at_${dim}`)], fillExplorer);
  const table = filled.at(-1);
  const refill = () => {
    table.isStale = true;
    fillTables();
  };
  const turn = (step) => () => {
    pageNumber += step;
    refill();
  };
  const look = () => {
    searched = search.value;
    pageNumber = 0;
    refill();
  };
  const search = element("input", { type: "search", id: "search", oninput: look });
  const pages = element(
    "div",
    { class: "controls" },
    element("label", {}, "Search in these rows", search),
    element("button", { type: "button", id: "previous", onclick: turn(-1) }, "Previous"),
    element("button", { type: "button", id: "next", onclick: turn(1) }, "Next"),
    element("span", { id: "rows", class: "caption", role: "status" }),
  );
  table.holder.before(pages);
}

// Every number in one long table: a row each, with the dimensions that any variable has.
function* everythingParts() {
  const names = Object.keys(BLOCK.variables);
  const dims = Object.keys(DIMS);
  yield `variable,unit,${dims.join(",")},value\n`;
  for (const name of names) {
    const one = variable(name);
    const head = `${csvField(name)},${csvField(one.unit)},`;
    const lines = [];
    for (const [where, flat] of wheres(one)) {
      const value = one.values[flat];
      if (typeof value === "number" && Number.isNaN(value)) continue;
      const at = dims.map((dim) => (dim in where ? csvField(DIMS[dim][where[dim]]) : "")).join(",");
      lines.push(`${head}${at},${csvField(value)}\n`);
    }
    yield lines.join("");
  }
}
