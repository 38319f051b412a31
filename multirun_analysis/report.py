"""One HTML file that opens offline: the verdict, the comparisons, and every run to look at.

What is text in a record (names, overrides, messages) stays text: it is escaped here, and the page's script writes text
nodes alone.
"""

import json
import math
from collections.abc import Hashable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis import tables
from multirun_analysis.compare import Comparison
from multirun_analysis.factors import in_words, order
from multirun_analysis.figures.layers import joined
from multirun_analysis.interactions import Interaction
from multirun_analysis.judging import Result
from multirun_analysis.targets import Target
from multirun_analysis.verdict import Verdict
from paribus import record
from paribus.record import replacing

QUANTITIES = [  # key, tensor, what it is, whether it spans powers of ten
    ("grad_mean_abs", "joined", "mean |gradient| (weight and bias)", True),
    ("grad_norm", "weight", "gradient norm (weight)", True),
    ("grad_zero_fraction", "weight", "share of zero gradients (weight)", False),
    ("update_ratio", "weight", "update / weight", True),
    ("weight_norm", "weight", "weight norm", True),
    ("activation_std", "activation", "standard deviation of activations", True),
    ("dead_fraction", "activation", "share of dead units", False),
    ("saturated_fraction", "activation", "share of saturated outputs", False),
]
MOST_VALUES = 700_000  # of layers in one page, some 6 bytes each
MOST_POINTS = 600_000  # of curves
MOST_RESULTS = 8  # comparisons that one sees without asking
MOST_FOLDED = 40
MOST_PAIRS = 60


