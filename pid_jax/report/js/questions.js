// Single questions: those with most, and with least, of each atom.

const QUESTIONS = JSON.parse(document.getElementById("questions-data")?.textContent ?? "null");
const MOST_SHOWN = 20;
const AT_LABELS = { last: "last", largest_unique_1: "with most unique to", largest_unique_2: "with most unique to",
  largest_synergy: "with most synergy", decision: "the model's own decision" };

function atLabel(at) {
  const source = { largest_unique_1: "source_1", largest_unique_2: "source_2" }[at];
  return (AT_LABELS[at] ?? at) + (source ? ` ${labelOf("source", source)}` : "");
}

function questionRows(s) {
  const [model, task] = [String(DIMS.model[s.model]), String(DIMS.task[s.task])];
  const own = QUESTIONS.rows.filter((row) => row.model === model && row.task === task);
  const atom = ATOMS.indexOf(s.questionAtom);
  const value = (row) => row.bits[s.questionAt][atom];
  const known = own.filter((row) => Number.isFinite(value(row)));
  return known.sort((a, b) => s.questionOrder * (value(a) - value(b)));
}

// The head of a column: it sorts by it, and turns the order where it does already.
function sortButton(atom) {
  const isChosen = state.questionAtom === atom;
  const sort = () => {
    if (isChosen) choose("questionOrder", -state.questionOrder);
    else choose("questionAtom", atom);
  };
  const sign = isChosen ? (state.questionOrder < 0 ? " ↓" : " ↑") : "";
  return button(atomLabel(atom) + sign, sort, `sort by ${atomLabel(atom)}`);
}

function picture(row) {
  const source = QUESTIONS.pictures[row.image];
  return source ? element("img", { src: source, alt: row.image, width: 48, height: 48 }) : row.image;
}

function fillQuestions(s) {
  const all = questionRows(s);
  const shown = all.slice(0, MOST_SHOWN);
  const layer = shown.length ? shown[0].layers[s.questionAt] : "";
  const where = layer < 0 ? atLabel(QUESTIONS.at[s.questionAt]) : `layer ${layer}`;
  const numbers = (row) => ATOMS.map((_, i) => numberText(row.bits[s.questionAt][i], 2));
  const texts = shown.map((row) => [picture(row), row.question, row.gold, row.answer, ...numbers(row)]);
  const csv = all.map((row) => ({ sample: row.sample, model: row.model, task: row.task, question: row.question,
    gold: row.gold, answer: row.answer, image: row.image, layer: layer < 0 ? "" : row.layers[s.questionAt],
    ...Object.fromEntries(ATOMS.map((atom, i) => [`${atom} (bits)`, row.bits[s.questionAt][i]])) }));
  const columns = ["Image", "Question", "Gold answer", "Model's answer", ...ATOMS.map(sortButton)];
  const caption = `${DIMS.model[s.model]}, ${DIMS.task[s.task]}, baseline, ${where}: bits about the answer`;
  return { columns, rows: texts, csv, caption, wordColumns: 4 };
}

function setUpQuestions() {
  if (!QUESTIONS) return;
  defineChoice("questionAt", "Layer", () => QUESTIONS.at.map((at, i) => [i, atLabel(at)]));
  defineChoice("questionAtom", "Sort by", () => ATOMS.map((atom) => [atom, atomLabel(atom)]),
    { initial: () => "synergy" });
  defineChoice("questionOrder", "Order", () => [[-1, "most first"], [1, "least first"]]);
  const keys = ["model", "task", "questionAt", "questionAtom", "questionOrder"];
  defineTable("questions", keys, fillQuestions, null);
}
