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
  for (let k = Math.floor(low); k <= Math.ceil(high); k++) for (const m of high - low < 2.2 ? [1, 2, 5] : [1]) {
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
  const slot = low - ((high - low) * .16 || 1), tickvals = kept.map(i => place[i]), ticktext = kept.map(i => f.labels[i]);
  if (anyUnknown) { tickvals.unshift(slot); ticktext.unshift("unknown"); }
  return { label: f.name, values: codes.map(i => i === null ? slot : place[i]), range: [(anyUnknown ? slot : low) - pad, high + pad],
    tickvals, ticktext, exact: every > 1 || new Set(ticktext).size < ticktext.length };
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
  return { label: D.metric.name, exact: true, values: scaled.map((v, i) => v === null ? slot(D.runs[i].status) : v), range: ends,
    tickvals: [...ticks, ...slots.map(slot)],
    ticktext: [...ticks.map(v => D.metric.share ? `${number(100 * v)} %` : number(log ? 10 ** v : v)), ...slots.map(s => s === "completed" ? "no figure" : s)] };
};
// Plotly lets a brush snap to `tickvals`. `exact` axes have none and take any range: their ticks are drawn here.
const axes = [...D.factors.map(factorAxis), metricAxis()];
state.order = axes.map((_, k) => k);
const PLOT = { height: 430, t: 60, b: 25 };
const drawTicks = () => {
  const left = group => +(/\(([^,)]*)/.exec(group.getAttribute("transform")) || [0, 0])[1]; // axes stand from left to right in state.order
  const groups = [...$("parallel").querySelectorAll(".parcoords .y-axis")].sort((a, b) => left(a) - left(b));
  if (groups.length !== axes.length) return;
  groups.forEach((group, i) => {
    const axis = axes[state.order[i]], line = group.querySelector(".axis"), height = PLOT.height - PLOT.t - PLOT.b - 4; // 2 px at either end are Plotly's
    if (!axis.exact || !line) return;
    const family = getComputedStyle(group.querySelector("text")).fontFamily;
    line.querySelectorAll(".tick").forEach(tick => tick.remove());
    axis.tickvals.forEach((value, j) => {
      const share = (value - axis.range[0]) / (axis.range[1] - axis.range[0]);
      const tick = svg("g", { class: "tick", transform: `translate(0,${2 + height * (1 - share)})` });
      const text = svg("text", { x: -7, dy: ".32em", "text-anchor": "end", style: `font-size: 13px; fill: ${theme().fg}; cursor: default` });
      text.style.fontFamily = family;
      text.textContent = axis.ticktext[j];
      tick.append(svg("line", { x2: -4, y2: 0, "stroke-width": 1, "stroke-opacity": .25 }), text);
      line.append(tick);
    });
  });
};

const drawParallel = () => {
  if (!CHARTS) return;
  const node = $("parallel"), rows = filtered(), t = theme();
  if (node.dataset.lacking) return;
  if (!D.factors.length || D.runs.length < 2) {
    node.replaceChildren(el("p", "Nothing but the seed differs between these runs.", { class: "none" }));
    return;
  }
  const tried = levels(), n = tried + anyUnknown, coded = rows.map(run => levelOf(run) < 0 ? tried : levelOf(run));
  const valuesOf = ({ values, range: [low, high] }) => rows.length ? rows.map(i => values[i]) : [low - 9 * (high - low)]; // Plotly draws no axes without a line: one far outside
  const colour = i => colourOf(i < tried ? i : -1);
  const scale = n > 1 ? Array.from({ length: n }, (_, i) => [[i / n, colour(i)], [(i + 1) / n, colour(i)]]).flat() : [[0, colour(0)], [1, colour(0)]];
  const trace = { type: "parcoords", line: { color: rows.length ? coded : [0], cmin: -.5, cmax: n - .5, colorscale: scale },
    unselected: { line: { color: t.soft, opacity: rows.length > 200 ? .04 : .12 } },
    labelfont: { size: 14, color: t.fg }, tickfont: { size: 13, color: t.fg }, rangefont: { size: 1, color: "rgba(0,0,0,0)" }, labelangle: 0,
    dimensions: state.order.map(k => ({ name: String(k), label: plain(axes[k].label), values: valuesOf(axes[k]), range: axes[k].range,
      ...(axes[k].exact ? {} : { tickvals: axes[k].tickvals, ticktext: axes[k].ticktext.map(String) }), constraintrange: unclipped(state.brush[k]) })) };
  const width = Math.max(node.clientWidth, 110 * axes.length + 160);
  // an image that Plotly saves would lack the ticks drawn here
  Plotly.react(node, [trace], { ...layout({ margin: { l: 110, r: 110, t: PLOT.t, b: PLOT.b } }), width, height: PLOT.height },
    { ...CONFIG, responsive: false, modeBarButtonsToRemove: [...CONFIG.modeBarButtonsToRemove, "toImage"] }).then(() => {
    if (!node.querySelector(".no-webgl")) return drawTicks();
    node.dataset.lacking = "yes";
    Plotly.purge(node);
    node.replaceChildren(el("p", "Parallel coordinates need WebGL, which this browser lacks or has switched off. The fields above choose runs as well, by words and by status.", { class: "none" }));
  });
  if (!node.dataset.bound) {
    node.dataset.bound = "yes";
    node.on("plotly_restyle", () => { // a brush, or an axis that was moved
      const dimensions = node.data[0].dimensions;
      state.order = dimensions.map(d => +d.name);
      state.brush = [];
      for (const d of dimensions) if (d.constraintrange) state.brush[+d.name] = Array.isArray(d.constraintrange[0]) ? d.constraintrange : [d.constraintrange];
      update(false);
    });
  }
};
const unclipped = ranges => ranges ? (ranges.length === 1 ? ranges[0] : ranges) : undefined;

