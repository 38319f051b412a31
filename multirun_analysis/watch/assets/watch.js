// Follows a study. Text from records goes into text nodes, or through plain() where Plotly would read it as markup.
const MOST_MEANS = 40, MOST_LINES = 300, MOST_ROWS = 200;
const POLL_MS = 2000, HIDDEN_MS = 15000;
const WORDS = { absent: "to train", running: "in training" };
const word = status => WORDS[status] || status;
const state = { version: 0, generation: "", column: null, wanted: null, runs: new Map(), rows: new Map(), study: null, failed: 0 };
const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// ---- what is known of the study ---------------------------------------------------------------------------------------
const settingOf = run => run.setting ? run.setting.join(" ") || "all runs" : run.name.split(",").filter(part => !/^seed=\d+$/.test(part)).join(" ") || run.name;
const labelOf = run => run.setting ? [...run.setting, ...(run.seed === null ? [] : [`seed=${run.seed}`])].join(" ") || run.name : run.name;
const chosen = () => {
  const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean);
  return [...state.runs.values()].filter(run => {
    const text = `${labelOf(run)} ${run.name} ${word(run.status)} ${run.status} ${run.message}`.toLowerCase();
    return words.every(part => text.includes(part));
  });
};
const group = runs => {
  const found = new Map();
  for (const run of runs) {
    const setting = settingOf(run);
    if (!found.has(setting)) found.set(setting, []);
    found.get(setting).push(run);
  }
  return found;
};
const shares = () => /(^|[/_])acc(uracy)?$/.test(state.column || "");
const figure = value => value === null ? "" : shares() ? `${(100 * value).toFixed(2)} %` : number(value);

const take = found => {
  const anew = found.generation !== state.generation || found.column !== state.column;
  if (found.generation !== state.generation) {
    state.runs.clear();
    state.rows.clear();
    $("table-of-runs").tBodies[0].replaceChildren();
  }
  for (const run of found.runs) {
    const before = state.runs.get(run.id), keeps = before && !run.anew && !anew;
    state.runs.set(run.id, { ...run, x: keeps ? before.x.concat(run.x) : run.x, y: keeps ? before.y.concat(run.y) : run.y });
  }
  Object.assign(state, { version: found.version, generation: found.generation, column: found.column, study: found.study, verdict: found.verdict });
  showColumns(found.columns);
  showStudy();
  showVerdict();
  for (const run of found.runs) showRun(state.runs.get(run.id));
  if (found.runs.length || anew) showChosen();
};
const showChosen = () => {
  const runs = chosen(), groups = [...group(runs)];
  showSettings(groups);
  showRuns(runs);
  drawCurves(groups);
};