def write_report(
    comparison: Comparison, told: Verdict, crossed: Sequence[Interaction], target: Target | None, path: Path
) -> None:
    """Write the page."""
    page = files("multirun_analysis") / "page"
    studies = sorted({str(s.get("study")) for s in comparison.study.summaries.values() if s.get("study")})
    title = ", ".join(studies[:3]) + (" ..." if len(studies) > 3 else "") or path.absolute().parent.parent.name
    parts = {
        "title": escape(title),
        "heading": escape(title),
        "subtitle": escape(f"{comparison.task}; made {datetime.now():%Y-%m-%d %H:%M}"),
        "style": (page / "page.css").read_text(encoding="utf-8"),
        "verdict": _verdict(told),
        "comparisons": _comparisons(comparison, crossed, target),
        "data": _json(data_of(comparison)),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": (page / "page.js").read_text(encoding="utf-8"),
    }
    text = (page / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():  # plotly last but one: nothing in it is looked at again
        before, mark, after = text.partition(f"<!--{name}-->")
        assert mark, name
        text = before + part + after
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _json(data: Any) -> str:
    """JSON that no HTML parser takes for the end of the script around it."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _verdict(told: Verdict) -> str:
    return "".join(
        f"<section class='part'><h3>{escape(heading)}</h3><ul>"
        + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        + "</ul></section>"
        for heading, sentences in told.parts
    )


def _comparisons(comparison: Comparison, crossed: Sequence[Interaction], target: Target | None) -> str:
    shown = [result for result in comparison.results if not result.contest.within]
    within = [result for result in comparison.results if result.contest.within]
    html = [_result(result, comparison) for result in shown[:MOST_RESULTS]]
    if not shown and not comparison.confounded:
        html.append("<p class='none'>There is nothing to compare.</p>")
    for interaction in crossed[:6]:
        where = ", ".join(f"{key}={in_words(value)}" for key, value in interaction.context.items())
        title = f"{' and '.join(interaction.factors)}{f', with {where}' if where else ''}"
        caption = f"Means of {comparison.metric.name} over seeds."
        html.append(_block(title, caption, _table(tables.crossed(interaction, comparison))))
    if target is not None and comparison.factors:
        frame = tables.times(comparison, target)
        body = _table(frame.head(100))
        more = f" The first 100 of {len(frame)}; all are in tables.md." if len(frame) > 100 else ""
        caption = f"{target.in_words}. Medians over seeds; a run that missed it counts as never.{more}"
        html.append(_block("Time to a target that all runs share", caption, body))
    folded = [
        (f"{len(shown) - MOST_RESULTS} more comparisons", shown[MOST_RESULTS:]),
        (f"{len(within)} comparisons at one value of what was tuned", within),
    ]
    below = "".join(
        f"<details class='within'><summary>{title}{', the first of them' if len(some) > MOST_FOLDED else ''}</summary>"
        f"<div class='blocks'>{''.join(_result(result, comparison) for result in some[:MOST_FOLDED])}</div></details>"
        for title, some in folded
        if some
    )
    return f"<div class='blocks'>{''.join(html)}</div>{below}"


def _block(title: str, caption: str, table: str, below: str = "") -> str:
    return (
        f"<section class='block'><h3>{escape(title)}</h3><p class='caption'>{escape(caption)}</p>"
        f"<div class='scroll'>{table}</div>{below}</section>"
    )


def _result(result: Result, comparison: Comparison) -> str:
    contest = result.contest
    where = f" with {contest.where}" if contest.where else ""
    kind = f"Each level at its best {', '.join(contest.nuisances)}" if contest.nuisances else "All else equal"
    caption = f"{kind}. A tick a seed; mean and 95 % interval. "
    if result.winner is not None:
        caption += f"{in_words(result.winner)} is better than every other level. "
    if (result.levels["letters"] != "").any():
        caption += "Levels of one group (a letter) cannot be separated."
    elif result.exploratory:
        caption += "Exploratory: one seed names no winner."
    metric = comparison.metric
    rows = []
    for row, drawing in zip(result.levels.to_dict("records"), _intervals(result, comparison), strict=True):
        broken = ", ".join(f"{row[what]} {what}" for what in ("diverged", "missing") if row[what])
        rows.append(
            [
                escape(in_words(row["level"])) + (f"<small>{escape(row['setting'])}</small>" if row["setting"] else ""),
                drawing,
                escape(metric.show(row["mean"])) + (f"<small>{broken}</small>" if broken else ""),
                escape(row["letters"]),
                str(row["seeds"]),
            ]
        )
    html = _rows([contest.factor, metric.name, "mean", "group", "seeds"], rows)
    pairs = tables.pairs(result, comparison)
    more = f" (the first {MOST_PAIRS}; all are in comparison.csv)" if len(pairs) > MOST_PAIRS else ""
    listed = _table(pairs.head(MOST_PAIRS))
    title = f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}{more}"
    details = f"<details><summary>{title}</summary><div class='scroll'>{listed}</div></details>"
    return _block(f"{contest.factor}{where}", caption, html, details)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the head is text."""
    top = "".join(f"<th scope='col'>{escape(column)}</th>" for column in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _table(frame: pd.DataFrame) -> str:
    """A frame of words."""
    return _rows(list(map(str, frame)), [[escape(str(cell)) for cell in row] for row in frame.itertuples(index=False)])


def _intervals(result: Result, comparison: Comparison) -> list[str]:
    """A small drawing a level, all on one scale: a tick a seed, the mean and its interval, how many diverged."""
    values = [comparison.values[list(runs)].to_numpy(dtype=float) for runs in result.levels["runs"]]
    finite = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.array([])
    if not len(finite):
        return [""] * len(values)
    ends = result.levels[["low", "high"]].to_numpy(dtype=float)
    low, high = float(finite.min()), float(finite.max())
    reach = 0.5 * (high - low) or abs(high) * 0.01 or 1.0
    low = max(low - reach, float(np.nanmin([low, *ends[:, 0]])))  # a wide interval of few seeds may leave the picture
    high = min(high + reach, float(np.nanmax([high, *ends[:, 1]])))
    bad = 0 if comparison.metric.sign > 0 else 240

    def x(value: float) -> float:
        return round(20 + 200 * (min(max(value, low), high) - low) / ((high - low) or 1), 1)

    drawings = []
    for row, mine in zip(result.levels.to_dict("records"), values, strict=True):
        marks = "".join(f"<line class='seed' x1='{x(v)}' x2='{x(v)}' y1='5' y2='15'/>" for v in mine[np.isfinite(mine)])
        if math.isfinite(row["low"]):
            marks += f"<line class='interval' x1='{x(row['low'])}' x2='{x(row['high'])}' y1='10' y2='10'/>"
        if math.isfinite(row["mean"]):
            marks += f"<circle class='mean' cx='{x(row['mean'])}' cy='10' r='4'/>"
        if row["diverged"]:
            anchor = "end" if bad else "start"
            marks += f"<text class='broken' x='{bad}' y='14' text-anchor='{anchor}'>x{row['diverged']}</text>"
        drawings.append(f"<svg class='seeds' viewBox='0 0 240 20' role='img' aria-label='seeds'>{marks}</svg>")
    return drawings


def data_of(comparison: Comparison) -> dict[str, Any]:
    """What the page's script draws: plain values, None where there is none."""
    study, metric = comparison.study, comparison.metric
    settings = comparison.settings
    factors, places = [], {}
    for factor in comparison.factors:
        levels = order(settings[factor])
        places[factor] = {level: i for i, level in enumerate(levels)}
        factors.append({"name": factor, "labels": [in_words(level) for level in levels], "numbers": _numbers(levels)})
    table = tables.runs(comparison)
    runs = []
    records, cells = study.runs.to_dict("index"), settings.to_dict("index")
    for name in table.index:
        row = records[name]
        value = float(comparison.values[name])
        runs.append(
            {
                "name": str(name),
                "status": row["status"],
                "message": _text(row.get("message")),
                "command": _text(row.get("command")),
                "directory": row["directory"],
                "cell": cells[name]["cell"],
                "levels": [places[factor][cells[name][factor]] for factor in comparison.factors],
                "value": _number(value),
                "shown": metric.show(value) or row["status"],
            }
        )
    names = [run["name"] for run in runs]
    return {
        "metric": {"name": metric.name, "share": metric.is_share, "sign": metric.sign},
        "factors": factors,
        "runs": runs,
        "table": {"columns": list(table.columns), "rows": table.to_numpy().tolist()},
        "curves": _curves(comparison, names),
        "layers": _layers(comparison, names),
        "finished": list(record.FINISHED),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _numbers(levels: Sequence[Hashable]) -> list[float] | None:
    """The levels as numbers, where all are."""
    if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
        return [float(level) for level in levels]  # type: ignore[arg-type]
    return None


def _rounded(values: np.ndarray) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _curves(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """By metric, by run, a value an epoch; `epochs` are those shown of long runs, `step` the steps done by then."""
    curves = comparison.study.curves
    curves = curves[~curves["metric"].isin(["epoch_seconds"])]
    metrics = [str(m) for m in curves["metric"].unique() if m != "seconds"]
    first = ["val/acc", "val/loss", "train/acc", "train/loss"]
    metrics.sort(key=lambda m: (first.index(m) if m in first else len(first), m))
    longest = int(curves["epoch"].max()) if len(curves) else 0
    total = len(curves)
    epochs = _thinned(np.arange(1, longest + 1), max(2, int(longest * MOST_POINTS / max(total, 1))))
    kept = curves[curves["epoch"].isin(epochs)]
    place = pd.Series(np.arange(len(epochs)), epochs)
    rows = pd.Series(np.arange(len(names)), list(names))
    values: dict[str, list[list[float | None]]] = {}
    for column in [*metrics, "step", "seconds"]:
        mine = kept[kept["metric"] == (metrics[0] if column == "step" and metrics else column)]
        grid = np.full((len(names), len(epochs)), np.nan)
        grid[rows[mine["run"].astype(str)], place[mine["epoch"]]] = mine["step" if column == "step" else "value"]
        values[column] = [_rounded(_trimmed(line)) for line in grid]
    return {"metrics": metrics, "epochs": epochs.tolist(), "values": values}


def _trimmed(line: np.ndarray) -> np.ndarray:
    """Without what comes after its last value."""
    there = np.flatnonzero(~np.isnan(line))
    return line[: there[-1] + 1] if len(there) else line[:0]


def _thinned(epochs: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the epochs, the first and last among them, evenly spread."""
    if len(epochs) <= most:
        return epochs
    return epochs[np.unique(np.linspace(0, len(epochs) - 1, most).round().astype(int))]


def _layers(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """By quantity, by run, by layer (nearest the input first), a value for each of `epochs`."""
    layers = comparison.study.layers
    gradient = joined(layers).assign(quantity="grad_mean_abs", tensor="joined")
    whole = pd.concat([layers[layers["quantity"] != "grad_mean_abs"], gradient])
    parts = []
    for key, tensor, label, powers in QUANTITIES:
        mine = whole[(whole["quantity"] == key) & (whole["tensor"] == tensor)]
        if len(mine) and mine["value"].notna().any():
            parts.append((key, label, powers, mine))
    if not parts:
        return {"quantities": [], "epochs": [], "names": [], "values": {}}
    all_epochs = np.unique(np.concatenate([mine["epoch"].unique() for *_, mine in parts]))
    total = sum(len(mine) for *_, mine in parts)
    epochs = _thinned(all_epochs, max(2, int(len(all_epochs) * MOST_VALUES / total)))
    place = pd.Series(np.arange(len(epochs)), epochs)
    rows = pd.Series(np.arange(len(names)), list(names))
    known = layers[["run", "layer", "depth"]].drop_duplicates()
    sizes = known.groupby("run", observed=True)["depth"].max()
    by_run = {
        str(run): mine.sort_values("depth")["layer"].astype(str).tolist()
        for run, mine in known.groupby("run", observed=True)
    }
    values = {}
    for key, _, _, mine in parts:
        mine = mine[mine["epoch"].isin(epochs)]
        grid = np.full((len(names), int(sizes.max()) + 1, len(epochs)), np.nan)
        grid[rows[mine["run"].astype(str)], mine["depth"], place[mine["epoch"]]] = mine["value"]
        values[key] = [
            [_rounded(grid[i, depth]) for depth in range(len(by_run.get(name, [])))] for i, name in enumerate(names)
        ]
    architectures = sorted({tuple(layer_names) for layer_names in by_run.values()})
    numbers = {a: i for i, a in enumerate(architectures)}
    return {
        "quantities": [{"key": key, "label": label, "log": powers} for key, label, powers, _ in parts],
        "epochs": epochs.tolist(),
        "architectures": [list(a) for a in architectures],
        "of": [numbers.get(tuple(by_run.get(name, [])), -1) for name in names],
        "values": values,
    }
