"""What came of a contest: its levels ranked, and their differences."""

import math
from collections.abc import Hashable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.contests import TUNED
from multirun_analysis.compare.judging import EXPLORATORY, TIE, TURNED, Result
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import Slot, choose_scale
from multirun_analysis.figures.encoding import MISSING, outcomes
from multirun_analysis.figures.registry import Drawing, figure
from multirun_analysis.figures.style import SMALL, count, plain, shorten
from multirun_analysis.records.described import in_words
from paribus import record

MOST_ROWS = 40
MOST_PAIRS = 15
MOST_RESULTS = 6


@figure("outcomes")
def of_results(comparison: Comparison) -> Iterator[tuple[str, Drawing]]:
    """Yield ranking and differences of the first contests."""
    for result in [result for result in comparison.results if not result.contest.within][:MOST_RESULTS]:
        name = ",".join(filter(None, (result.contest.factor, result.contest.where)))
        yield f"ranking_{name}", partial(ranking, result, comparison)
        yield f"differences_{name}", partial(differences, result, comparison)


def ranking(result: Result, comparison: Comparison) -> Figure | None:
    """A row a level, best first: a dot a seed, the mean with its 95 % interval, and the letters of what is tied.

    Seeds that diverged or have no figure lie in a slot at the bad end.
    """
    levels = result.levels.head(MOST_ROWS)
    names = levels["runs"].explode().dropna()
    dots = outcomes(comparison, comparison.metric).loc[names].assign(row=names.index)
    whole = style.figure(8.5, 1.5 + 0.34 * len(levels))
    axes = whole.subplots()
    metric, ends = comparison.metric, levels[["low", "high"]].to_numpy(dtype=float)
    scale = choose_scale(dots[["value"]].to_numpy(), bands=ends.clip(0, 1) if metric.is_share else ends,
                         share=metric.is_share, low_is_bad=metric.sign > 0)  # fmt: skip
    slot = Slot(axes, scale, "x", metric.sign <= 0, dots["end"])
    palette = style.colours(result.contest.levels)
    for i, (level, mean, low, high) in enumerate(levels[["level", "mean", "low", "high"]].itertuples(index=False)):
        axes.plot(scale.place([low, high]), [i, i], color=palette[level], lw=2, solid_capstyle="butt", zorder=2)
        axes.plot(scale.place([mean]), [i], "D", color=palette[level], mec="white", ms=8, zorder=3)
    axes.scatter(
        scale.place(dots["value"]), dots["row"] + 0.24, s=14, color="black", alpha=0.7, lw=0, zorder=4, gid="seeds"
    )
    slot.draw_marks(dots, "row")
    axes.set_yticks(
        range(len(levels)), [_named(*pair) for pair in zip(levels["level"], levels["setting"], strict=True)]
    )
    axes.set_ylim(len(levels) - 0.5, -0.5)
    axes.set_xlabel(plain(comparison.metric.name))
    beside = axes.secondary_yaxis("right")
    by_row = dots.groupby("row")["end"]
    said = [f"{letters}  {_counts(by_row.get_group(i))}".strip() for i, letters in enumerate(levels["letters"])]
    beside.set_yticks(range(len(levels)), said)
    beside.tick_params(length=0)
    axes.grid(axis="x", color="#e5e5e5", lw=0.6)
    axes.set_axisbelow(True)
    contest = result.contest
    where = f" ({contest.where})" if contest.where else ""
    how = f", each at its best {', '.join(contest.nuisances)}" if contest.kind == TUNED else ""
    title = f"{comparison.metric.name} by {contest.factor}{how}{where}: {count(len(dots), 'run')}"
    lettered = "levels that share a letter cannot be told apart; " if (levels["letters"] != "").any() else ""
    note = f"dots: seeds; diamond: mean with 95 % interval (Student) of completed runs; {lettered}"
    beyond = scale.count_beyond(dots["value"])
    note += f"{beyond} beyond the axis lie at its edge; " if beyond else ""
    note += "exploratory: one seed; " if result.exploratory else ""
    note += f"{len(result.levels) - len(levels)} more levels rank below; " if len(levels) < len(result.levels) else ""
    style.add_title(whole, title)
    style.add_note(whole, note.strip("; "))
    return whole