// ---- the study --------------------------------------------------------------------------------------------------------
const fillLines = (node, lines) => node.replaceChildren(...lines.map(([label, ...sentences]) => {
  const line = el("div"), said = el("dd");
  said.append(...sentences.map(sentence => el("p", sentence)));
  line.append(el("dt", label), said);
  return line;
}));
const alertAbout = text => {
  $("alert").hidden = !text;
  if ($("alert").textContent !== text) $("alert").textContent = text;
};
const showStudy = () => {
  const s = state.study, counts = Object.entries(s.counts).map(([status, n]) => `${n.toLocaleString("en")} ${word(status)}`).join(", ");
  $("name").textContent = s.name;
  document.title = `${s.finished}/${s.runs} ${s.name}`;
  const doing = s.gone ? "gone" : s.busy ? "its command is at work" : s.counts.running ? `${count(s.counts.running, "run", "runs")} in training` : "nothing is being trained";
  $("subtitle").textContent = `${s.path}; ${doing}; read at ${new Date().toLocaleTimeString("en-GB")}`;
  alertAbout(s.gone ? `${s.path} is not there any more: it was moved or removed. Below is what was read last.` : s.trouble);
  $("progress").max = Math.max(1, s.of_epochs);
  $("progress").value = s.epochs;
  const later = s.later ? `; later rounds train at most ${s.later.toLocaleString("en")} of them` : "";
  const lines = [["RUNS", `${s.finished.toLocaleString("en")} of ${s.runs.toLocaleString("en")} finished: ${counts}`],
    ["EPOCHS", `${s.epochs.toLocaleString("en")} of ${s.of_epochs.toLocaleString("en")}${later}`]];
  if (s.left) lines.push(["TIME LEFT", `about ${s.left}, at the pace since the round began`]);
  if (s.stop) lines.push(["STOP", `${s.stop} to stop the study. ${s.busy || s.counts.running ? "Runs in training stop at the end of their epoch." : "It has stopped."}`]);
  if (!s.busy && !s.gone && s.command && s.finished < s.runs) lines.push(["TO GO ON", s.command]);
  fillLines($("lines"), lines);
  if (lines.at(-1)[0] === "TO GO ON") $("lines").lastChild.lastChild.replaceChildren(el("code", s.command));
  $("stop-study").hidden = s.alone || s.gone || !!s.stop || !(s.busy || s.counts.running);
};
const showVerdict = () => {
  const found = state.verdict, study = state.study, lines = [];
  let command = null;
  if (study.verdict) lines.push(["NOT YET", study.verdict]);
  else if (found && found.state === "computing") lines.push(["NOT YET", "All planned runs are finished. The verdict is being computed."]);
  else if (found && found.state === "failed") lines.push(["NONE", found.message]);
  else if (found) {
    lines.push(["RUNS", found.heading], ...found.lines.map(line => [line.label, ...line.sentences]));
    command = found.next;
  }
  const key = JSON.stringify([lines, command]);
  if ($("verdict").dataset.key === key) return;
  $("verdict").dataset.key = key;
  $("verdict").hidden = !lines.length;
  fillLines($("verdict-lines"), lines);
  $("next").hidden = !command;
  $("next").firstChild.textContent = command || "";
};
const stop = async (run, what) => {
  if (!confirm(`Stop ${what}? ${run === null ? "Runs in training stop" : "It stops"} at the end of the epoch, and can be resumed.`)) return;
  try {
    const reply = await fetch("stop", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ run }) });
    $("said").textContent = reply.ok ? `${what}: ${(await reply.json()).message}` : `${what}: ${(await reply.text()).trim()}`;
  } catch {
    $("said").textContent = "No answer from the command `paribus watch`. Nothing was stopped.";
  }
  $("said").scrollIntoView({ block: "nearest" });
  poll();
};
$("stop-study").addEventListener("click", () => stop(null, "the study"));

// ---- settings ---------------------------------------------------------------------------------------------------------
const fillTable = (table, headings, rows) => {
  const top = el("tr");
  top.append(...headings.map((heading, i) => el("th", heading, { scope: "col", class: i ? "figure" : "" })));
  table.tHead.replaceChildren(top);
  table.tBodies[0].replaceChildren(...rows.map(cells => {
    const row = el("tr");
    row.append(...cells.map((cell, i) => el("td", cell, { class: i ? "figure" : "name" })));
    return row;
  }));
};
const showSettings = groups => {
  const rows = [];
  for (const [setting, runs] of groups) {
    const values = runs.filter(run => run.settled !== null).map(run => run.settled);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const sd = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1));
    const of = status => runs.filter(run => run.status === status).length;
    rows.push([setting, `${of("completed")} of ${runs.length}`, values.length ? figure(mean) : "", values.length > 1 ? figure(sd) : "",
      of("running"), of("diverged"), runs.length - of("completed") - of("running") - of("diverged") - of("absent")]);
  }
  const left = rows.length - MOST_ROWS;
  fillTable($("table-of-settings"), ["setting", "completed", `mean ${state.column}`, "sd", "in training", "diverged", "ended otherwise"], rows.slice(0, MOST_ROWS));
  $("settings-note").textContent = `So far, in the order of the plan. Mean and standard deviation over completed runs of the settled ${state.column}, the mean over the last tenth of a run's epochs.`
    + (left > 0 ? ` ${left} more settings are not shown.` : "");
};

