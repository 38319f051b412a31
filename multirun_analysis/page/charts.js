// Parallel coordinates, curves and layers, by Plotly.

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
