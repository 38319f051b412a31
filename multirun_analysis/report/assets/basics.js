"use strict";
// What the page of an analysis and the page of a study in training share: elements, numbers, colours, charts.
const $ = id => document.getElementById(id);
const LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6F00", "#000000"];
const DARK = ["#4FA8E0", "#E69F00", "#2BC59A", "#E29AC4", "#9ADBFF", "#F07A3A", "#C9B63C", "#FFFFFF"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px", "2px,2px"];
const GREY = "#8a929a"; // of runs of which nobody knows what was tried: level -1
const dark = matchMedia("(prefers-color-scheme: dark)");

const el = (tag, text, attributes = {}) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
const svg = (tag, attributes) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};
// what Plotly shows as this very text
const plain = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const number = value => value === null || value === undefined ? "" : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3)
  ? value.toExponential(3) : String(+value.toPrecision(4));

// a piece of a line, for a legend
const STROKES = { solid: "", dash: "8,4", dot: "2,3", dashdot: "8,3,2,3", longdash: "12,4", longdashdot: "12,3,2,3", "6px,2px": "6,2", "2px,2px": "2,2" };
const swatchOf = (colour, dash) => {
  const swatch = svg("svg", { width: 30, height: 10 });
  swatch.append(svg("line", { x1: 0, x2: 30, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": STROKES[dash] }));
  return swatch;
};

// ---- colours and charts -----------------------------------------------------------------------------------------------
const theme = () => {
  const css = getComputedStyle(document.documentElement), read = name => css.getPropertyValue(name).trim();
  return { fg: read("--fg"), soft: read("--soft"), line: read("--line"), bg: read("--bg") };
};
const shade = share => { // dark to light, told apart in grey as well (an excerpt of viridis)
  const stops = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [230, 220, 50]];
  const at = share * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at)), part = at - i;
  return `rgb(${stops[i].map((low, k) => Math.round(low + part * (stops[i + 1][k] - low))).join(",")})`;
};
const colourAmong = (level, count) => count > LIGHT.length ? shade((dark.matches ? .15 : 0) + .85 * level / (count - 1)) : (dark.matches ? DARK : LIGHT)[level];
const layout = more => {
  const t = theme(), axis = { gridcolor: t.line, zerolinecolor: t.line, linecolor: t.soft, tickcolor: t.soft, automargin: true };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: t.fg, size: 13 }, showlegend: false,
    margin: { l: 60, r: 20, t: 30, b: 60 }, hovermode: "closest", ...more,
    hoverlabel: { namelength: -1, align: "left" },
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
};
// no button that would send the chart's data to somebody's server
const CONFIG = { responsive: true, displaylogo: false, plotlyServerURL: "", modeBarButtonsToRemove: ["select2d", "lasso2d", "sendChartToCloud", "sendDataToCloud"] };