def differences(result: Result, comparison: Comparison) -> Figure | None:
    """A row a pair: the mean difference paired by seed, with its 95 % interval, and the verdict.

    All pairs, or, where they are more than 15, those of the level that ranks first.
    """
    metric, ranked = comparison.metric, list(result.levels["level"])
    place = {level: i for i, level in enumerate(ranked)}
    rows = [_turned(row, place) for row in result.pairs.to_dict("records")]
    rows.sort(key=lambda row: (place[row["a"]], place[row["b"]]))
    if len(rows) > MOST_PAIRS:
        rows = [row for row in rows if place[row["a"]] == 0]
    rows, left = rows[:MOST_ROWS], len(rows[MOST_ROWS:])
    if not rows:
        return None
    scale = 100 if metric.is_share else 1
    table = pd.DataFrame(rows)
    table[["difference", "low", "high"]] = table[["difference", "low", "high"]].astype(float) * scale
    whole = style.figure(9, 1.6 + 0.34 * len(rows))
    axes = whole.subplots()
    axes.axvline(0, color="black", lw=0.8)
    reach = _reach(table)
    for i, (mean, low, high) in enumerate(table[["difference", "low", "high"]].itertuples(index=False)):
        colour = style.GREY if table["verdict"][i] in (TIE, EXPLORATORY) else style.COLOURS[0]
        if math.isnan(mean):
            why = [part for part in str(table["note"][i]).split("; ") if "diverged" in part or "no seed" in part]
            text = plain(f"no mean: {'; '.join(why) or 'no figure'}", 90)
            box = {"facecolor": "white", "lw": 0, "pad": 1}
            axes.text(0, i, text, size=SMALL, ha="center", va="center", color=style.COLOURS[5], bbox=box)
            continue
        axes.plot(
            np.clip([low, high], -reach, reach), [i, i], color=colour, lw=2, solid_capstyle="butt", gid="interval"
        )
        for end, mark in ((low, "<"), (high, ">")):
            if abs(end) > reach:  # goes on
                axes.plot([math.copysign(reach, end)], [i], mark, color=colour, ms=6, clip_on=False)
        axes.plot([mean], [i], "o", color=colour, ms=7, mec="white", gid="difference")
    if table["difference"].isna().all():
        axes.set_xticks([])
    axes.set_xlim(-1.04 * reach, 1.04 * reach)
    named = [f"{shorten(in_words(row['a']), 24)} minus {shorten(in_words(row['b']), 24)}" for row in rows]
    axes.set_yticks(range(len(rows)), [plain(name, 60) for name in named])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_verdict(row) for row in rows])
    beside.tick_params(length=0)
    unit = ", percentage points" if metric.is_share else ""
    better = {1: "; above 0 the first is better", -1: "; below 0 the first is better", 0: ""}[metric.sign]
    axes.set_xlabel(plain(f"difference of {metric.name}{unit}{better}", 120))
    axes.grid(axis="x", color="#e5e5e5", lw=0.6)
    contest = result.contest
    where = f" ({contest.where})" if contest.where else ""
    against = ", pairs of the first" if len(rows) < len(result.pairs) else ""
    title = f"Paired differences of {metric.name} by {contest.factor}{where}: {count(len(rows), 'pair')}{against}"
    note = "bar: 95 % interval (Student) of this pair alone; verdict: after correction for the number of pairs"
    style.add_title(whole, title)
    style.add_note(whole, note, f"{left} more pairs are not shown" if left else "")
    return whole


def _turned(row: dict[Any, Any], place: dict[Hashable, int]) -> dict[Any, Any]:
    """The pair with the level that ranks higher first."""
    if place[row["a"]] < place[row["b"]]:
        return row
    turned = {"a": row["b"], "b": row["a"], "difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
    return row | turned | {"verdict": TURNED.get(row["verdict"], row["verdict"])}


def _reach(table: pd.DataFrame) -> float:
    """How far the axis goes to either side of 0: to the ends of most intervals, and beyond every difference."""
    ends = table[["low", "high"]].abs().max(axis=1).dropna()
    furthest = float(table["difference"].abs().max())
    reach = max(1.2 * furthest, float(min(ends.max(), 3 * ends.median())) if len(ends) else 0)
    return reach if reach > 0 else 1.0


def _verdict(row: dict[Any, Any]) -> str:
    seeds, p = count(int(row["seeds"]), "seed"), row["p_adjusted"]
    if row["verdict"] == EXPLORATORY:
        return f"{row['verdict']} ({seeds})"
    return f"{row['verdict']} ({'p < 0.001' if p < 0.001 else f'p = {p:.2g}'}, {seeds})"


def _named(level: Hashable, setting: str) -> str:
    return plain(shorten(in_words(level), 26) + (f" ({shorten(setting, 30)})" if setting else ""), 60)


def _counts(ends: pd.Series) -> str:
    counts = [(int((ends == end).sum()), end) for end in (record.DIVERGED, MISSING)]
    return ", ".join(f"{count} of {len(ends)} {end}" for count, end in counts if count)
