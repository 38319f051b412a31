"""Pictures of factors for the page: paired differences from the best level, and the level means beside them."""

import math
import re
from collections.abc import Sequence
from html import escape

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.results import Pair, Result, Verdict, find_choice
from multirun_analysis.figures.outcomes import differences_from_best, reach_of
from multirun_analysis.records.described import in_words
from multirun_analysis.report.factor_lines import less_optimism
from multirun_analysis.report.verdict import describe
from paribus.formatting import keep_together

MOST_ROWS = 12
MOST_PICTURES = 6
MOST_UNUSABLE = 6  # settings that are named
WIDTH, ROW = 240, 20  # of a drawing


def pictures(comparison: Comparison, factors: Sequence[str]) -> str:
    """Draw the results of these factors, one below the other, and name the settings that are unusable.

    Values that were tuned for each level of another factor have no picture: an average over levels would mislead.
    """
    shown = [factor for factor in factors if find_choice(comparison.results, factor) is None]
    results = [result for factor in shown for result in comparison.results if result.factor == factor]
    drawn = [html for result in results[:MOST_PICTURES] if (html := picture(result, comparison))]
    if not drawn:
        return ""
    margin = " Shaded: the margin, within which levels count as the same." if comparison.margin is not None else ""
    said = (
        "Each row is the paired difference of a level from the best one (diamond), with its 95 % interval (variances "
        "shrunk towards the mean of all pairs); filled where decided, after correction for all that the study tests. "
        "Means are over the settings that levels share."
    )
    return "".join([*drawn, _unusable(comparison), f"<p class='caption'>{said}{margin}</p>"])


def picture(result: Result, comparison: Comparison) -> str:
    """Draw a row a level, best first, as an HTML table with a drawing in each row; unusable levels stand apart."""
    best = result.best
    if best is None or len(result.levels) < 2:
        return ""
    metric, pairs = comparison.metric, {pair.a: pair for pair in differences_from_best(result)}
    reach, margin = reach_of(list(pairs.values()), 1.0), None if result.log else comparison.margin
    rows: list[str] = []
    apart: list[str] = []
    for level in result.levels[:MOST_ROWS]:
        pair = pairs.get(level.level)
        mean = f"mean {metric.show(level.mean)}" if level.usable and math.isfinite(level.mean) else ""
        broken = f"{level.diverged} diverged" if level.diverged and level.usable else ""
        drawing = ""
        if level is best:
            drawing, said = draw_row("best", _diamond(), margin, reach), "best"
        elif not level.usable:
            ended = level.diverged + level.finished
            said = f"unusable: {level.diverged} of {ended} runs diverged" if ended else f"no {metric.short} yet"
        elif pair is None or not pair.estimate.n:
            said = "no seed in common with the best" if pair else "not compared with the best"
        else:
            said = metric.show_estimate(pair.estimate, result.log) + less_optimism(pair, metric, result.log)
            drawing = draw_row(said, draw_interval(pair, reach), margin, reach)
        word = "" if pair is None or level is best else str(pair.verdict)
        below = ", ".join(filter(None, (mean, broken)))
        (rows if level.usable else apart).append(
            f"<tr><th scope='row'>{breakable(in_words(level.level))}{small(below)}</th><td>{drawing}</td>"
            f"<td>{escape(said)}{small(word)}</td></tr>"
        )
    left = len(result.levels) - MOST_ROWS
    more = f"<p class='caption'>{left} more levels: see the details.</p>" if left > 0 else ""
    where = f"<caption>{escape(result.contest.where)}</caption>" if result.contest.block else ""
    name = escape(f"{result.factor}: differences from the best level")
    return (
        f"<div class='scroll picture' tabindex='0' role='region' aria-label='{name}'><table>{where}"
        f"<thead><tr><th scope='col'>{breakable(result.factor)}</th><th scope='col'>{name_ends(metric.sign)}</th>"
        f"<th scope='col'>{escape(metric.short)}, from the best</th></tr></thead><tbody>{''.join(rows)}</tbody>"
        f"<tbody class='apart'>{''.join(apart)}</tbody></table></div>{more}"
    )


def breakable(name: str) -> str:
    """Let the lines of a name break behind its dots and underscores, rather than within a word."""
    return re.sub(r"([._])(?=\w)", r"\1<wbr>", escape(name))


def small(text: str) -> str:
    """Put a text into small print; an empty one stays empty."""
    return f"<small>{escape(keep_together(text))}</small>" if text else ""


def name_ends(sign: int) -> str:
    """Say to which side of a drawing levels are worse; nothing where nobody knows which end is better."""
    words = {1: ("&larr; worse", "better &rarr;"), -1: ("&larr; better", "worse &rarr;")}.get(sign, ("less", "more"))
    return f"<span class='ends'><span>{words[0]}</span><span>{words[1]}</span></span>"


def _unusable(comparison: Comparison) -> str:
    """Name the settings that diverge in most of their seeds."""
    broken = [describe(comparison, setting) for setting in comparison.tried if setting.diverged and not setting.usable]
    if not broken:
        return ""
    left = len(broken) - MOST_UNUSABLE
    more = f" and {left} more" if left > 0 else ""
    return f"<p class='apart'>Unusable, so in no mean: {escape('; '.join(broken[:MOST_UNUSABLE]))}{more}.</p>"


def place(value: float, reach: float) -> float:
    """Place a difference on a drawing that shows those up to `reach`; larger ones lie at its edge."""
    return round(WIDTH / 2 + (WIDTH / 2 - 8) * min(max(value / reach, -1), 1), 1)


def _diamond() -> str:
    x, y = WIDTH / 2, ROW / 2
    return f"<path class='best' d='M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z'/>"


def draw_interval(pair: Pair, reach: float, y: float = ROW / 2) -> str:
    """Draw the mean of a pair with its interval at a height, filled where something is decided."""
    low, high = pair.estimate.interval
    decided = " decided" if pair.verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.SAME) else ""
    marks = ""
    if math.isfinite(low):
        ends = place(low, reach), place(high, reach)
        marks = f"<line class='interval{decided}' x1='{ends[0]}' x2='{ends[1]}' y1='{y}' y2='{y}'/>"
    return marks + f"<circle class='mean{decided}' cx='{place(pair.estimate.mean, reach)}' cy='{y}' r='4.5'/>"


def draw_row(said: str, marks: str, margin: float | None, reach: float) -> str:
    """Draw the marks of a row over the line of no difference and the band of the margin."""
    band = "" if margin is None else draw_band("margin", margin, reach)
    zero = f"<line class='zero' x1='{WIDTH / 2}' x2='{WIDTH / 2}' y1='0' y2='{ROW}'/>"
    return (
        f"<svg class='difference' viewBox='0 0 {WIDTH} {ROW}' role='img' aria-label='{escape(said)}'>"
        f"{band}{zero}{marks}</svg>"
    )


def draw_band(kind: str, half: float, reach: float) -> str:
    """Shade the differences up to `half` on either side."""
    left, right = place(-half, reach), place(half, reach)
    return f"<rect class='{kind}' x='{left}' width='{round(right - left, 1)}' y='0' height='{ROW}'/>"
