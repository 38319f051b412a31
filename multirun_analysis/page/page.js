"use strict";
// Draws the runs in #data. Text from records goes into text nodes, or through plain() where Plotly would read it as markup.
(() => {
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const LIGHT = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F6F00", "#000000"];
const DARK = ["#4FA8E0", "#E69F00", "#2BC59A", "#E29AC4", "#9ADBFF", "#F07A3A", "#C9B63C", "#FFFFFF"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "6px,2px", "2px,2px"];
const MARKS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const T975 = [NaN, NaN, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
  2.131, 2.120, 2.110, 2.101, 2.093]; // Student's, by the number of seeds
const MOST_MEANS = 40, MOST_LINES = 300;
const dark = matchMedia("(prefers-color-scheme: dark)");
const statuses = [...new Set(D.runs.map(r => r.status))];
const state = { query: "", statuses: new Set(statuses), brush: [], focus: null, sort: null };

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
const levelOf = run => factor() ? D.runs[run].levels[+$("colour").value] : 0;
const colourOf = level => levels() > LIGHT.length ? shade((dark.matches ? .15 : 0) + .85 * level / (levels() - 1))
  : (dark.matches ? DARK : LIGHT)[level];
const dashOf = level => DASHES[level % DASHES.length];
const layout = more => {
  const t = theme(), axis = { gridcolor: t.line, zerolinecolor: t.line, linecolor: t.soft, tickcolor: t.soft, automargin: true };
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: t.fg, size: 13 }, showlegend: false,
    margin: { l: 60, r: 20, t: 30, b: 50 }, hovermode: "closest", ...more,
    hoverlabel: { namelength: -1, align: "left" },
    xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
};
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const settingOf = run => [...D.factors.map((f, k) => `${f.name}=${f.labels[D.runs[run].levels[k]]}`), `seed ${seedOf(run)}`].join(", ");
const seedColumn = D.table.columns.indexOf("seed");
const seedOf = run => D.table.rows[run][seedColumn];

// ---- which runs are shown -------------------------------------------------------------------------------------------
const texts = D.runs.map((run, i) => (run.name + " " + settingOf(i) + " " + D.table.rows[i].join(" ") + " " + run.message).toLowerCase());
const filtered = () => {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  return D.runs.map((_, i) => i).filter(i => state.statuses.has(D.runs[i].status) && words.every(word => texts[i].includes(word)));
};
const passes = run => state.brush.every((ranges, k) => !ranges || ranges.some(([low, high]) => {
  const value = axes[k].values[run];
  return low <= value && value <= high;
}));
let shown = [];

// ---- parallel coordinates --------------------------------------------------------------------------------------------
const niceTicks = (low, high) => {
  const step = 10 ** Math.floor(Math.log10((high - low) / 4 || 1)), by = [1, 2, 5, 10].map(k => k * step).find(s => (high - low) / s <= 6);
  const ticks = [];
  for (let tick = Math.ceil(low / by) * by; tick <= high + by * 1e-9; tick += by) ticks.push(+tick.toPrecision(10));
  return ticks;
};
const decades = (low, high) => {
  const ticks = [];
  for (let k = Math.floor(low); k <= Math.ceil(high); k++) for (const m of high - low < 1.2 ? [1, 2, 5] : [1]) {
    const at = k + Math.log10(m);
    if (at >= low - 1e-9 && at <= high + 1e-9) ticks.push(at);
  }
  return ticks.length > 1 ? ticks : [low, high];
};
const spans = values => values.length > 1 && values.every(v => v > 0) && Math.max(...values) / Math.min(...values) >= 20;
const factorAxis = (f, k) => {
  const codes = D.runs.map(run => run.levels[k]);
  const log = f.numbers && spans(f.numbers);
  const place = f.numbers ? f.numbers.map(v => log ? Math.log10(v) : v) : f.labels.map((_, i) => i);
  const every = Math.ceil(f.labels.length / 16), kept = place.map((_, i) => i).filter(i => i % every === 0);
  const low = Math.min(...place), high = Math.max(...place), pad = (high - low) * .06 || .5;
  return { label: f.name, values: codes.map(i => place[i]), range: [low - pad, high + pad],
    tickvals: kept.map(i => place[i]), ticktext: kept.map(i => f.labels[i]) };
};
const metricAxis = () => {
  const found = D.runs.map(run => run.value), finite = found.filter(v => v !== null);
  const log = D.metric.sign <= 0 && finite.every(v => v > 0) && Math.max(...finite) / Math.min(...finite) >= 10;
  const scaled = found.map(v => v === null ? null : log ? Math.log10(v) : v), inside = scaled.filter(v => v !== null);
  const low = inside.length ? Math.min(...inside) : 0, high = inside.length ? Math.max(...inside) : 1, span = high - low || Math.abs(high) * .1 || 1;
  // runs without a figure have places of their own, at the bad end of the axis
  const bad = D.metric.sign > 0 ? -1 : 1, edge = bad > 0 ? high : low;
  const slots = [...new Set(D.runs.filter(run => run.value === null).map(run => run.status))].sort((a, b) => (b === "diverged") - (a === "diverged"));
  const slot = name => edge + bad * span * (.16 + .12 * slots.indexOf(name));
  const ticks = inside.length ? (log ? decades(low, high) : niceTicks(low, high)) : [];
  const ends = [low - span * .04, high + span * .04];
  if (slots.length) ends[bad > 0 ? 1 : 0] = slot(slots[slots.length - 1]) + bad * span * .06;
  return { label: D.metric.name, values: scaled.map((v, i) => v === null ? slot(D.runs[i].status) : v), range: ends,
    tickvals: [...ticks, ...slots.map(slot)],
    ticktext: [...ticks.map(v => D.metric.share ? `${number(100 * v)} %` : number(log ? 10 ** v : v)), ...slots.map(s => s === "completed" ? "no figure" : s)] };
};
const axes = [...D.factors.map(factorAxis), metricAxis()];

const drawParallel = () => {
  const node = $("parallel"), rows = filtered(), t = theme();
  if (!D.factors.length || D.runs.length < 2) {
    node.replaceChildren(el("p", "Nothing but the seed differs between these runs.", { class: "none" }));
    return;
  }
  const n = levels(), coded = rows.map(levelOf);
  const scale = n > 1 ? Array.from({ length: n }, (_, i) => [[i / n, colourOf(i)], [(i + 1) / n, colourOf(i)]]).flat() : [[0, colourOf(0)], [1, colourOf(0)]];
  const trace = { type: "parcoords", line: { color: coded, cmin: -.5, cmax: n - .5, colorscale: scale },
    unselected: { line: { color: t.soft, opacity: rows.length > 200 ? .04 : .12 } },
    labelfont: { size: 14, color: t.fg }, tickfont: { size: 13, color: t.fg }, rangefont: { size: 1, color: "rgba(0,0,0,0)" }, labelangle: 0,
    dimensions: axes.map((axis, k) => ({ label: plain(axis.label), values: rows.map(i => axis.values[i]), range: axis.range,
      tickvals: axis.tickvals, ticktext: axis.ticktext.map(String), constraintrange: unclipped(state.brush[k]) })) };
  const width = Math.max(node.clientWidth, 110 * axes.length + 160);
  Plotly.react(node, [trace], { ...layout({ margin: { l: 110, r: 110, t: 60, b: 25 } }), width, height: 430 }, { ...CONFIG, responsive: false });
  if (!node.dataset.bound) {
    node.dataset.bound = "yes";
    node.on("plotly_restyle", () => {
      state.brush = node.data[0].dimensions.map(d => d.constraintrange ? (Array.isArray(d.constraintrange[0]) ? d.constraintrange : [d.constraintrange]) : null);
      update(false);
    });
  }
};
const unclipped = ranges => ranges ? (ranges.length === 1 ? ranges[0] : ranges) : undefined;

// ---- curves ----------------------------------------------------------------------------------------------------------
const cellsOf = runs => {
  const cells = new Map();
  for (const run of runs) if (D.runs[run].cell >= 0) cells.set(D.runs[run].cell, [...(cells.get(D.runs[run].cell) || []), run]);
  return cells;
};
const bandOf = lines => { // mean and interval where every line has a value
  const length = Math.min(...lines.map(line => line.length)), n = lines.length, result = { mean: [], low: [], high: [] };
  for (let i = 0; i < length; i++) {
    const values = lines.map(line => line[i]);
    if (values.some(v => v === null || v === undefined)) { for (const key in result) result[key].push(null); continue; }
    const mean = values.reduce((a, b) => a + b, 0) / n;
    const half = n > 1 ? (T975[n] || 1.96 + 2.7 / n) * Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (n - 1) / n) : 0;
    result.mean.push(mean); result.low.push(mean - half); result.high.push(mean + half);
  }
  return result;
};
// traces for lines of runs, or for their means over seeds; `lineOf(run)` gives [x, y], a value an epoch each
const tracesOf = (runs, lineOf, means, log, floor = null, bands = true) => {
  const traces = [], lift = y => log ? y.map(v => v === null ? null : v > 0 ? v : floor) : y;
  const broken = { x: [], y: [], text: [], colours: [] };
  const ends = (run, x, y) => {
    let last = y.length - 1;
    while (last >= 0 && (y[last] === null || y[last] === undefined)) last--;
    if (last < 0) return;
    broken.x.push(x[last]); broken.y.push(lift(y)[last]); broken.colours.push(colourOf(levelOf(run)));
    broken.text.push(plain(settingOf(run)) + `<br>${D.runs[run].status}`);
  };
  if (means) {
    for (const members of cellsOf(runs).values()) {
      const whole = members.filter(run => D.runs[run].status === "completed"), level = levelOf(members[0]);
      for (const run of members.filter(run => D.runs[run].status !== "completed")) {
        const [x, y] = lineOf(run);
        traces.push({ x, y: lift(y), mode: "lines", line: { color: colourOf(level), width: 1, dash: "dot" }, opacity: .6, hoverinfo: "skip" });
        ends(run, x, y);
      }
      const lines = whole.map(lineOf).filter(([, y]) => y.length);
      if (!lines.length) continue;
      const band = bandOf(lines.map(([, y]) => y)), x = lines[0][0].slice(0, band.mean.length);
      if (bands && lines.length > 1) {
        const low = log ? band.low.map(v => v === null ? null : Math.max(v, floor || Number.MIN_VALUE)) : band.low;
        traces.push({ x: [...x, ...[...x].reverse()], y: [...band.high, ...[...low].reverse()], fill: "toself", mode: "lines", line: { width: 0 },
          fillcolor: colourOf(level), opacity: .16, hoverinfo: "skip" });
      }
      const name = D.factors.map((f, k) => `${f.name}=${f.labels[D.runs[whole[0]].levels[k]]}`).join(", ") || "all runs";
      traces.push({ x, y: lift(band.mean), mode: x.length > 1 ? "lines" : "markers", line: { color: colourOf(level), dash: dashOf(level), width: 2 },
        marker: { color: colourOf(level), symbol: MARKS[level % MARKS.length] },
        text: band.mean.map((v, i) => `${plain(name)}<br>mean of ${lines.length}: ${number(v)}` + (bands && lines.length > 1 ? `, ${number(band.low[i])} to ${number(band.high[i])}` : "")), hovertemplate: "%{text}<extra>%{x}</extra>" });
    }
  } else {
    const by = new Map();
    for (const run of runs) by.set(levelOf(run), [...(by.get(levelOf(run)) || []), run]);
    for (const [level, members] of by) {
      const xs = [], ys = [], text = [];
      for (const run of members) {
        const [x, y] = lineOf(run), name = plain(settingOf(run));
        for (let i = 0; i < y.length; i++) { xs.push(x[i]); ys.push(y[i]); text.push(name); }
        xs.push(null); ys.push(null); text.push("");
        if (D.runs[run].status !== "completed") ends(run, x, y);
      }
      traces.push({ x: xs, y: lift(ys), text, mode: runs.length > 60 ? "lines" : "lines+markers", opacity: runs.length > 60 ? .55 : .9,
        line: { color: colourOf(level), width: runs.length > 60 ? 1 : 1.5, dash: dashOf(level) }, marker: { size: 4, symbol: MARKS[level % MARKS.length], color: colourOf(level) },
        connectgaps: false, hovertemplate: "%{text}<br>%{x}: %{y:.5g}<extra></extra>" });
    }
  }
  if (broken.x.length) traces.push({ x: broken.x, y: broken.y, text: broken.text, mode: "markers", hovertemplate: "%{text}<extra></extra>",
    marker: { symbol: "x-thin", size: 11, line: { width: 3, color: broken.colours } } });
  if (state.focus !== null) {
    const [x, y] = lineOf(state.focus);
    traces.push({ x, y: lift(y), mode: "lines+markers", line: { color: theme().fg, width: 3 }, marker: { size: 5, color: theme().fg },
      hovertemplate: `${plain(settingOf(state.focus))}<br>%{x}: %{y:.5g}<extra></extra>` });
  }
  return traces;
};
// limits that a few exploding values do not spoil
const limits = lines => {
  const values = [], ends = [];
  for (const line of lines) { const finite = line.filter(v => v !== null && v !== undefined); values.push(...finite.slice(-4000)); if (finite.length) ends.push(finite[finite.length - 1]); }
  if (!values.length) return null;
  values.sort((a, b) => a - b); ends.sort((a, b) => a - b);
  const low = values[0], top = values[values.length - 1];
  const cap = 2.5 * Math.max(values[Math.floor(.9 * (values.length - 1))], ends[Math.floor(.75 * (ends.length - 1))]);
  const high = cap > low ? Math.min(top, cap) : top, margin = .04 * (high - low) || .05 * Math.abs(high) || .05;
  return [low - margin, high + margin];
};
const xsOf = run => {
  const against = $("against").value;
  return against === "epoch" ? D.curves.epochs : D.curves.values[against][run];
};
// losses that span powers of ten are read on a log scale, unless one says otherwise
const suitLog = () => {
  const values = [];
  for (const line of D.curves.values[$("metric").value] || []) for (const v of line) if (v !== null) values.push(v);
  values.sort((a, b) => a - b);
  const low = values[Math.floor(.02 * values.length)], high = values[Math.floor(.98 * (values.length - 1))];
  $("curve-log").checked = !$("metric").value.endsWith("acc") && values[0] > 0 && high / low >= 20;
};
const drawCurves = () => {
  const metric = $("metric").value, values = D.curves.values[metric];
  if (!values) { $("curve-chart").replaceChildren(el("p", "No run has recorded an epoch.", { class: "none" })); return; }
  const share = metric.endsWith("acc"), log = $("curve-log").checked && !share;
  const cells = cellsOf(shown).size, means = $("lines").value === "means" && cells <= MOST_MEANS;
  const lineOf = run => [xsOf(run).slice(0, values[run].length), values[run]];
  const range = log || share ? undefined : limits(shown.map(run => values[run]));
  const against = { epoch: "epoch", step: "optimizer step", seconds: "seconds of training" }[$("against").value];
  Plotly.react($("curve-chart"), tracesOf(shown, lineOf, means, log), layout({ height: 440, uirevision: metric + against + log + means,
    xaxis: { title: { text: against } }, yaxis: { title: { text: plain(metric) }, type: log ? "log" : "linear", range, tickformat: share ? ".0%" : undefined } }), CONFIG);
  const notes = [];
  if ($("lines").value === "means" && !means) notes.push(`${cells} settings are too many for means: every run is drawn.`);
  const odd = shown.filter(run => D.runs[run].status !== "completed").length;
  if (odd) notes.push(`A cross ends each of the ${odd} runs shown that diverged, failed or have not ended.`);
  const hidden = shown.filter(run => !values[run].length).length;
  if (hidden) notes.push(`${hidden} of the runs shown have no recorded value of it.`);
  if (range) notes.push("Double-click for the whole range.");
  $("curve-note").textContent = notes.join(" ");
};

