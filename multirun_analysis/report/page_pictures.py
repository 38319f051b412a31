"""A small picture of a factor for the page: paired differences from its best level, and the level means beside them."""

import math
from html import escape

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.results import LevelResult, Pair, Result, Verdict
from multirun_analysis.figures.outcomes import differences_from_best, reach_of
from multirun_analysis.records.described import in_words
from multirun_analysis.report.factor_lines import less_optimism

MOST_ROWS = 12
WIDTH, ROW = 240, 20  # of a drawing


def picture(result: Result, comparison: Comparison) -> str:
    """Draw a row a level, best first, as an HTML table with a drawing in each row."""
    best = result.best
    if best is None or len(result.levels) < 2:
        return ""
    metric, pairs = comparison.metric, {pair.a: pair for pair in differences_from_best(result)}
    reach = reach_of(list(pairs.values()), 1.0)
    rows = []
    for level in result.levels[:MOST_ROWS]:
        pair = pairs.get(level.level)
        if level is best:
            drawing, said = _svg("best", _diamond(), None, comparison, reach, result.log), "best"
        elif not level.usable:
            ended = level.diverged + level.finished
            said = f"unusable: {level.diverged} of {ended} runs diverged" if ended else f"no {metric.short} yet"
            drawing = ""
        elif pair is None or not pair.estimate.n:
            drawing, said = "", "no seed in common with the best" if pair else "not compared with the best"
        else:
            said = metric.show_estimate(pair.estimate, result.log) + less_optimism(pair, metric, result.log)
            drawing = _svg(said, _interval(pair, reach), pair, comparison, reach, result.log)
        word = "" if pair is None or level is best else str(pair.verdict)
        rows.append(
            f"<tr><th scope='row'>{escape(in_words(level.level))}</th><td>{drawing}</td><td>{escape(said)}</td>"
            f"<td>{escape(word)}</td><td>{escape(_mean(level, comparison))}</td></tr>"
        )
    left = len(result.levels) - MOST_ROWS
    more = f"<p class='caption'>{left} more levels: see the details.</p>" if left > 0 else ""
    head = "".join(f"<th scope='col'>{escape(text)}</th>" for text in (
        result.factor, "difference", "from the best", "verdict", f"mean {metric.short}"))  # fmt: skip
    where = f"<caption>{escape(result.contest.where)}</caption>" if result.contest.block else ""
    name = escape(f"{result.factor}: differences from the best level")
    return (
        f"<div class='scroll picture' tabindex='0' role='region' aria-label='{name}'><table>{where}"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>{more}"
    )


def _mean(level: LevelResult, comparison: Comparison) -> str:
    broken = f" ({level.diverged} diverged)" if level.diverged and level.usable else ""
    return comparison.metric.show(level.mean) + broken


def _x(value: float, reach: float) -> float:
    return round(WIDTH / 2 + (WIDTH / 2 - 8) * min(max(value / reach, -1), 1), 1)


def _diamond() -> str:
    x, y = WIDTH / 2, ROW / 2
    return f"<path class='best' d='M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z'/>"


def _interval(pair: Pair, reach: float) -> str:
    low, high = pair.estimate.interval
    decided = " decided" if pair.verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.SAME) else ""
    marks = ""
    if math.isfinite(low):
        ends = _x(low, reach), _x(high, reach)
        marks = f"<line class='interval{decided}' x1='{ends[0]}' x2='{ends[1]}' y1='{ROW / 2}' y2='{ROW / 2}'/>"
    return marks + f"<circle class='mean{decided}' cx='{_x(pair.estimate.mean, reach)}' cy='{ROW / 2}' r='4.5'/>"


def _svg(said: str, marks: str, pair: Pair | None, comparison: Comparison, reach: float, log: bool) -> str:
    band = ""
    if comparison.margin is not None and not log:
        left, right = _x(-comparison.margin, reach), _x(comparison.margin, reach)
        band = f"<rect class='margin' x='{left}' width='{round(right - left, 1)}' y='0' height='{ROW}'/>"
    zero = f"<line class='zero' x1='{WIDTH / 2}' x2='{WIDTH / 2}' y1='0' y2='{ROW}'/>"
    return (
        f"<svg class='difference' viewBox='0 0 {WIDTH} {ROW}' role='img' aria-label='{escape(said)}'>"
        f"{band}{zero}{marks}</svg>"
    )
