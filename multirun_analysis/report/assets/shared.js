"use strict";
// Draws the runs in #data. Text from records goes into text nodes, or through plain() where Plotly would read it as markup.
const D = JSON.parse(document.getElementById("data").textContent);
const CHARTS = "Plotly" in window;
const $ = id => document.getElementById(id);
const LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6F00", "#000000"];
const DARK = ["#4FA8E0", "#E69F00", "#2BC59A", "#E29AC4", "#9ADBFF", "#F07A3A", "#C9B63C", "#FFFFFF"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px", "2px,2px"];
const MARKS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const T975 = [NaN, NaN, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
  2.131, 2.120, 2.110, 2.101, 2.093]; // Student's, by the number of seeds
const GREY = "#8a929a"; // of runs of which nobody knows what was tried: level -1
const MOST_MEANS = 40, MOST_BANDS = 8, MOST_LINES = 300;
const dark = matchMedia("(prefers-color-scheme: dark)");
const statuses = [...new Set(D.runs.map(r => r.status))];
const NOTHING = "No run is shown.";
const ofShown = (n, one, many) => `${n} of the runs shown ${n === 1 ? one : many}`;
const state = { query: "", statuses: new Set(statuses), brush: [], order: [], focus: null, sort: null };

const el = (tag, text, attributes = {}) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
// what Plotly shows as this very text
const plain = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const number = value => value === null || value === undefined ? "" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
  ? value.toExponential(3) : String(+value.toPrecision(4));

// ---- colours -------------------------------------------------------------------------------------------------------
const theme = () => {
  const css = getComputedStyle(document.documentElement), read = name => css.getPropertyValue(name).trim();
  return { fg: read("--fg"), soft: read("--soft"), line: read("--line"), bg: read("--bg") };
};
const shade = share => { // dark to light, told apart in grey as well (an excerpt of viridis)
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [230, 220, 50]];
  const at = share * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at)), part = at - i;
  return `rgb(${stops[i].map((low, k) => Math.round(low + part * (stops[i + 1][k] - low))).join(",")})`;
};
const factor = () => D.factors[+$("colour").value];
const levels = () => factor() ? factor().labels.length : 1;
const known = run => D.runs[run].cell >= 0;
const anyUnknown = D.runs.some((_, i) => !known(i));
const levelOf = run => !known(run) ? -1 : factor() ? D.runs[run].levels[+$("colour").value] : 0;
const colourOf = level => level < 0 ? GREY : levels() > LIGHT.length ? shade((dark.matches ? .15 : 0) + .85 * level / (levels() - 1))
  : (dark.matches ? DARK : LIGHT)[level];
const dashOf = level => DASHES[Math.max(level, 0) % DASHES.length];
const markOf = level => MARKS[Math.max(level, 0) % MARKS.length];
const layout = more => {
  const t = theme(), axis = { gridcolor: t.line, zerolinecolor: t.line, linecolor: t.soft, tickcolor: t.soft, automargin: true };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: t.fg, size: 13 }, showlegend: false,
    margin: { l: 60, r: 20, t: 30, b: 60 }, hovermode: "closest", ...more,
    hoverlabel: { namelength: -1, align: "left" },
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
};
// no button that would send the chart's data to somebody's server
const CONFIG = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["select2d", "lasso2d", "sendChartToCloud", "sendDataToCloud"] };
const settingOf = run => !known(run) ? `${D.runs[run].name}: unknown setting` : [...D.factors.map((f, k) => `${f.name}=${f.labels[D.runs[run].levels[k]]}`), `seed ${seedOf(run)}`].join(", ");
const seedColumn = D.table.columns.indexOf("seed");
const seedOf = run => D.table.rows[run][seedColumn];

// ---- which runs are shown -------------------------------------------------------------------------------------------
const texts = D.runs.map((run, i) => (run.name + " " + settingOf(i) + " " + D.table.rows[i].join(" ") + " " + run.message).toLowerCase());
const filtered = () => {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  return D.runs.map((_, i) => i).filter(i => state.statuses.has(D.runs[i].status) && words.every(word => texts[i].includes(word)));
};
// by axis, whatever the order in which they stand; the ends that Plotly tells have rounding errors
const passes = run => state.brush.every((ranges, k) => !ranges || ranges.some(([low, high]) => {
  const { values, range } = axes[k], slack = 1e-6 * (range[1] - range[0]);
  return low - slack <= values[run] && values[run] <= high + slack;
}));
let shown = [];