// ---- layers ----------------------------------------------------------------------------------------------------------
const L = D.layers;
const quantity = () => L.quantities.find(q => q.key === $("quantity").value);
const floorOf = grid => { // where exact zeros stand on a log scale: below everything else
  let least = Infinity;
  for (const run of shown) for (const line of grid[run]) for (const v of line) if (v > 0 && v < least) least = v;
  return least === Infinity ? 1e-12 : least / 3;
};
const drawLayers = () => {
  if (!L.quantities.length) return;
  const q = quantity(), grid = L.values[q.key], at = +$("epoch").value, floor = floorOf(grid);
  $("epoch-shown").textContent = L.epochs[at] === 0 ? "0 (untrained)" : L.epochs[at];
  const runs = shown.filter(run => grid[run].some(line => line.some(v => v !== null)));
  const means = cellsOf(runs).size <= MOST_MEANS && runs.length > 20;
  const deepest = Math.max(...runs.map(run => grid[run].length), 1);
  const one = new Set(runs.map(run => L.of[run])).size === 1, names = one && runs.length ? L.architectures[L.of[runs[0]]] : null;
  const every = Math.ceil(deepest / 24), ticks = Array.from({ length: deepest }, (_, i) => i).filter(i => i % every === 0);
  const y = { type: q.log ? "log" : "linear", title: { text: plain(q.label) }, ...(q.log ? { exponentformat: "power", dtick: undefined } : { range: [-.03, 1.03] }) };
  const byDepth = run => { const line = grid[run].map(layer => layer[at] ?? null); return [line.map((_, i) => i), line]; };
  Plotly.react($("depth-chart"), tracesOf(runs, byDepth, means, q.log, floor, false), layout({ height: 420, uirevision: q.key + deepest,
    title: { text: `epoch ${L.epochs[at]}, from input to output`, font: { size: 14 } },
    xaxis: { title: { text: "layer" }, tickvals: ticks, ticktext: ticks.map(i => names && deepest <= 24 ? plain(names[i]) : i + 1) }, yaxis: y }), CONFIG);
  const layer = +$("layer").value;
  const overEpochs = run => [L.epochs, layer < grid[run].length ? grid[run][layer] : []];
  Plotly.react($("flow-chart"), tracesOf(runs, overEpochs, means, q.log, floor, false), layout({ height: 420, uirevision: q.key + layer,
    title: { text: `layer ${layer + 1}${names ? ` (${plain(names[layer])})` : ""}, over epochs`, font: { size: 14 } },
    xaxis: { title: { text: "epoch" } }, yaxis: y }), CONFIG);
  const zeros = q.log && runs.some(run => grid[run].some(line => line.includes(0)));
  $("layer-note").textContent = (means ? "Lines are means over seeds. " : "") + (zeros ? "Exact zeros stand at the bottom of the scale. " : "") +
    (runs.length < shown.length ? `${shown.length - runs.length} of the runs shown have no such measurement.` : "");
};

