"""Sentences about the results of one factor: who is ahead, by how much, and how sure one can be."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.contests import TUNED
from multirun_analysis.compare.judging import BETTER, HIGHER, LOWER, TIE, WORSE, Result
from multirun_analysis.records.described import in_words, order

MOST_SETTINGS = 6  # of a factor that are put into words
MOST_LEVELS = 8  # that are listed


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(levels: Sequence[Hashable]) -> str:
    shown = [in_words(level) for level in levels]
    if len(shown) > 2 * MOST_LEVELS:
        shown = [*shown[:MOST_LEVELS], f"... {len(shown) - MOST_LEVELS - 1} more ...", shown[-1]]
    return ", ".join(shown)


def _and(levels: Sequence[Hashable]) -> str:
    shown = [in_words(level) for level in levels]
    if len(shown) > MOST_LEVELS:
        shown = [*shown[: MOST_LEVELS - 1], f"{len(shown) - MOST_LEVELS + 1} more"]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _setting(result: Result) -> str:
    contest = result.contest
    text = f"{contest.factor}{f' (with {contest.where})' if contest.where else ''}"
    if contest.kind == TUNED:
        only = f"{contest.nuisances[0]}=" if len(contest.nuisances) == 1 else ""
        rows = result.levels.to_dict("records")
        taken = ", ".join(f"{in_words(row['level'])}: {row['setting'].removeprefix(only)}" for row in rows)
        text += f", each at its best {' and '.join(contest.nuisances)} ({taken})"
    return text


def _figures(result: Result, comparison: Comparison) -> str:
    """The level means: relu: 87.4 %, tanh: 86.8 %."""
    parts = []
    for row in result.levels.head(MOST_LEVELS).to_dict("records"):
        if row["diverged"]:
            seeds = count(row["seeds"], "seed")
            parts.append(f"{in_words(row['level'])}: diverged with {row['diverged']} of {seeds}")
        elif math.isfinite(row["mean"]):
            parts.append(f"{in_words(row['level'])}: {comparison.metric.show(row['mean'])}")
        else:
            parts.append(f"{in_words(row['level'])}: no figure")
    more = len(result.levels) - MOST_LEVELS
    return ", ".join(parts) + (f", and {more} more levels" if more > 0 else "")


def of_result(result: Result, comparison: Comparison) -> str:
    name = comparison.metric.name
    means = f"Mean {name}: {_figures(result, comparison)}"
    where = _setting(result)
    winner = result.winner
    comparative, least = _words(comparison)
    if winner is not None:
        others = [level for level in result.levels["level"] if level != winner]
        text = f"{where}: {in_words(winner)} is {comparative} than {_and(others)}. {means}."
        return f"{text} {_margin(result, comparison)}"
    beaten = {
        level: [other for other in result.levels["level"] if result.verdict(other, level) in (BETTER, HIGHER)]
        for level in result.levels["level"]
    }
    front = [level for level, by in beaten.items() if not by]
    behind = [level for level, by in beaten.items() if by]
    if not behind and (result.levels["diverged"] == result.levels["seeds"]).all():
        return f"{where}: every level diverged with every seed."
    if not behind:
        text = f"{where}: no difference could be shown between {_and(order(front))}. {means}."
        return f"{text} {_seeds(result, comparison)}".rstrip()
    losers = f"{_and(behind)} {'is' if len(behind) == 1 else 'are'} {least} than at least one other level"
    if len(front) > 1:
        text = f"{where}: {_and(front)} cannot be separated; {losers}."
    else:
        text = f"{where}: no single level is {comparative} than all others; {losers}."
    return f"{text} {means}. {_seeds(result, comparison)}".rstrip()


def _words(comparison: Comparison) -> tuple[str, str]:
    return (BETTER, WORSE) if comparison.metric.sign else (HIGHER, LOWER)


def _margin(result: Result, comparison: Comparison) -> str:
    """By how much the winner is ahead of the best of the others."""
    winner = result.winner
    second = next(level for level in result.levels["level"] if level != winner)
    for row in result.pairs.to_dict("records"):
        if {row["a"], row["b"]} == {winner, second}:
            p = f"p = {row['p_adjusted']:.2g} after correction for all pairs of {result.contest.factor}"
            if math.isnan(row["difference"]):
                return f"Against {in_words(second)}, by the signs of {count(row['seeds'], 'seed')}: {p}."
            turn = 1 if row["difference"] > 0 else -1
            ends = sorted((turn * row["low"], turn * row["high"]))
            return (
                f"Ahead of {in_words(second)} by {comparison.metric.show_difference(abs(row['difference']))} (95 % "
                f"interval {comparison.metric.show_interval(*ends)}, {count(row['seeds'], 'seed')} in pairs; {p})."
            )
    return ""


def _seeds(result: Result, comparison: Comparison) -> str:
    """How many seeds would tell apart the pair that is nearest to being told apart, of the levels in front."""
    ties = result.pairs[(result.pairs["verdict"] == TIE) & result.pairs["seeds_needed"].notna()]
    sentences = []
    measured = ties[ties["difference"].notna()]
    if len(measured):
        front = result.levels["level"].iloc[0]
        mine = measured[[front in pair for pair in zip(measured["a"], measured["b"], strict=True)]]
        row = (mine if len(mine) else measured).sort_values("seeds_needed").iloc[0]
        metric = comparison.metric
        ends = metric.show_interval(row["low"], row["high"])
        sentences.append(
            f"Between {in_words(row['a'])} and {in_words(row['b'])} the difference was "
            f"{metric.show_difference(row['difference'])} (95 % interval {ends} for this pair alone; p = "
            f"{row['p_adjusted']:.2g} after correction); if it is that large, about {row['seeds_needed']:,} seeds "
            "would show it."
        )
    if len(measured) < len(ties) and result.levels["diverged"].any():
        needed = ties.loc[ties["difference"].isna(), "seeds_needed"].max()
        sentences.append(
            "Where a seed diverged there is no mean, and pairs are judged by the signs of their differences alone: it "
            f"takes {needed} seeds that all say the same."
        )
    return " ".join(sentences)


def some(results: Sequence[Result]) -> list[str]:
    names = [f"({result.contest.where})" for result in results]
    return names if len(names) <= MOST_SETTINGS else [*names[:MOST_SETTINGS], f"{len(names) - MOST_SETTINGS} more"]


def of_many(factor: str, results: Sequence[Result]) -> str:
    winners = Counter(in_words(result.winner) for result in results if result.winner is not None)
    won = ", ".join(f"{level} in {number}" for level, number in winners.most_common(MOST_LEVELS))
    none = len(results) - winners.total()
    return (
        f"{factor} was compared in {len(results)} settings of {', '.join(results[0].contest.context)}. A single best "
        f"level: {won or 'in none of them'}{f'; in {none} there is none' if won and none else ''}. The {MOST_SETTINGS} "
        "largest are written out, all are in the table of comparisons."
    )


def of_exploratory(results: Sequence[Result], comparison: Comparison) -> list[str]:
    """What one seed shows of a factor: no winner, in however many settings."""
    if not results:
        return []
    several = any(result.levels["seeds"].max() > 1 for result in results)
    reason = "no two levels share two seeds that ended" if several else "with one seed each"
    if len(results) > 2:
        ahead = Counter(in_words(result.levels["level"].iloc[0]) for result in results)
        counts = ", ".join(f"{level} in {number}" for level, number in ahead.most_common(MOST_LEVELS))
        factor = results[0].contest.factor
        settings = f"{len(results)} settings of {', '.join(results[0].contest.context)}"
        text = f"{factor} is exploratory: {reason}, no winner can be named."
        return [f"{text} In {settings}, ahead by chance or not: {counts}."]
    name = comparison.metric.name
    return [
        f"{_setting(result)} is exploratory: {reason}, no winner can be named. {name}: {_figures(result, comparison)}."
        for result in results
    ]
