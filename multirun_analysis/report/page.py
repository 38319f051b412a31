"""One HTML file that opens offline: the verdict with a picture of each factor, details, and every run to look at.

What is text in a record (names, overrides, messages) stays text: it is escaped here, and the page's script writes text
nodes alone.
"""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.metric import WORDS
from multirun_analysis.compare.results import Result
from multirun_analysis.figures.overview import overview
from multirun_analysis.report.documents import Part
from multirun_analysis.report.page_data import data_of
from multirun_analysis.report.page_pictures import picture
from multirun_analysis.report.verdict import Verdict
from paribus.record import replace_file

SCRIPTS = ("basics.js", "shared.js", "charts.js", "table.js")  # in this order, as one
MOST_PICTURES = 6
MOST_ROWS = 60  # of a table behind the first screen
MOST_DETAILS = 60


def write_report(comparison: Comparison, found: Verdict, details: Sequence[Part], path: Path) -> None:
    """Write the page."""
    page = files("multirun_analysis") / "report" / "assets"
    studies = sorted({str(s.get("study")) for s in comparison.study.summaries.values() if s.get("study")})
    title = ", ".join(studies[:3]) + (" ..." if len(studies) > 3 else "") or path.absolute().parent.parent.name
    parts = {
        "title": escape(title),
        "heading": escape(title),
        "subtitle": escape(f"{comparison.task}; made {datetime.now():%Y-%m-%d %H:%M}"),
        "style": (page / "page.css").read_text(encoding="utf-8"),
        "verdict": _verdict(found, comparison),
        "details": _details(details),
        "data": _json(data_of(comparison)),
        "plotly": (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8"),
        "script": "".join((page / name).read_text(encoding="utf-8") for name in SCRIPTS),
    }
    text = (page / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():  # plotly last but one: nothing in it is looked at again
        before, mark, after = text.partition(f"<!--{name}-->")
        assert mark, name
        text = before + part + after
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _json(data: Any) -> str:
    """JSON that no HTML parser takes for the end of the script around it."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _verdict(found: Verdict, comparison: Comparison) -> str:
    """The lines of the first screen, each factor's with its picture beside it."""
    results: dict[str, list[Result]] = {}
    for result in comparison.results:
        results.setdefault(result.factor, []).append(result)
    html, drawn = [f"<p class='caption'>{escape(found.heading)}{_figure(comparison)}</p><dl class='lines'>"], 0
    for line in found.lines:
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in line.sentences)
        pictures = ""
        for result in results.get(line.factor or "", []):
            if drawn < MOST_PICTURES:
                pictures += picture(result, comparison)
                drawn += 1
        html.append(f"<div><dt>{escape(line.label)}</dt><dd>{said}{pictures}</dd></div>")
    html.append("</dl>")
    html.append(_picture_of_run(comparison))
    if found.command:
        html.append(
            f"<p class='next'><code>{escape(found.command)}</code> <button type='button' id='copy'>Copy</button></p>"
        )
    if drawn:
        html.append(
            "<p class='caption'>Pictures: paired differences from the best level (diamond), with their 95 % intervals; "
            "filled where decided, after correction for all that the study tests"
            + ("; shaded: the margin" if comparison.margin is not None else "") + ".</p>"
        )  # fmt: skip
    return "".join(html)


def _picture_of_run(comparison: Comparison) -> str:
    """The overview of a single run, in the page itself."""
    try:
        figure = overview(comparison)
    except Exception:  # noqa: BLE001  the gallery draws the same figure, and says what is wrong with it
        figure = None
    if figure is None:
        return ""
    png = BytesIO()
    figure.savefig(png, format="png")
    data = base64.b64encode(png.getvalue()).decode()
    said = "Overview of the run: steps and updates, gradients, curvature, performance, by optimizer steps"
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{said}'>"
        f"<img alt='{said}' style='max-width: 100%' src='data:image/png;base64,{data}'></div>"
    )


def _figure(comparison: Comparison) -> str:
    figure = comparison.metric.figure
    return f" ({WORDS[figure]})" if figure else ""


def _details(details: Sequence[Part]) -> str:
    """Everything else, folded: a heading each."""
    html = [_detail(title, part) for title, part in details[:MOST_DETAILS]]
    left = len(details) - MOST_DETAILS
    more = f"<p class='caption'>{left} more tables are in tables.md.</p>" if left > 0 else ""
    return "".join(html) + more


def _detail(title: str, part: pd.DataFrame | list[str]) -> str:
    if isinstance(part, list):
        body = "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in part) + "</ul>"
    else:
        more = f" (the first {MOST_ROWS} of {len(part)} rows; all are in tables.md)" if len(part) > MOST_ROWS else ""
        title += more
        region = f"class='scroll' tabindex='0' role='region' aria-label='{escape(title)}'"
        body = f"<div {region}>{_table(part.head(MOST_ROWS))}</div>"
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _table(frame: pd.DataFrame) -> str:
    """A frame of words."""
    top = "".join(f"<th scope='col'>{escape(str(column))}</th>" for column in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
