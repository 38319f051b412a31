"""Sections of the page that are text, tables and figures: why, notes, the gallery, and folded details."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.report.documents import Part
from paribus.housekeeping.shelf import read_note, read_tags

MOST_ROWS = 60  # of a table
MOST_DETAILS = 60
MOST_NOTES = 20  # of runs; the others are in the table of runs
WHY = ("Why: ", "Diagnosis")  # how the titles of details begin that say why
OPEN = ("Why: ", "Diagnosis by setting")  # those that are not folded
FIRST = ("overview", "differences_", "curves_by_", "gradient_flow", "steps", "predictions")  # kinds, best first
MOST_FIRST = 3


def first_figures(names: Sequence[str]) -> list[str]:
    """Choose the figures that are looked at first: the first one of each kind of FIRST, at most three."""
    chosen = [next((name for name in names if name.startswith(kind)), None) for kind in FIRST]
    return [name for name in chosen if name is not None][:MOST_FIRST]


def compose_gallery(names: Sequence[str]) -> str:
    """Show the figures of the folder beside the page: the first ones open, the others folded."""
    if not names:
        return ""
    first = first_figures(names)
    rest = [name for name in names if name not in first]
    folded = f"<details><summary>{len(rest)} more figures</summary>{_figures(rest, 'lazy')}</details>" if rest else ""
    return (
        f"<section id='figures'><h2>Figures</h2>{_figures(first, 'eager')}{folded}"
        "<p class='caption'>They are files in the folder figures beside this page, which has to be kept with it.</p>"
        "</section>"
    )


def _figures(names: Sequence[str], loading: str) -> str:
    html = []
    for name in names:
        address, title = f"figures/{quote(name)}.png", escape(name.replace("_", " "))
        html.append(
            f"<figure><a href='{address}'><img src='{address}' alt='Figure: {title}' loading='{loading}'></a>"
            f"<figcaption>{title}</figcaption></figure>"
        )
    return f"<div class='gallery'>{''.join(html)}</div>"


def compose_notes(comparison: Comparison) -> str:
    """Show the notes and tags of the studies (notes.md), and the notes of runs."""
    runs = {str(name): Path(str(folder)) for name, folder in comparison.study.runs["directory"].items()}
    studies = list(dict.fromkeys(folder.parent for folder in runs.values()))
    several = len(studies) > 1
    parts = []
    for study in studies:
        tags, text = [f"#{tag}" for tag in read_tags(study)], read_note(study).strip()
        if tags or text:
            parts.append((study.name if several else "", "\n\n".join(filter(None, (" ".join(tags), text)))))
    noted = [(name, text) for name, folder in runs.items() if (text := read_note(folder).strip())]
    parts += noted[:MOST_NOTES]
    if not parts:
        return ""
    html = [
        f"{f'<h3>{escape(title)}</h3>' if title else ''}<p class='note'>{escape(text)}</p>" for title, text in parts
    ]
    left = len(noted) - MOST_NOTES
    more = f"<p class='caption'>and notes of {left} more runs</p>" if left > 0 else ""
    return f"<section id='notes' class='card'><h2>Notes</h2>{''.join(html)}{more}</section>"


def compose_why(details: Sequence[Part]) -> str:
    """Show what differs inside the networks, and what was found wrong with runs."""
    parts = [(title, part) for title, part in details if title.startswith(WHY)]
    if not parts:
        return ""
    shown = [(title, part) for title, part in parts if title.startswith(OPEN)]
    html = [f"<h3>{escape(_head(title, part))}</h3>{compose_body(title, part)}" for title, part in shown]
    html += [_fold(title, part) for title, part in parts if not title.startswith(OPEN)]
    return f"<section id='why'><h2>Why</h2>{''.join(html)}</section>"


def compose_details(details: Sequence[Part]) -> str:
    """Fold everything else: a heading each."""
    rest = [(title, part) for title, part in details if not title.startswith(WHY)]
    html = [_fold(title, part) for title, part in rest[:MOST_DETAILS]]
    left = len(rest) - MOST_DETAILS
    more = f"<p class='caption'>{left} more tables are in tables.md.</p>" if left > 0 else ""
    return "".join(html) + more


def _fold(title: str, part: pd.DataFrame | list[str]) -> str:
    return f"<details><summary>{escape(_head(title, part))}</summary>{compose_body(title, part)}</details>"


def _head(title: str, part: pd.DataFrame | list[str]) -> str:
    more = f" (the first {MOST_ROWS} of {len(part)} rows; all are in tables.md)" if len(part) > MOST_ROWS else ""
    return title.removeprefix("Why: ").capitalize() + more if title.startswith("Why: ") else title + more


def compose_body(title: str, part: pd.DataFrame | list[str]) -> str:
    """Show the first rows of a table, or the first sentences."""
    if isinstance(part, list):
        return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in part[:MOST_ROWS]) + "</ul>"
    region = f"class='scroll' tabindex='0' role='region' aria-label='{escape(title)}'"
    return f"<div {region}>{_table(part.head(MOST_ROWS))}</div>"


def _table(frame: pd.DataFrame) -> str:
    """Show a frame of words."""
    top = "".join(f"<th scope='col'>{escape(str(column))}</th>" for column in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"
