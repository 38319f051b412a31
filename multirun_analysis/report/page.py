"""One HTML file that opens offline: the verdict, the comparisons, and every run to look at.

What is text in a record (names, overrides, messages) stays text: it is escaped here, and the page's script writes text
nodes alone.
"""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.compare.judging import BETTER, HIGHER, Result
from multirun_analysis.compare.targets import Target
from multirun_analysis.records.described import in_words
from multirun_analysis.report import tables
from multirun_analysis.report.page_data import data_of
from multirun_analysis.report.verdict import Verdict
from paribus.record import replacing

SCRIPTS = ("shared.js", "charts.js", "table.js")  # in this order, as one
MOST_RESULTS = 8  # comparisons that one sees without asking
MOST_FOLDED = 40
MOST_PAIRS = 60


def write_report(
    comparison: Comparison, told: Verdict, crossed: Sequence[Interaction], target: Target | None, path: Path
) -> None:
    """Write the page."""
    page = files("multirun_analysis") / "report" / "assets"
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
        "script": "".join((page / name).read_text(encoding="utf-8") for name in SCRIPTS),
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
        where = interaction.where
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
        word = BETTER if comparison.metric.sign else HIGHER
        caption += f"{in_words(result.winner)} is {word} than every other level. "
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
