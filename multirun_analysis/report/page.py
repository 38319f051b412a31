"""One HTML file that opens offline: the verdict with a picture of each factor, why, and every run to look at.

What is text in a record (names, overrides, messages, notes) stays text: it is escaped here, and the page's script
writes text nodes alone. Plotly, most of the file, is compressed; the page's loader unpacks it.
"""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.metric import WORDS
from multirun_analysis.figures.overview import overview
from multirun_analysis.report.documents import Part
from multirun_analysis.report.page_data import data_of
from multirun_analysis.report.page_pictures import pictures
from multirun_analysis.report.page_sections import compose_details, compose_gallery, compose_notes, compose_why
from multirun_analysis.report.verdict import Verdict
from paribus.formatting import keep_together
from paribus.record import replace_file

SCRIPTS = ("basics.js", "shared.js", "charts.js", "table.js")  # in this order, as one


def compose_parts(comparison: Comparison, found: Verdict, details: Sequence[Part], folder: Path) -> dict[str, str]:
    """Compose all parts of the page but its gallery, in the order in which page.html has them.

    Args:
        folder: where the page will be; the folder above it names a study that has no other name.
    """
    studies = sorted({str(s.get("study")) for s in comparison.study.summaries.values() if s.get("study")})
    title = ", ".join(studies[:3]) + (" ..." if len(studies) > 3 else "") or folder.absolute().parent.name
    return {
        "title": escape(title),
        "style": read_asset("page.css"),
        "heading": escape(title),
        "subtitle": escape(f"{comparison.task}; made {datetime.now():%Y-%m-%d %H:%M}"),
        "verdict": _verdict(found, comparison),
        "notes": compose_notes(comparison),
        "why": compose_why(details),
        "figures": "",
        "details": compose_details(details),
        "data": _json(data_of(comparison)),
        "plotly": _packed_plotly(),
        "script": "".join(read_asset(name) for name in SCRIPTS),
        "load": read_asset("load.js"),
    }


def write_page(parts: Mapping[str, str], path: Path, figures: Sequence[str]) -> None:
    """Write the page from its parts and the names of the figures in the folder `figures` beside it."""
    text = fill_template("page.html", {**parts, "figures": compose_gallery(figures)})
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fill_template(name: str, parts: Mapping[str, str]) -> str:
    """Put parts into a template of the folder `assets`, in the order in which they stand there."""
    text, pieces = read_asset(name), []
    for mark, part in parts.items():
        before, found, text = text.partition(f"<!--{mark}-->")  # what was put in is not looked at again
        assert found, mark
        pieces += [before, part]
    return "".join([*pieces, text])


def read_asset(name: str) -> str:
    """Read a file of the folder `assets`."""
    return (files("multirun_analysis") / "report" / "assets" / name).read_text(encoding="utf-8")


@cache
def _packed_plotly() -> str:
    """Return plotly.min.js as base64 of gzip: 2 MB instead of 5."""
    script = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, 6, mtime=0)).decode()


def _json(data: Any) -> str:
    """JSON that no HTML parser takes for the end of the script around it."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _verdict(found: Verdict, comparison: Comparison) -> str:
    """The first screen: the factors' pictures, and beside them its lines; then the command that comes next."""
    statistic = comparison.metric.statistic
    what = f" ({WORDS[statistic]})" if statistic else ""
    drawn = pictures(comparison, [line.factor for line in found.lines if line.factor])
    command = (
        f"<p class='next'><code>{escape(found.command)}</code> <button type='button' id='copy'>Copy</button></p>"
        if found.command
        else ""
    )
    return (
        f"<p class='caption'>{escape(found.heading)}{what}</p>"
        f"{_picture_of_run(comparison)}<div class='{'first' if drawn else 'alone'}'>"
        f"{f'<div>{drawn}</div>' if drawn else ''}<div>{compose_lines(found)}{command}</div></div>"
    )


def compose_lines(found: Verdict) -> str:
    """Show the lines of a first screen as a list."""
    lines = []
    for line in found.lines:
        sentences = "".join(f"<p>{escape(keep_together(sentence))}</p>" for sentence in line.sentences)
        lines.append(f"<div><dt>{escape(line.label)}</dt><dd>{sentences}</dd></div>")
    return f"<dl class='lines'>{''.join(lines)}</dl>"


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
