// Elements, numbers as text, tables and downloads. Text from the data enters as text only, never as markup.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// Plotly reads some tags, entities and templates in its texts: take their signs away.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
  .replaceAll("%{", "% {");

function numberText(value, digits = 3) {
  if (value === null || !Number.isFinite(value)) return "–";
  const text = (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits);
  return text.replace("-", "−");
}

const rangeText = (lower, upper, digits = 3) =>
  Number.isFinite(lower) && Number.isFinite(upper) ?
  ` (${numberText(lower, digits)}\u00a0to\u00a0${numberText(upper, digits)})` : "";

// A number and its interval, in small type on a line of its own; without the number there is no interval.
function rangeLines(value, lower, upper, digits = 3) {
  const range = Number.isFinite(value) ? rangeText(lower, upper, digits).trim() : "";
  return element("span", {}, numberText(value, digits), ...(range ? [element("br"), element("small", {}, range)] : []));
}

function spansText(numbers) {
  const spans = [];
  for (const one of numbers) {
    const last = spans.at(-1);
    if (last && last[1] === one - 1) last[1] = one;
    else spans.push([one, one]);
  }
  return spans.map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`)).join(", ") || "none";
}

// The first `wordColumns` columns hold words, the others numbers; a tight table is one of many columns.
function tableElement(columns, rows, { caption, wordColumns = 1, isTight = false }) {
  const look = (i) => (i < wordColumns ? { class: "word" } : {});
  const head = element("tr", {}, ...columns.map((name, i) => element("th", { scope: "col", ...look(i) }, name)));
  const first = (entry) => element("th", { scope: "row", ...look(0) }, entry);
  const cell = (entry, i) => (i ? element("td", look(i), entry) : first(entry));
  const body = rows.map((row) => element("tr", {}, ...row.map(cell)));
  const title = caption ? element("caption", {}, caption) : null;
  const table = element("table", isTight ? { class: "tight" } : {}, title, element("thead", {}, head), element("tbody", {}, ...body));
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": caption || columns.join(", ") };
  return element("div", region, table);
}

// Tables of more rows can be searched.
const MOST_ROWS = 25;

// A box above a table that hides the rows without the text.
function searchBox(table) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  if (rows.length <= MOST_ROWS) return null;
  const look = (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  };
  const box = element("input", { type: "search", oninput: look });
  return element("div", { class: "controls" }, element("label", {}, `Search in ${rows.length} rows`, box));
}

function csvField(value) {
  if (typeof value === "number") return Number.isNaN(value) ? "" : String(Number(value.toPrecision(7)));
  const text = String(value ?? "");
  // Spreadsheets run what begins like a formula: a quote in front keeps it a text.
  const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// Rows are objects; the columns are the keys of the first.
function csvText(rows) {
  if (!rows.length) return "";
  const columns = Object.keys(rows[0]);
  const lines = [columns, ...rows.map((row) => columns.map((name) => row[name]))];
  return lines.map((line) => `${line.map(csvField).join(",")}\n`).join("");
}

function download(name, parts, type) {
  const url = URL.createObjectURL(new Blob(Array.isArray(parts) ? parts : [parts], { type }));
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const downloadCsv = (name, rows) => download(`${name}.csv`, csvText(rows), "text/csv;charset=utf-8");
const button = (text, action, label) =>
  element("button", { type: "button", onclick: action, "aria-label": label ?? text }, text);