// no tick between two epochs where there are few
const wholeEpochs = epochs => epochs.length && epochs[epochs.length - 1] <= 12 ? 1 : undefined;

// ---- curves ----------------------------------------------------------------------------------------------------------
const cellsOf = runs => {
  const cells = new Map();
  for (const run of runs) if (known(run) && !D.runs[run].same) cells.set(D.runs[run].cell, [...(cells.get(D.runs[run].cell) || []), run]);
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
const tracesOf = (runs, lineOf, means, log, floor, zeros = null, bands = true, share = false) => { // log: bands end at `floor`, zeros stand at `zeros`; of shares within 0 and 1
  const traces = [], lift = y => log ? y.map(v => v === null ? null : v > 0 ? v : zeros) : y;
  const broken = { x: [], y: [], text: [], colours: [] };
  const ends = (run, x, y) => {
    let last = y.length - 1;
    while (last >= 0 && (y[last] === null || y[last] === undefined)) last--;
    if (last < 0) return;
    broken.x.push(x[last]); broken.y.push(lift(y)[last]); broken.colours.push(colourOf(levelOf(run)));
    broken.text.push(plain(settingOf(run)) + `<br>${D.runs[run].status}`);
  };
  const alone = run => {
    const [x, y] = lineOf(run);
    traces.push({ x, y: lift(y), mode: "lines", line: { color: colourOf(levelOf(run)), width: 1, dash: "dot" }, opacity: .6, hoverinfo: "skip" });
    ends(run, x, y);
  };
  if (means) {
    runs.filter(run => !known(run)).forEach(alone);
    for (const members of cellsOf(runs).values()) {
      const whole = members.filter(run => D.runs[run].status === "completed"), level = levelOf(members[0]);
      members.filter(run => D.runs[run].status !== "completed").forEach(alone);
      const lines = whole.map(lineOf).filter(([, y]) => y.length);
      if (!lines.length) continue;
      const band = bandOf(lines.map(([, y]) => y));
      if (share) for (const end of ["low", "high"]) band[end] = band[end].map(v => v === null ? null : Math.min(Math.max(v, 0), 1));
      const x = band.mean.map((_, i) => { // seconds differ between seeds
        const found = lines.map(([x]) => x[i]).filter(v => v !== null && v !== undefined);
        return found.length ? found.reduce((a, b) => a + b, 0) / found.length : null;
      });
      if (bands && lines.length > 1) {
        const low = log ? band.low.map(v => v === null ? null : Math.max(v, floor)) : band.low;
        traces.push({ x: [...x, ...[...x].reverse()], y: [...band.high, ...[...low].reverse()], fill: "toself", mode: "lines", line: { width: 0 },
          fillcolor: colourOf(level), opacity: .16, hoverinfo: "skip" });
      }
      const name = D.factors.map((f, k) => `${f.name}=${f.labels[D.runs[whole[0]].levels[k]]}`).join(", ") || "all runs";
      traces.push({ x, y: lift(band.mean), mode: x.length > 1 ? "lines" : "markers", line: { color: colourOf(level), dash: dashOf(level), width: 2 },
        marker: { color: colourOf(level), symbol: markOf(level) },
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
        line: { color: colourOf(level), width: runs.length > 60 ? 1 : 1.5, dash: dashOf(level) }, marker: { size: 4, symbol: markOf(level), color: colourOf(level) },
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
  if (!values.length) return undefined;
  values.sort((a, b) => a - b); ends.sort((a, b) => a - b);
  const low = values[0], top = values[values.length - 1];
  const cap = 2.5 * Math.max(values[Math.floor(.9 * (values.length - 1))], ends[Math.floor(.75 * (ends.length - 1))]);
  const high = cap > low ? Math.min(top, cap) : top, margin = .04 * (high - low) || .05 * Math.abs(high) || .05;
  return [low - margin, high + margin];
};
const leastOf = lines => {
  let least = Infinity;
  for (const line of lines) for (const v of line) if (v !== null && v > 0 && v < least) least = v;
  return least;
};
// the same of a log scale, in powers of ten
const logLimits = lines => {
  const positive = lines.map(line => line.filter(v => v !== null && v > 0)).filter(line => line.length);
  if (!positive.length) return undefined;
  const values = positive.flat().sort((a, b) => a - b), ends = positive.map(line => line[line.length - 1]).sort((a, b) => a - b);
  const cap = 1000 * Math.max(values[Math.floor(.9 * (values.length - 1))], ends[Math.floor(.75 * (ends.length - 1))]);
  const low = Math.log10(values[0]), high = Math.log10(Math.min(values[values.length - 1], cap)), margin = .04 * (high - low) || .1;
  return [low - margin, high + margin];
};
const xsOf = run => {
  const against = $("against").value, steps = D.curves.steps[$("metric").value];
  if (steps) return steps; // of what is recorded by step there is nothing by epoch
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
// what the lines are; several settings may have one colour
const meansNote = cells => "Lines: a setting each, its mean over seeds. " + (cells > new Set(shown.map(levelOf)).size ? "Point at a line for its setting. " : "");
const drawCurves = () => {
  if (!CHARTS) return;
  const metric = $("metric").value, values = D.curves.values[metric];
  if (!values) { $("curve-chart").replaceChildren(el("p", "No run has recorded an epoch.", { class: "none" })); return; }
  const share = metric.endsWith("acc"), log = $("curve-log").checked && !share;
  const cells = cellsOf(shown).size, means = $("lines").value === "means" && cells <= MOST_MEANS, bands = cells <= MOST_BANDS;
  const lineOf = run => [xsOf(run).slice(0, values[run].length), values[run]];
  const lines = shown.map(run => values[run]), range = share ? undefined : log ? logLimits(lines) : limits(lines);
  const stepped = metric in D.curves.steps, chosen = stepped ? "step" : $("against").value;
  const against = { epoch: "epoch", step: "optimizer step", seconds: "seconds of training" }[chosen];
  Plotly.react($("curve-chart"), tracesOf(shown, lineOf, means, log, leastOf(lines) / 3, null, bands, share), layout({ height: 440, uirevision: metric + against + log + means,
    xaxis: { title: { text: against }, type: stepped ? "log" : "linear", dtick: against === "epoch" ? wholeEpochs(D.curves.epochs) : undefined }, yaxis: { title: { text: plain(metric) }, type: log ? "log" : "linear", range, tickformat: share ? ".0%" : undefined } }), CONFIG);
  const notes = shown.length ? [] : [NOTHING];
  if ($("lines").value === "means" && !means) notes.push(`${cells} settings are too many for means: every run is drawn.`);
  if (means && cells) notes.push(meansNote(cells) + (bands ? "Bands: their 95 % intervals (Student)." : `Their 95 % intervals are drawn for up to ${MOST_BANDS} settings: narrow the choice to see them.`));
  const there = run => { const [x, y] = lineOf(run); return y.some((v, i) => v !== null && x[i] !== null && x[i] !== undefined); };
  const odd = shown.filter(run => D.runs[run].status !== "completed" && there(run) && !(means && D.runs[run].same)).length;
  if (odd) notes.push(`A cross ends each of the ${odd} runs shown that diverged, failed or have not ended.`);
  const hidden = shown.filter(run => !there(run)).length, twice = shown.filter(run => D.runs[run].same).length;
  if (hidden) notes.push(`${ofShown(hidden, "has", "have")} no recorded value of it${chosen === "epoch" ? "" : ` against ${against}`}.`);
  if (means && twice) notes.push(`${ofShown(twice, "is the same experiment as another and counts", "are the same experiments as others and count")} in no mean.`);
  if (log && lines.some(line => line.some(v => v !== null && v <= 0))) notes.push("A log scale has no place for zeros and negative values.");
  if (range) notes.push("Double-click for the whole range.");
  $("curve-note").textContent = notes.join(" ");
};

// ---- layers ----------------------------------------------------------------------------------------------------------
const L = D.layers;
const quantity = () => L.quantities.find(q => q.key === $("quantity").value);
// what does not depend on the epoch, found once for the runs shown
let found = {};
const inside = () => {
  const q = quantity();
  if (found.shown === shown && found.q === q) return found;
  const grid = L.values[q.key], last = new Map();
  for (const run of shown) last.set(run, Math.max(-1, ...grid[run].map(line => line.findLastIndex(v => v !== null))));
  const runs = shown.filter(run => last.get(run) >= 0), least = leastOf(runs.flatMap(run => grid[run]));
  const one = new Set(runs.map(run => L.of[run])).size === 1;
  found = { shown, q, grid, last, runs, floor: least === Infinity ? 1e-12 : least / 3, // exact zeros: below everything else
    zeros: q.log && runs.some(run => grid[run].some(line => line.includes(0))),
    deepest: runs.reduce((deep, run) => Math.max(deep, grid[run].length), 0), names: one ? L.architectures[L.of[runs[0]]] : null };
  return found;
};
const inMeans = runs => $("lines").value === "means" && cellsOf(runs).size <= MOST_MEANS;
const scaleOf = q => ({ type: q.log ? "log" : "linear", title: { text: plain(q.label) }, ...(q.log ? { exponentformat: "power", dtick: undefined } : { range: [-.03, 1.03] }) });
const epochOf = at => L.epochs[at] === 0 ? "0 (untrained)" : L.epochs[at];
const drawDepth = () => {
  if (!CHARTS || !L.quantities.length) return;
  const { q, grid, runs, floor, deepest, names } = inside(), at = +$("epoch").value;
  const every = Math.ceil(deepest / 24), ticks = Array.from({ length: deepest }, (_, i) => i).filter(i => i % every === 0);
  const byDepth = run => { const line = grid[run].map(layer => layer[at] ?? null); return [line.map((_, i) => i), line]; };
  $("depth-title").textContent = `epoch ${L.epochs[at]}, from input to output`;
  Plotly.react($("depth-chart"), tracesOf(runs, byDepth, inMeans(runs), q.log, floor, floor, false), layout({ height: 420, uirevision: q.key + deepest,
    xaxis: { title: { text: "layer" }, range: [-.3, deepest - .7], // room for the names at both ends
      tickvals: ticks, ticktext: ticks.map(i => names && deepest <= 24 ? plain(names[i]) : i + 1) }, yaxis: scaleOf(q) }), CONFIG);
  tellLayers();
};
const drawFlow = () => {
  if (!CHARTS || !L.quantities.length) return;
  const { q, grid, runs, floor, deepest, names } = inside(), layer = +$("layer").value;
  [...$("layer").options].forEach((option, i) => { option.disabled = runs.length > 0 && i >= deepest; });
  const overEpochs = run => [L.epochs, layer < grid[run].length ? grid[run][layer] : []];
  $("flow-title").textContent = runs.length && layer >= deepest ? `no layer ${layer + 1}: the runs shown have ${deepest}` : `layer ${layer + 1}${names ? ` (${names[layer]})` : ""}, over epochs`;
  Plotly.react($("flow-chart"), tracesOf(runs, overEpochs, inMeans(runs), q.log, floor, floor, false), layout({ height: 420, uirevision: q.key + layer,
    xaxis: { title: { text: "epoch" }, dtick: wholeEpochs(L.epochs) }, yaxis: scaleOf(q) }), CONFIG);
};
const tellLayers = () => {
  const { grid, last, runs, zeros, deepest } = inside(), at = +$("epoch").value, layer = +$("layer").value, notes = shown.length ? [] : [NOTHING];
  const means = inMeans(runs), twice = runs.filter(run => D.runs[run].same).length;
  const ended = runs.filter(run => last.get(run) < at).length, flat = layer < deepest ? runs.filter(run => grid[run].length <= layer).length : 0;
  if (means && runs.length) notes.push(meansNote(cellsOf(runs).size));
  if (means && twice) notes.push(`${ofShown(twice, "is the same experiment as another and counts", "are the same experiments as others and count")} in none.`);
  if (zeros) notes.push("Exact zeros stand at the bottom of the scale.");
  if (ended) notes.push(`${ofShown(ended, "had", "had")} ended before epoch ${L.epochs[at]}.`);
  if (flat) notes.push(`${ofShown(flat, "has", "have")} no layer ${layer + 1}.`);
  if (runs.length < shown.length) notes.push(`${ofShown(shown.length - runs.length, "has", "have")} no such measurement.`);
  $("layer-note").textContent = notes.join(" ");
};
const drawLayers = () => { drawDepth(); drawFlow(); };
const tellEpoch = () => { if (L.quantities.length) $("epoch-shown").textContent = epochOf(+$("epoch").value); };
