// The table of runs, and everything that follows from what one does.

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
const focus = (run, draw = true) => {
  if (state.focus !== null) rowNodes[state.focus].classList.remove("focus");
  detail.remove();
  state.focus = run;
  if (run !== null) {
    rowNodes[run].classList.add("focus");
    const cell = el("td", undefined, { colspan: D.table.columns.length });
    cell.append(el("div", D.runs[run].name));
    if (D.runs[run].same) cell.append(el("div", `It is the same experiment as ${D.runs[run].same}, which counts.`));
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
  if (draw) { drawCurves(); drawLayers(); }
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
  const add = (label, level) => {
    const item = el("span");
    item.append(swatchOf(colourOf(level), dashOf(level)), label);
    if (!present.has(level)) item.style.opacity = .35;
    items.push(item);
  };
  if (factor()) factor().labels.forEach((label, level) => { if (levels() <= 24 || level % Math.ceil(levels() / 24) === 0) add(label, level); });
  if (factor() && anyUnknown) add("unknown", -1);
  $("legend").replaceChildren(...items);
};
const choose = () => { // all but the charts
  shown = filtered().filter(passes);
  if (state.focus !== null && !shown.includes(state.focus)) focus(null, false);
  const there = new Set(shown);
  rowNodes.forEach((row, i) => { row.hidden = !there.has(i); });
  $("count").textContent = `${shown.length.toLocaleString("en")} of ${D.runs.length.toLocaleString("en")} runs shown`;
  $("parallel-note").textContent = shown.length ? "" : NOTHING;
  drawLegend();
};
const update = (parallel = true) => {
  choose();
  if (parallel) drawParallel();
  drawCurves(); drawLayers();
};
const soon = action => { let asked = false; return () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; action(); }); } }; };
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
for (const section of ["why", "figures"]) $(`to-${section}`).hidden = !$(section);
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
  focus(null, false); update();
});
$("colour").addEventListener("change", () => update());
$("metric").addEventListener("change", () => { suitLog(); drawCurves(); });
for (const id of ["against", "lines", "curve-log"]) $(id).addEventListener("change", drawCurves);
for (const id of ["quantity", "layer"]) $(id).addEventListener("change", drawLayers);
const drawEpoch = soon(drawDepth); // a slider that is dragged tells more epochs than can be drawn
$("epoch").addEventListener("input", () => { tellEpoch(); drawEpoch(); });
dark.addEventListener("change", () => update());
addEventListener("resize", later(drawParallel, 200));
$("copy")?.addEventListener("click", () => { navigator.clipboard?.writeText(document.querySelector(".next code").textContent).then(() => { $("copy").textContent = "Copied"; }); });
makeTable();
tellEpoch();
suitLog();
choose();
for (const draw of [drawCurves, drawLayers, drawParallel]) setTimeout(draw); // a task each: one can scroll between them
