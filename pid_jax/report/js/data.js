// The data blocks, one for each target: every chart, table and download reads the chosen one through the functions of
// this file.

const BLOCKS = [...document.querySelectorAll('script[type="application/json"][data-target]')].map((one) =>
  JSON.parse(one.textContent));
let BLOCK = BLOCKS[0];
let DIMS = BLOCK.dims;
const BITS_PER_NAT = 1 / Math.LN2;
const ATOMS = ["redundancy", "unique_1", "unique_2", "synergy"];
const DECODED = BLOCKS.map(() => new Map());
let decoded = DECODED[0];

function useBlock(i) {
  [BLOCK, DIMS, decoded] = [BLOCKS[i], BLOCKS[i].dims, DECODED[i]];
}

const targetLabel = () => BLOCK.attributes.about;

function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

const has = (name) => Object.hasOwn(BLOCK.variables, name);
const anyHas = (name) => BLOCKS.some((block) => Object.hasOwn(block.variables, name));

// A variable: its dimensions, the step of each in the flat values, and the values (numbers, or words).
function variable(name) {
  if (!decoded.has(name)) {
    const raw = BLOCK.variables[name];
    const steps = {};
    let size = 1;
    for (const dim of [...raw.dims].reverse()) {
      steps[dim] = size;
      size *= DIMS[dim].length;
    }
    const values = raw.words ?
      Array.from(new Uint32Array(bytesOf(raw.places).buffer), (place) => raw.words[place]) :
      new Float32Array(bytesOf(raw.floats).buffer);
    decoded.set(name, { name, dims: raw.dims, unit: raw.unit, steps, values, size, isText: Boolean(raw.words) });
  }
  return decoded.get(name);
}

// `where` gives positions by dimension; those that the variable does not have are ignored.
function placeOf(one, where) {
  let place = 0;
  for (const dim of one.dims) place += (where[dim] ?? 0) * one.steps[dim];
  return place;
}

function valueAt(name, where) {
  const one = variable(name);
  return one.values[placeOf(one, where)];
}

function seriesAt(name, where, dim) {
  const one = variable(name);
  const start = placeOf(one, { ...where, [dim]: 0 });
  return DIMS[dim].map((_, i) => one.values[start + i * one.steps[dim]]);
}

// The same, or missing values where there is no such variable.
const seriesOrNothing = (name, where, dim) => (has(name) ? seriesAt(name, where, dim) : DIMS[dim].map(() => NaN));
const valueOrNothing = (name, where) => (has(name) ? valueAt(name, where) : NaN);

// A value and both ends of its interval.
const withEnds = (name, where) => ["", "_lower", "_upper"].map((end) => valueOrNothing(name + end, where));
// Entries by dimension instead of their positions.
const namesAt = (where) => Object.fromEntries(Object.entries(where).map(([dim, i]) => [dim, DIMS[dim][i]]));

const position = (dim, entry) => DIMS[dim].findIndex((one) => String(one) === String(entry));
const labelOf = (dim, entry) => (Object.hasOwn(BLOCK.labels[dim] ?? {}, entry) ? BLOCK.labels[dim][entry] : String(
  entry));
const atomLabel = (atom) => labelOf("quantity", atom);

const cellOf = (model, task, condition) => valueAt("cell", { model, task, condition });
const tasksOf = (model) => places("task").filter((task) => places("condition").some((c) => cellOf(model, task, c) !==
  "absent"));
const conditionsOf = (model) => places("condition").filter((c) => places("task").some((t) => cellOf(model, t, c) !==
  "absent"));
const layersOf = (model) => (has("last_layer") ? places("layer").filter((l) => DIMS.layer[l] <= valueAt(
"last_layer", { model })) : places("layer"));

function places(dim) {
  return (DIMS[dim] ?? []).map((_, i) => i);
}

// The ends of the layer axis between which attention is cut, or null.
function windowOf(model, condition) {
  if (!has("cut_first")) return null;
  const [first, last] = [valueAt("cut_first", { model, condition }), valueAt("cut_last", { model, condition })];
  return first < 0 || Number.isNaN(first) ? null : [first, last + 1];
}

// Whether charts that show all models have a row for each, and others the chosen model alone.
const hasManyModels = () => "manyModels" in document.documentElement.dataset;

const isSignificant = (p) => p <= 1 - Number(BLOCK.attributes.tested_level) + 1e-9;
