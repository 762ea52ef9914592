// Light and dark, and how charts look in each.

// Okabe and Ito (2008): distinct under the common forms of color blindness. Dashes and markers repeat the distinction.
const ATOM_COLORS = {
  light: { redundancy: "#009E73", unique_1: "#0072B2", unique_2: "#D55E00", synergy: "#CC79A7" },
  dark: { redundancy: "#009E73", unique_1: "#56B4E9", unique_2: "#E8743B", synergy: "#CC79A7" },
};
const ATOM_DASHES = { redundancy: "dashdot", unique_1: "solid", unique_2: "dash", synergy: "dot" };
const ATOM_SYMBOLS = { redundancy: "triangle-up", unique_1: "circle", unique_2: "square", synergy: "diamond" };
const ATOM_PATTERNS = { redundancy: "/", unique_1: "", unique_2: "", synergy: "x" };
const LINE_COLORS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#3A9BD1", "#7A5195"],
  dark: ["#56B4E9", "#E8743B", "#2DBF96", "#DE94BC", "#F0E442", "#8FB7FF", "#C3A0E0"],
};
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "pentagon",
  "hexagram"
];
const INKS = {
  light: { text: "#1b1d21", soft: "#555b63", grid: "#e4e7eb", paper: "#ffffff", window: "rgba(110,110,110,0.14)" },
  dark: { text: "#e6e8eb", soft: "#a9b0b9", grid: "#2d3238", paper: "#15181c", window: "rgba(170,170,170,0.16)" },
};
const SCALES = {
  light: [
    [0, "#8a3300"],
    [0.25, "#e08a4a"],
    [0.5, "#f7f7f7"],
    [0.75, "#5aa3d6"],
    [1, "#00446e"]
  ],
  dark: [
    [0, "#ffb27d"],
    [0.25, "#a85a22"],
    [0.5, "#1d2126"],
    [0.75, "#2f7fb5"],
    [1, "#9fd4f7"]
  ],
};
const SEQUENTIAL = {
  light: [
    [0, "#f7fbff"],
    [0.5, "#5aa3d6"],
    [1, "#00335a"]
  ],
  dark: [
    [0, "#1d2126"],
    [0.5, "#2f7fb5"],
    [1, "#c4e6fb"]
  ],
};

// Weak enough for numbers to be read on them.
const MATRIX_SCALES = {
  light: [
    [0, "#f2b98f"],
    [0.5, "#fafafa"],
    [1, "#7db8e0"]
  ],
  dark: [
    [0, "#84461a"],
    [0.5, "#1d2126"],
    [1, "#246a9a"]
  ],
};
const upperHalf = (scale) => scale.slice(1).map(([at, color]) => [2 * at - 1, color]);

const systemDark = matchMedia("(prefers-color-scheme: dark)");
let isPrinting = false;

const chosenTheme = () => document.documentElement.dataset.theme ?? (systemDark.matches ? "dark" : "light");
const themeNow = () => (isPrinting ? "light" : chosenTheme());
const ink = () => INKS[themeNow()];

const translucent = (color, opacity) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
};
const lineColor = (i) => LINE_COLORS[themeNow()][i % LINE_COLORS[themeNow()].length];
const patternOf = (atom) => ({ shape: ATOM_PATTERNS[atom], fillmode: "overlay", fgcolor: ink().paper, fgopacity: 0.6,
  size: 6, solidity: 0.2 });
const dashOf = (i) => DASHES[i % DASHES.length];

function baseLayout() {
  return {
    font: { family: 'system-ui, -apple-system, "Segoe UI", sans-serif', size: 12, color: ink().text },
    paper_bgcolor: ink().paper,
    plot_bgcolor: ink().paper,
    margin: { l: 52, r: 14, t: 34, b: 46 },
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", font: { size: 12 } },
    hoverlabel: { bgcolor: ink().paper, bordercolor: ink().soft, font: { color: ink().text, size: 12 } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    annotations: [],
    shapes: [],
  };
}

function setUpTheme(redraw) {
  const toggle = document.getElementById("theme");
  const name = () => {
    const other = chosenTheme() === "dark" ? "Light" : "Dark";
    toggle.textContent = `${other} colors`;
  };
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    document.documentElement.dataset.theme = chosenTheme() === "dark" ? "light" : "dark";
    name();
    redraw();
  });
  systemDark.addEventListener("change", () => {
    name();
    redraw();
  });
  name();
}