// ---- curves -----------------------------------------------------------------------------------------------------------
const showColumns = columns => {
  const select = $("column");
  if ([...select.options].map(option => option.value).join("\n") !== columns.join("\n"))
    select.replaceChildren(...columns.map(column => el("option", column, { value: column })));
  if (!columns.includes(state.wanted)) state.wanted = null;
  select.value = state.wanted ?? state.column;
};
const meanOf = runs => { // at the epochs that all of them have
  const values = runs.map(run => new Map(run.x.map((epoch, i) => [epoch, run.y[i]])));
  const x = runs[0].x.filter(epoch => values.every(of => of.has(epoch)));
  return { x, y: x.map(epoch => values.reduce((sum, of) => sum + of.get(epoch), 0) / runs.length) };
};
let drawing = null, drawAgain = 0;
const drawCurves = groups => { // drawing takes at most a tenth of the time, however many lines there are
  clearTimeout(drawing);
  const draw = () => {
    const started = performance.now();
    drawLines(groups);
    drawAgain = performance.now() + 10 * (performance.now() - started);
  };
  if (performance.now() >= drawAgain) draw();
  else drawing = setTimeout(draw, drawAgain - performance.now());
};
const drawLines = groups => {
  const traces = [], every = $("lines-of").value === "runs", notes = [], legend = [];
  const log = $("log").checked, place = v => v === null || (log && v <= 0) ? null : v;
  let lines = 0;
  groups.forEach(([setting, runs], i) => {
    const colour = i < MOST_MEANS ? colourAmong(i, Math.min(groups.length, MOST_MEANS)) : GREY, drawn = traces.length;
    const begun = runs.filter(run => run.x.length), completed = begun.filter(run => run.status === "completed");
    const trace = (x, y, name, width) => traces.push({ type: "scatter", mode: x.length > 1 ? "lines" : "markers", x, y: y.map(place), marker: { color: colour, size: 6 },
      line: { color: colour, dash: DASHES[i % DASHES.length], width }, hovertemplate: `${plain(name)}<br>epoch %{x}: %{y:.5g}<extra></extra>` });
    if (!every && completed.length && i < MOST_MEANS) {
      const { x, y } = meanOf(completed);
      trace(x, y, `${setting}: mean of ${completed.length}`, 2.5);
    }
    for (const run of begun.filter(run => every || run.status === "running")) if (lines++ < MOST_LINES) trace(run.x, run.y, labelOf(run), 1.2);
    if (traces.length > drawn && i < MOST_MEANS) {
      const entry = el("span");
      entry.append(swatchOf(colour, DASHES[i % DASHES.length]), setting);
      legend.push(entry);
    }
  });
  notes.push(every ? "A line for each run." : "Thick: the mean over the completed runs of a setting. Thin: runs in training.", "No intervals: they come with the verdict.");
  if (groups.length > MOST_MEANS) notes.push(`${groups.length - MOST_MEANS} more settings have no colour and no mean; words under Find choose others.`);
  if (lines > MOST_LINES) notes.push(`${lines - MOST_LINES} more runs are not drawn.`);
  $("legend").replaceChildren(...legend);
  $("chart-note").textContent = notes.join(" ");
  if (!traces.length) {
    Plotly.purge($("chart"));
    $("chart").replaceChildren(el("p", "None of these runs has reached the end of its first epoch.", { class: "none" }));
    return;
  }
  $("chart").querySelector(".none")?.remove();
  const last = Math.max(...traces.map(trace => trace.x.at(-1)));
  Plotly.react($("chart"), traces, layout({ height: 420, uirevision: `${state.column} ${log}`, xaxis: { title: { text: "epoch" }, dtick: last <= 12 ? 1 : undefined },
    yaxis: { title: { text: plain(state.column) }, type: log ? "log" : "linear", tickformat: shares() ? ".0%" : undefined } }), CONFIG);
};

