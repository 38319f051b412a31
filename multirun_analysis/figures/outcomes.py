"""Draw the comparison of a factor: differences from its best level, and its levels."""

import math
from collections.abc import Hashable, Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.results import LevelResult, Pair, Result, Verdict
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import Slot, choose_scale
from multirun_analysis.figures.encoding import outcomes
from multirun_analysis.figures.registry import Drawing, figure
from multirun_analysis.figures.style import SMALL, count, plain, shorten
from multirun_analysis.records.described import in_words

MOST_ROWS = 40
MOST_RESULTS = 6


@figure("outcomes")
def of_results(comparison: Comparison) -> Iterator[tuple[str, Drawing]]:
    """Yield differences and levels of the first factors."""
    for result in comparison.results[:MOST_RESULTS]:
        name = ",".join(filter(None, (result.factor, result.contest.where if result.contest.block else "")))
        yield f"differences_{name}", partial(differences, result, comparison)
        yield f"ranking_{name}", partial(ranking, result, comparison)


def differences_from_best(result: Result) -> list[Pair]:
    """List the best level's pairs with every other usable one, turned so that the other comes first, in order."""
    best = result.best
    if best is None:
        return []
    found = [result.pair(level.level, best.level) for level in result.usable[1:]]
    return [pair for pair in found if pair is not None]


def differences(result: Result, comparison: Comparison) -> Figure | None:
    """Draw a row a level: its paired difference from the best level, with the 95 % interval, and the verdict.

    A grey band is the margin; what is unusable stands below the line.
    """
    metric, pairs = comparison.metric, differences_from_best(result)[:MOST_ROWS]
    best, unusable = result.best, [level for level in result.levels if not level.usable]
    if best is None or (not pairs and not unusable):
        return None
    scale = 100 if metric.is_share and not result.log else 1
    rows = len(pairs) + 1 + len(unusable)
    canvas = style.figure(9, 1.7 + 0.36 * rows)
    axes = canvas.subplots()
    axes.axvline(0, color="black", lw=0.8)
    if comparison.margin is not None and not result.log:
        axes.axvspan(-comparison.margin * scale, comparison.margin * scale, color="#e8e8e8", lw=0, gid="margin")
    axes.plot([0], [0], "D", color=style.COLOURS[0], ms=8, mec="white", gid="best")
    reach = reach_of(pairs, scale)
    for row, pair in enumerate(pairs, 1):
        low, high = (scale * end for end in pair.estimate.interval)
        decided = pair.verdict in (Verdict.BETTER, Verdict.WORSE, Verdict.SAME)
        colour = style.COLOURS[0] if decided else style.GREY
        if math.isfinite(low):
            axes.plot(np.clip([low, high], -reach, reach), [row, row], color=colour, lw=2.2, solid_capstyle="butt",
                      gid="interval")  # fmt: skip
            for end, mark in ((low, "<"), (high, ">")):
                if abs(end) > reach:  # goes on
                    axes.plot([math.copysign(reach, end)], [row], mark, color=colour, ms=6, clip_on=False)
        axes.plot([scale * pair.estimate.mean], [row], "o", color=colour, ms=7, mec="white", gid="difference")
    for row, level in enumerate(unusable, len(pairs) + 1):
        text = f"unusable: {level.diverged} of {level.diverged + level.finished} runs diverged"
        axes.text(0, row, text, size=SMALL, ha="center", va="center", color=style.COLOURS[5],
                  bbox={"facecolor": "white", "lw": 0, "pad": 1})  # fmt: skip
    axes.set_xlim(-1.04 * reach, 1.04 * reach)
    if result.log:
        ticks = ratio_ticks(reach)
        axes.set_xticks(list(ticks), list(ticks.values()))
    named = [best.level, *(pair.a for pair in pairs), *(level.level for level in unusable)]
    _label_rows(axes, named, ["best", *(_verdict(pair) for pair in pairs), *("" for _ in unusable)])
    unit = ", as a ratio" if result.log else ", percentage points" if metric.is_share else ""
    axes.set_xlabel(plain(f"{metric.name}: difference from {in_words(best.level)}{unit}", 120))
    style.add_title(canvas, f"{result.factor}: differences from the best level{_how(result)}")
    note = "bar: 95 % interval (Student, paired by seed); blue: decided, after correction for all that the study tests"
    note += "; grey band: the margin" if comparison.margin is not None and not result.log else ""
    style.add_note(canvas, note)
    return canvas


def _label_rows(axes: Axes, levels: Sequence[Hashable], said: Sequence[str]) -> None:
    """Name a level on the left of each row, and write what is said of it on the right."""
    axes.set_yticks(range(len(levels)), [plain(shorten(in_words(level), 30), 60) for level in levels])
    axes.set_ylim(len(levels) - 0.5, -0.5)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(levels)), said)
    beside.tick_params(length=0)
    axes.grid(axis="x", color="#e5e5e5", lw=0.6)
    axes.set_axisbelow(True)


