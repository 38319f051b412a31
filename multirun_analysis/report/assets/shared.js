// Draws the runs in #data. Text from records goes into text nodes, or through plain() where Plotly would read it as markup.
const D = JSON.parse(document.getElementById("data").textContent);
const CHARTS = "Plotly" in window;
const MARKS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const T975 = [NaN, NaN, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
  2.131, 2.120, 2.110, 2.101, 2.093]; // Student's, by the number of seeds
const MOST_MEANS = 40, MOST_BANDS = 8, MOST_LINES = 300;
const statuses = [...new Set(D.runs.map(r => r.status))];
const NOTHING = "No run is shown.";
const ofShown = (n, one, many) => `${n} of the runs shown ${n === 1 ? one : many}`;
const state = { query: "", statuses: new Set(statuses), brush: [], order: [], focus: null, sort: null };

const factor = () => D.factors[+$("colour").value];
const levels = () => factor() ? factor().labels.length : 1;
const known = run => D.runs[run].cell >= 0;
const anyUnknown = D.runs.some((_, i) => !known(i));
const levelOf = run => !known(run) ? -1 : factor() ? D.runs[run].levels[+$("colour").value] : 0;
const colourOf = level => level < 0 ? GREY : colourAmong(level, levels());
const dashOf = level => DASHES[Math.max(level, 0) % DASHES.length];
const markOf = level => MARKS[Math.max(level, 0) % MARKS.length];
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