// ---- runs -------------------------------------------------------------------------------------------------------------
const ORDER = ["running", "failed", "damaged", "unfinished", "interrupted"]; // what needs a look stands first
const rankOf = run => (ORDER.indexOf(run.status) + 1 || ORDER.length + 1) * 1e7 + run.id;
const makeRow = run => {
  const row = el("tr"), cells = { name: el("td", "", { class: "name" }), status: el("td"), bar: el("td", "", { class: "bar" }), latest: el("td", "", { class: "figure" }), note: el("td", "", { class: "note" }) };
  const button = el("button", "Stop", { type: "button" }), bar = el("progress"), epochs = el("span"), status = el("span");
  button.addEventListener("click", () => stop(run.name, labelOf(state.runs.get(run.id))));
  cells.bar.append(bar, epochs);
  cells.status.append(status, " ", button);
  row.append(...Object.values(cells));
  return { row, cells, button, bar, epochs, status };
};
const showRun = run => {
  if (!state.rows.has(run.id)) state.rows.set(run.id, makeRow(run));
  const { cells, button, bar, epochs, status } = state.rows.get(run.id), label = labelOf(run);
  cells.name.textContent = label;
  cells.name.title = run.name;
  status.textContent = word(run.status);
  status.className = `status ${run.status}`;
  bar.max = Math.max(1, run.epochs || run.epoch);
  bar.value = run.epoch;
  bar.setAttribute("aria-label", `Epochs of ${label}`);
  epochs.textContent = run.epochs ? `${run.epoch}/${run.epochs}` : `${run.epoch}`;
  cells.latest.textContent = figure(run.latest);
  cells.note.textContent = [run.stop && `${run.stop} to stop it`, run.message, run.planned || !state.study.command ? "" : "not of the last command's plan"].filter(Boolean).join("; ");
  button.hidden = run.status !== "running" || !!run.stop;
  button.setAttribute("aria-label", `Stop ${label}`);
};
const showRuns = runs => {
  const top = el("tr"), shown = runs.sort((a, b) => rankOf(a) - rankOf(b)).slice(0, MOST_ROWS), key = shown.map(run => run.id).join();
  top.append(...["run", "status", "epochs", `last ${state.column}`, "note"].map((heading, i) => el("th", heading, { scope: "col", class: i === 3 ? "figure" : "" })));
  $("table-of-runs").tHead.replaceChildren(top);
  $("count").textContent = `${runs.length.toLocaleString("en")} of ${count(state.runs.size, "run", "runs")}` + (runs.length > MOST_ROWS ? `; the table has the first ${MOST_ROWS}` : "");
  const body = $("table-of-runs").tBodies[0];
  if (body.dataset.key === key && body.childElementCount) return; // a button that has the focus keeps it
  body.dataset.key = key;
  body.replaceChildren(...shown.map(run => state.rows.get(run.id).row));
};

// ---- following --------------------------------------------------------------------------------------------------------
let timer = null, asking = false;
const poll = async () => {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  const column = state.wanted ?? state.column, version = column === state.column ? state.version : 0;
  try {
    const query = new URLSearchParams({ version, generation: state.generation, ...(column ? { column } : {}) });
    const reply = await fetch(`state?${query}`);
    if (!reply.ok) throw new Error((await reply.text()).trim());
    take(await reply.json());
    state.failed = 0;
  } catch (error) {
    state.failed = state.failed || Date.now();
    alertAbout(`No answer from the command \`paribus watch\` since ${new Date(state.failed).toLocaleTimeString("en-GB")}: it has ended, or its machine cannot be reached. Training goes on without it. (${error.message})`);
  }
  asking = false;
  if (state.wanted !== null && state.wanted !== column) return poll(); // chosen meanwhile
  timer = setTimeout(poll, document.hidden ? HIDDEN_MS : POLL_MS);
};
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
$("column").addEventListener("change", () => { state.wanted = $("column").value; poll(); });
for (const id of ["lines-of", "log"]) $(id).addEventListener("change", showChosen);
$("query").addEventListener("input", showChosen);
dark.addEventListener("change", showChosen);
poll();