// ---- table -----------------------------------------------------------------------------------------------------------
const rowNodes = D.runs.map((run, i) => {
  const row = el("tr", undefined, { tabindex: 0, "data-run": i });
  for (const cell of D.table.rows[i]) row.append(el("td", cell));
  const toggle = () => { focus(state.focus === i ? null : i); };
  row.addEventListener("click", toggle);
  row.addEventListener("keydown", event => { if (event.key === "Enter") toggle(); });
  return row;
});
const detail = el("tr", undefined, { class: "detail" });
const focus = run => {
  if (state.focus !== null) rowNodes[state.focus].classList.remove("focus");
  detail.remove();
  state.focus = run;
  if (run !== null) {
    rowNodes[run].classList.add("focus");
    const cell = el("td", undefined, { colspan: D.table.columns.length });
    cell.append(el("div", D.runs[run].name));
    if (D.runs[run].message) cell.append(el("div", D.runs[run].message));
    if (D.runs[run].command) {
      const copy = el("button", "Copy", { type: "button" });
      copy.addEventListener("click", event => { event.stopPropagation(); navigator.clipboard?.writeText(D.runs[run].command).then(() => { copy.textContent = "Copied"; }); });
      const line = el("div", "To make it again: ");
      line.append(el("code", D.runs[run].command), " ", copy);
      cell.append(line);
    }
    detail.replaceChildren(cell);
    rowNodes[run].after(detail);
  }
  drawCurves(); drawLayers();
};
const sortKey = column => {
  const cells = D.table.rows.map(row => row[column]), numbers = cells.map(cell => cell === "" || cell === "-" ? NaN : Number(cell.replace(/,| %$/g, "")));
  return cells.every((cell, i) => cell === "" || cell === "-" || !Number.isNaN(numbers[i])) ? numbers : cells;
};
const sortBy = column => {
  const down = state.sort && state.sort.column === column && !state.sort.down, keys = sortKey(column);
  state.sort = { column, down };
  const order = D.runs.map((_, i) => i).sort((a, b) => {
    const x = keys[a], y = keys[b];
    if (typeof x === "number") { // what has no figure stands last either way
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
      return (down ? y - x : x - y) || a - b;
    }
    return (down ? y.localeCompare(x) : x.localeCompare(y)) || a - b;
  });
  const body = $("table-of-runs").tBodies[0];
  detail.remove();
  body.append(...order.map(i => rowNodes[i]));
  if (state.focus !== null) rowNodes[state.focus].after(detail);
  [...$("table-of-runs").tHead.rows[0].cells].forEach((cell, i) => cell.setAttribute("aria-sort", i === column ? (down ? "descending" : "ascending") : "none"));
};
const makeTable = () => {
  const head = el("tr");
  D.table.columns.forEach((column, i) => {
    const cell = el("th", undefined, { scope: "col", "aria-sort": "none" }), button = el("button", column, { type: "button" });
    button.addEventListener("click", () => sortBy(i));
    cell.append(button); head.append(cell);
  });
  $("table-of-runs").tHead.append(head);
  $("table-of-runs").tBodies[0].append(...rowNodes);
};

