// What the reader has chosen. A choice has one value, and as many controls as charts and tables that use it.

const choices = new Map();
const state = {};
const listeners = [];

// `options(state)` lists [value, label] pairs; a choice of several has a set of values.
function defineChoice(key, label, options, { several = false, initial } = {}) {
  choices.set(key, { key, label, options, several, controls: [] });
  const values = options(state).map(([value]) => value);
  if (several) state[key] = new Set(initial ? initial(values) : values);
  else state[key] = initial ? initial(values) : values[0];
}

// After a change, others may have lost the option that was chosen: a model lacks some tasks and conditions.
function settle() {
  for (const choice of choices.values()) {
    const values = choice.options(state).map(([value]) => value);
    if (choice.several) {
      const kept = [...state[choice.key]].filter((value) => values.includes(value));
      state[choice.key] = new Set(kept.length || !values.length ? kept : [values[0]]);
    } else if (!values.includes(state[choice.key])) state[choice.key] = values[0];
  }
}

function choose(key, value) {
  const choice = choices.get(key);
  if (choice.several) {
    if (state[key].has(value)) state[key].delete(value);
    else state[key].add(value);
  } else state[key] = value;
  if (key === "target") useBlock(value);
  settle();
  for (const other of choices.values()) other.controls.forEach((fill) => fill());
  listeners.forEach((listener) => listener(key));
}

// Make the control of a choice: a select, or a list of boxes. It is hidden while there is nothing to choose.
function control(key) {
  const choice = choices.get(key);
  return choice.several ? boxes(choice) : dropdown(choice);
}

// What is chosen, in words: controls are not printed.
function chosenText(keys) {
  const shown = keys.map((key) => choices.get(key)).filter((choice) => choice.options(state).length > 1);
  return shown.map(({ key, label, options, several }) => {
    const isChosen = ([value]) => (several ? state[key].has(value) : state[key] === value);
    const words = options(state).filter(isChosen).map(([, text]) => text);
    return `${label}: ${words.join("; ")}`;
  }).join(" · ");
}

// Lists of more entries have a box that leaves those with the text.
const MOST_OPTIONS = 16;

function dropdown(choice) {
  const select = element("select", { "data-choice": choice.key });
  const find = element("input", { type: "search", placeholder: "find", "aria-label": `Find: ${choice.label}` });
  const label = element("div", { class: "choice" }, element("label", {}, choice.label, select), find);
  const shownOptions = () => {
    const all = choice.options(state);
    const isFound = (text) => text.toLowerCase().includes(find.value.toLowerCase());
    const isShown = ([value, text]) => value === state[choice.key] || isFound(text);
    return all.length > MOST_OPTIONS ? all.filter(isShown) : all;
  };
  const fill = () => {
    const options = shownOptions();
    const before = [...select.options].map((one) => `${one.value} ${one.textContent}`).join("|");
    if (before !== options.map(([value, text]) => `${value} ${text}`).join("|"))
      select.replaceChildren(...options.map(([value, text]) => element("option", { value: String(value) }, text)));
    select.selectedIndex = options.findIndex(([value]) => value === state[choice.key]);
    const count = choice.options(state).length;
    [label.hidden, find.hidden] = [count < 2, count <= MOST_OPTIONS];
  };
  select.addEventListener("change", () => choose(choice.key, shownOptions()[select.selectedIndex][0]));
  find.addEventListener("input", fill);
  choice.controls.push(fill);
  fill();
  return label;
}

function boxes(choice) {
  const summary = element("summary");
  const list = element("div", { role: "group", "aria-label": choice.label });
  const details = element("details", { class: "several" }, summary, list);
  const box = ([value, text]) => {
    const names = { "data-choice": choice.key, "data-value": String(value) };
    const onchange = () => choose(choice.key, value);
    return element("label", {}, element("input", { type: "checkbox", ...names, onchange }), text);
  };
  const fill = () => {
    const options = choice.options(state);
    const shown = [...list.querySelectorAll("input")].map((one) => one.dataset.value).join("|");
    if (shown !== options.map(([value]) => String(value)).join("|")) list.replaceChildren(...options.map(box));
    list.querySelectorAll("input").forEach((one, i) => {
      one.checked = state[choice.key].has(options[i][0]);
      one.disabled = one.checked && state[choice.key].size === 1;
    });
    summary.textContent = `${choice.label}: ${state[choice.key].size} of ${options.length}`;
    details.hidden = options.length < 2;
  };
  choice.controls.push(fill);
  fill();
  return details;
}
