"""One HTML file of a study before and after a change of the code: the lines of the terminal, a picture, all runs.

The picture has a row a setting that changed: each run's difference over what the seed alone does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np
import pandas as pd

from multirun_analysis.compare.design import where as name_levels
from multirun_analysis.compare.results import Pair, Result, Verdict
from multirun_analysis.compare.revisions import Revision, RunPair, group_changed, measure_seeds
from multirun_analysis.figures.outcomes import reach_of
from multirun_analysis.report.page import compose_lines, fill_template, read_asset
from multirun_analysis.report.page_pictures import (
    ROW,
    draw_band,
    draw_interval,
    draw_row,
    name_ends,
    place,
    small,
)
from multirun_analysis.report.page_sections import MOST_ROWS, compose_body
from multirun_analysis.report.revision import describe_revision, name_setting, pair_of, show_difference
from multirun_analysis.report.tables import defuse_formulas

MOST_DRAWN = 12  # settings
WORDS = {Verdict.UNDECIDED: "no more than noise shows", Verdict.EXPLORATORY: "one seed says nothing of noise"}
ALL = "all that changed"


@dataclass(frozen=True)
class Row:
    """A row of the picture: the mean over settings, which has no runs of its own, or a setting and its runs."""

    name: str
    result: Result
    runs: Sequence[RunPair]

    @property
    def pair(self) -> Pair | None:
        return pair_of(self.result)


def compose_revision_page(revision: Revision, before: str, after: str) -> str:
    """Compose the page.

    Args:
        before, after: names of the two studies.
    """
    found = describe_revision(revision)
    rows = list_rows(revision)
    picture = _compose_picture(rows, revision)
    title = escape(f"{after} against {before}")
    return fill_template(
        "against.html",
        {
            "title": title,
            "style": read_asset("page.css"),
            "heading": title,
            "subtitle": escape(f"After and before a change of the code; made {datetime.now():%Y-%m-%d %H:%M}"),
            "verdict": f"<p class='caption'>{escape(found.heading)}</p><div class='{'first' if picture else 'alone'}'>"
            f"{f'<div>{picture}</div>' if picture else ''}<div>{compose_lines(found)}</div></div>",
            "settings": _compose_table("Settings that changed", tabulate_settings(rows, revision)),
            "runs": _compose_table("Runs", tabulate_runs(revision)),
        },
    )


def list_rows(revision: Revision) -> list[Row]:
    """List the mean over settings of each block, then the settings, the largest difference first."""
    groups = group_changed(revision.pairs)
    settings = [
        Row(name_setting(levels, revision), result, groups[tuple(levels.values())])
        for levels, result in revision.settings
    ]
    settings.sort(key=lambda row: -abs(row.pair.estimate.mean) if row.pair and row.pair.estimate.n else 0.0)
    whole = []
    for result in revision.whole:
        members = list(result.contest.entries)
        single = groups[members[0]] if len(members) == 1 else ()
        whole.append(Row(name_levels(result.contest.block) or (ALL if settings else "the setting"), result, single))
    return [*whole, *settings]


def _compose_picture(rows: Sequence[Row], revision: Revision) -> str:
    """Draw a row each: its runs' differences, what two seeds differ by, and the mean with its interval."""
    if not rows:
        return ""
    metric, log = revision.metric, revision.log
    shown = rows[:MOST_DRAWN]
    pairs = [row.pair for row in shown if row.pair is not None and row.pair.estimate.n]
    moved = [abs(d) for row in shown for run in row.runs if not math.isnan(d := run.difference(log))]
    reach = max([reach_of(pairs, 1.0) if pairs else 0.0, *(1.05 * d for d in moved)]) or 1.0
    body = "".join(_draw(row, revision, reach) for row in shown)
    left = len(rows) - len(shown)
    more = f"<p class='caption'>{left} more settings: see the table.</p>" if left else ""
    ends = f"{name_ends(metric.sign)}<span class='ends'><span>{_end(-reach, revision)}</span><span>0</span>"
    ends = f"{ends}<span>{_end(reach, revision)}</span></span>"
    margin = " Grey band: the margin." if revision.margin is not None and not log else ""
    said = (
        "Dot: a run, its value after the change less that before. Blue band: by how much two seeds of the setting "
        "differ before the change (root mean square); in a long training rounding alone may move a run as far. "
        "Circle: the mean with its 95 % interval, filled where decided, after correction for all rows."
    )
    return (
        "<div class='scroll picture' tabindex='0' role='region' aria-label='Differences by setting'><table>"
        f"<thead><tr><th scope='col'>setting</th><th scope='col'>{ends}</th>"
        f"<th scope='col'>{escape(metric.short)}, after less before</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>{more}<p class='caption'>{said}{margin}</p>"
    )