// ---- all together ----------------------------------------------------------------------------------------------------
const drawLegend = () => {
  const present = new Set(shown.map(levelOf)), items = [];
  if (factor()) factor().labels.forEach((label, level) => {
    if (levels() > 24 && level % Math.ceil(levels() / 24)) return;
    const item = el("span"), swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    swatch.setAttribute("width", 30); swatch.setAttribute("height", 10);
    const dashes = { solid: "", dash: "8,4", dot: "2,3", dashdot: "8,3,2,3", longdash: "12,4", longdashdot: "12,3,2,3", "6px,2px": "6,2", "2px,2px": "2,2" };
    for (const [key, value] of Object.entries({ x1: 0, x2: 30, y1: 5, y2: 5, stroke: colourOf(level), "stroke-width": 3, "stroke-dasharray": dashes[dashOf(level)] })) line.setAttribute(key, value);
    swatch.append(line); item.append(swatch, label);
    if (!present.has(level)) item.style.opacity = .35;
    items.push(item);
  });
  $("legend").replaceChildren(...items);
};
const update = (parallel = true) => {
  shown = filtered().filter(passes);
  if (state.focus !== null && !shown.includes(state.focus)) focus(null);
  const there = new Set(shown);
  rowNodes.forEach((row, i) => { row.hidden = !there.has(i); });
  $("count").textContent = `${shown.length.toLocaleString("en")} of ${D.runs.length.toLocaleString("en")} runs shown`;
  drawLegend();
  if (parallel) drawParallel();
  drawCurves(); drawLayers();
};
const later = (action, wait = 120) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(action, wait); }; };