def reach_of(pairs: list[Pair], scale: float) -> float:
    """Compute how far the axis goes to either side of 0: to the ends of most intervals, and beyond every difference."""
    means = [abs(scale * pair.estimate.mean) for pair in pairs]
    ends = [max(abs(scale * end) for end in pair.estimate.interval) for pair in pairs]
    finite = [end for end in ends if math.isfinite(end)]
    furthest = max(means, default=0.0)
    reach = max(1.2 * furthest, min(max(finite), 3 * float(np.median(finite))) if finite else 0.0)
    return reach if reach > 0 else 1.0


def ratio_ticks(reach: float) -> dict[float, str]:
    """Return places and labels of ticks at round ratios, as many below 1 as above, up to exp(`reach`)."""
    small = [1 + step * 10.0**power for power in range(-6, 0) for step in (1, 2, 5)]
    ratios = [*small, *(step * 10.0**power for power in range(12) for step in (2, 5, 10))]
    inside = [ratio for ratio in ratios if 0.2 * reach <= math.log(ratio) <= reach]
    kept = style.pick(inside, 3)
    above = {math.log(ratio): f"{ratio:g}x" for ratio in kept}
    return {-math.log(ratio): f"1/{ratio:g}" for ratio in reversed(kept)} | {0.0: "1x"} | above


def _verdict(pair: Pair) -> str:
    seeds = count(pair.estimate.n, "seed")
    if pair.verdict == Verdict.EXPLORATORY:
        return f"{pair.verdict} ({seeds})"
    p = "p < 0.001" if pair.p_adjusted < 0.001 else f"p = {pair.p_adjusted:.2g}"
    return f"{pair.verdict} ({p}, {seeds})"


def _how(result: Result) -> str:
    contest = result.contest
    how = f", each at its best {', '.join(contest.nuisances)}" if contest.kind == Kind.TUNED else ""
    how += ", each at its default" if contest.kind == Kind.DEFAULTS else ""
    return f"{how} ({contest.where})" if contest.where else how


def ranking(result: Result, comparison: Comparison) -> Figure | None:
    """Draw a row a level, best first: a dot a run of the chosen settings, the mean with its 95 % interval.

    Runs that diverged or have no figure lie in a slot at the bad end.
    """
    levels = result.levels[:MOST_ROWS]
    runs = {level.level: _runs(result, level) for level in levels}
    names = [(run, row) for row, level in enumerate(levels) for run in runs[level.level]]
    if not names:
        return None
    dots = outcomes(comparison, comparison.metric).loc[[run for run, _ in names]].assign(row=[row for _, row in names])
    canvas = style.figure(8.5, 1.5 + 0.34 * len(levels))
    axes = canvas.subplots()
    ends, metric = np.array([[level.low, level.high] for level in levels], dtype=float), comparison.metric
    scale = choose_scale(dots[["value"]].to_numpy(), bands=ends.clip(0, 1) if metric.is_share else ends,
                         share=metric.is_share, low_is_bad=metric.sign > 0)  # fmt: skip
    slot = Slot(axes, scale, "x", metric.sign <= 0, dots["end"])
    palette = style.colours(result.contest.levels)
    for i, level in enumerate(levels):
        axes.plot(scale.place([level.low, level.high]), [i, i], color=palette[level.level], lw=2, solid_capstyle="butt")
        axes.plot(scale.place([level.mean]), [i], "D", color=palette[level.level], mec="white", ms=8, zorder=3)
    axes.scatter(scale.place(dots["value"]), dots["row"] + 0.24, s=14, color="black", alpha=0.7, lw=0, gid="seeds")
    slot.draw_marks(dots, "row")
    axes.set_xlabel(plain(comparison.metric.name))
    diverged = [f"{level.diverged} diverged" if level.diverged else "" for level in levels]
    said = [f"{level.letters}  {broken}".strip() for level, broken in zip(levels, diverged, strict=True)]
    _label_rows(axes, [level.level for level in levels], said)
    style.add_title(canvas, f"{comparison.metric.name} by {result.factor}{_how(result)}: {count(len(dots), 'run')}")
    note = "dots: runs of the settings that stand for a level; diamond: mean with 95 % interval (Student) over seeds. "
    note += "Intervals of levels may overlap where their paired differences are decided"
    beyond = scale.count_beyond(dots["value"])
    note += f"; {beyond} beyond the axis lie at its edge" if beyond else ""
    style.add_note(canvas, note)
    return canvas


def _runs(result: Result, level: LevelResult) -> list[str]:
    cells = [entry.cell for entry in result.contest.of_level(level.level)]
    return [run for cell in cells if cell is not None for run in cell.runs] or [
        run for entry in result.contest.of_level(level.level) for cell in entry.trials.values() for run in cell.runs
    ]