def _end(value: float, revision: Revision) -> str:
    """Label an end of the drawing; its unit stands in the last column."""
    return (
        f"x {math.exp(value):.3g}" if revision.log else revision.metric.show_difference(value).removesuffix(" points")
    )


def _draw(row: Row, revision: Revision, reach: float) -> str:
    pair, log = row.pair, revision.log
    seeds = measure_seeds(row.runs, log)
    marks = "" if math.isnan(seeds) else draw_band("seeds", min(seeds, reach), reach)
    differences = [run.difference(log) for run in row.runs]
    marks += "".join(
        f"<circle class='run' cx='{place(d, reach)}' cy='{ROW / 4}' r='2.2'/>" for d in differences if not math.isnan(d)
    )
    said, word = _describe(row, revision)
    if pair is not None and pair.estimate.n:
        marks += draw_interval(pair, reach, 0.7 * ROW if row.runs else ROW / 2)
    runs = f"{len(row.runs)} run{'s' * (len(row.runs) != 1)}" if row.runs else ""
    runs += "" if math.isnan(seeds) else f"; seeds differ by {show_difference(seeds, revision.metric, log)}"
    drawing = draw_row(said, marks, None if log else revision.margin, reach)
    return (
        f"<tr><th scope='row'>{escape(row.name)}{small(runs)}</th><td>{drawing}</td>"
        f"<td>{escape(said)}{small(word)}</td></tr>"
    )


def _describe(row: Row, revision: Revision) -> tuple[str, str]:
    """Return the difference with its interval, and what it is, in words."""
    pair = row.pair
    if pair is None or not pair.estimate.n:
        return "no seed has a value before and after", ""
    shown = revision.metric.show_estimate(pair.estimate, row.result.log)
    return shown, WORDS.get(pair.verdict, f"{pair.verdict}{' within the margin' if pair.verdict == 'same' else ''}")


def tabulate_settings(rows: Sequence[Row], revision: Revision) -> pd.DataFrame:
    """Tabulate the rows of the picture: how many runs changed, the difference, what seeds differ by, the verdict."""
    found = []
    for row in rows:
        pair = row.pair
        said, word = _describe(row, revision)
        seeds = show_difference(measure_seeds(row.runs, revision.log), revision.metric, revision.log)
        found.append(
            {
                "setting": row.name,
                "runs changed": f"{sum(run.changed for run in row.runs)} of {len(row.runs)}" if row.runs else "",
                "after less before": said,
                "two seeds differ by": seeds,
                "adjusted p": "" if pair is None or math.isnan(pair.p_adjusted) else f"{pair.p_adjusted:.2g}",
                "verdict": word,
            }
        )
    return pd.DataFrame(found)


def tabulate_runs(revision: Revision) -> pd.DataFrame:
    """Tabulate the runs, those whose status changed first, then the largest differences."""
    metric, log = revision.metric, revision.log

    def rank(pair: RunPair) -> tuple[bool, float]:
        size = abs(pair.difference(log))
        return pair.statuses[0] == pair.statuses[1], 0.0 if math.isnan(size) else -size

    return pd.DataFrame(
        [
            {
                "setting": name_setting(dict(zip(revision.factors, pair.levels, strict=True)), revision),
                "seed": pair.seed,
                "differs from epoch": "" if pair.first_epoch is None else str(pair.first_epoch),
                "before": metric.show(pair.values[0]),
                "after": metric.show(pair.values[1]),
                "after less before": show_difference(pair.difference(log), metric, log)
                if pair.changed
                else "identical",
                "status": pair.statuses[1]
                if pair.statuses[0] == pair.statuses[1]
                else f"{pair.statuses[0]}, then {pair.statuses[1]}",
            }
            for pair in sorted(revision.pairs, key=rank)
        ]
    )


def compose_runs_csv(revision: Revision) -> str:
    """Write a row a run, with all digits."""
    frame = pd.DataFrame(
        [
            {
                "before": pair.before,
                "after": pair.after,
                **dict(zip(revision.factors, pair.levels, strict=True)),
                "changed": pair.changed,
                "first_epoch": pair.first_epoch,
                "status_before": pair.statuses[0],
                "status_after": pair.statuses[1],
                "metric": revision.metric.name,
                "value_before": pair.values[0],
                "value_after": pair.values[1],
                "difference": float(np.subtract(pair.values[1], pair.values[0])),
            }
            for pair in revision.pairs
        ]
    )
    return defuse_formulas(frame.astype({"first_epoch": "Int64"})).to_csv(index=False)


def _compose_table(title: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return "<p class='caption'>None: all runs are identical to the last digit.</p>"
    cut = f"<p class='caption'>The first {MOST_ROWS} of {len(frame)} rows.</p>" if len(frame) > MOST_ROWS else ""
    return compose_body(title, frame) + cut