const options = (select, entries) => select.append(...entries.map(([value, label]) => el("option", label, { value })));
options($("colour"), D.factors.map((f, i) => [i, f.name]));
if (!D.factors.length) $("colour").parentElement.hidden = true;
options($("metric"), D.curves.metrics.map(m => [m, m]));
const seedsEach = [...cellsOf(D.runs.map((_, i) => i)).values()];
$("lines").value = seedsEach.some(runs => runs.length > 1) && seedsEach.length <= MOST_MEANS ? "means" : "runs";
if (!D.curves.metrics.length) document.querySelector("#curves .controls").hidden = true;
if (L.quantities.length) {
  options($("quantity"), L.quantities.map(q => [q.key, q.label]));
  const deepest = Math.max(...L.architectures.map(a => a.length));
  options($("layer"), Array.from({ length: deepest }, (_, i) => [i, L.architectures.length === 1 ? `${i + 1}: ${L.architectures[0][i]}` : i + 1]));
  $("epoch").max = L.epochs.length - 1; $("epoch").value = L.epochs.length - 1;
} else { $("layers").hidden = true; $("to-layers").hidden = true; }
if (statuses.length > 1) for (const status of statuses) {
  const label = el("label"), box = el("input", undefined, { type: "checkbox", checked: "" });
  box.addEventListener("change", () => { state.statuses[box.checked ? "add" : "delete"](status); update(); });
  label.append(box, ` ${status} (${D.runs.filter(run => run.status === status).length})`);
  $("statuses").append(label);
}
$("query").addEventListener("input", later(() => { state.query = $("query").value; update(); }));
$("reset").addEventListener("click", () => {
  state.query = $("query").value = ""; state.brush = []; state.statuses = new Set(statuses);
  document.querySelectorAll("#statuses input").forEach(box => { box.checked = true; });
  focus(null); update();
});
$("colour").addEventListener("change", () => update());
$("metric").addEventListener("change", () => { suitLog(); drawCurves(); });
for (const id of ["against", "lines", "curve-log"]) $(id).addEventListener("change", drawCurves);
for (const id of ["quantity", "layer"]) $(id).addEventListener("change", drawLayers);
$("epoch").addEventListener("input", drawLayers);
dark.addEventListener("change", () => update());
addEventListener("resize", later(drawParallel, 200));
makeTable();
suitLog();
update();
})();
