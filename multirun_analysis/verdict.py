"""The verdict in plain sentences: what was varied, what may be concluded, what may not and why."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from multirun_analysis.checks import cautions
from multirun_analysis.compare import Comparison
from multirun_analysis.contests import TUNED
from multirun_analysis.factors import in_words, order
from multirun_analysis.interactions import Interaction, interactions
from multirun_analysis.judging import BETTER, EXPLORATORY, HIGHER, LOWER, TIE, WORSE, Result
from paribus import record

MOST_SETTINGS = 6  # of a factor that are put into words
MOST_LEVELS = 8  # that are listed
MOST_PAIRS = 3


@dataclass(frozen=True)
class Verdict:
    """Sentences: what was varied, what may be concluded, what may not and why, what should make one doubt it."""

    varied: list[str]
    concluded: list[str]
    not_concluded: list[str]
    cautions: list[str]

    @property
    def parts(self) -> list[tuple[str, list[str]]]:
        """Each part that has sentences, with its heading."""
        parts = [
            ("What was varied", self.varied),
            ("What may be concluded", self.concluded),
            ("What may not be concluded", self.not_concluded),
            ("Handle with care", self.cautions),
        ]
        return [(heading, sentences) for heading, sentences in parts if sentences]


def verdict(comparison: Comparison, crossed: Sequence[Interaction] | None = None) -> Verdict:
    """What a comparison comes to. `crossed`: its interactions, where they are known already."""
    concluded: list[str] = []
    open_questions: list[str] = []
    tied = False
    for factor in comparison.by:
        results = [result for result in comparison.of(factor) if not result.contest.within]
        results.sort(key=lambda result: (result.contest.kind != TUNED, -len(result.contest.runs)))
        tested = [result for result in results if not result.exploratory]
        for result in tested[:MOST_SETTINGS]:
            shown = set(result.pairs["verdict"]) - {TIE, EXPLORATORY}
            (concluded if shown else open_questions).append(_of(result, comparison))
            tied = tied or TIE in set(result.pairs["verdict"])
        if len(tested) > MOST_SETTINGS:
            won = any(result.winner is not None for result in tested)
            (concluded if won else open_questions).append(_of_many(factor, tested))
        open_questions += _of_exploratory([result for result in results if result.exploratory], comparison)
    for interaction in interactions(comparison) if crossed is None else crossed:
        sentence = _of_interaction(interaction, comparison)
        if sentence:
            concluded.append(sentence)
    if tied:
        open_questions.append("That no difference could be shown does not mean that there is none.")
    open_questions += _confounded(comparison)
    open_questions += _missing(comparison)
    if not comparison.factors:
        open_questions.append(
            "Nothing but the seed differs between these runs, so there is nothing to compare. To vary something: "
            "python train.py --multirun activation=relu,tanh seed=1,2,3,4,5"
            if len(comparison.study.runs) > 1
            else "A single run is compared with nothing. Vary one thing, with several seeds: "
            "python train.py --multirun activation=relu,tanh seed=1,2,3,4,5"
        )
    return Verdict(_varied(comparison), concluded, open_questions, cautions(comparison))


def _varied(comparison: Comparison) -> list[str]:
    runs, described = comparison.study.runs, comparison.described
    counts = Counter(runs["status"])
    parts = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    cells = comparison.settings["cell"]
    seeds = Counter(cells[cells >= 0]).values()
    replicates = len({str(run.replicate) for run in described.values() if run.choices})
    if not seeds:
        each = ""
    elif max(seeds) == 1:
        each = f"; one run each, with {'one seed' if replicates == 1 else f'{replicates} seeds in all'}"
    elif len(set(seeds)) == 1:
        each = f"; {len(seeds)} settings, each with {max(seeds)} seeds"
    else:
        each = f"; {len(seeds)} settings with {min(seeds)} to {max(seeds)} seeds each"
    sentences = [f"{_count(len(runs), 'run')}{each}: {parts}. Compared by {comparison.metric.name}."]
    for factor in comparison.factors:
        levels = order(run.level(factor) for run in described.values() if run.choices)
        sentences.append(f"{factor}: {_listed(levels)}.")
    return sentences


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(levels: Sequence[Hashable]) -> str:
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
        taken = ", ".join(f"{in_words(row.level)}: {row.setting}" for row in result.levels.itertuples())
        text += f", each at its best {' and '.join(contest.nuisances)} ({taken})"
    return text


def _figures(result: Result, comparison: Comparison) -> str:
    """The level means: relu: 87.4 %, tanh: 86.8 %."""
    parts = []
    for row in result.levels.head(MOST_LEVELS).to_dict("records"):
        if row["diverged"]:
            seeds = _count(row["seeds"], "seed")
            parts.append(f"{in_words(row['level'])}: diverged with {row['diverged']} of {seeds}")
        elif math.isfinite(row["mean"]):
            parts.append(f"{in_words(row['level'])}: {comparison.metric.show(row['mean'])}")
        else:
            parts.append(f"{in_words(row['level'])}: no figure")
    more = len(result.levels) - MOST_LEVELS
    return ", ".join(parts) + (f", and {more} more levels" if more > 0 else "")


def _of(result: Result, comparison: Comparison) -> str:
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
    if not behind:
        return (
            f"{where}: no difference could be shown between {_and(order(front))}. {means}. {_seeds(result, comparison)}"
        )
    text = f"{where}: {_and(front)} cannot be separated" if len(front) > 1 else f"{where}: no level beats all others"
    losers = f"{_and(behind)} {'is' if len(behind) == 1 else 'are'} {least} than at least one of them"
    return f"{text}; {losers}. {means}. {_seeds(result, comparison)}"


def _words(comparison: Comparison) -> tuple[str, str]:
    return (BETTER, WORSE) if comparison.metric.sign else (HIGHER, LOWER)


def _margin(result: Result, comparison: Comparison) -> str:
    """By how much the winner is ahead of the second."""
    first, second = result.levels["level"].iloc[0], result.levels["level"].iloc[1]
    for row in result.pairs.to_dict("records"):
        if {row["a"], row["b"]} == {first, second}:
            p = f"p = {row['p_adjusted']:.2g} after correction for all pairs of {result.contest.factor}"
            if not math.isfinite(row["difference"]):
                return f"Over {in_words(second)}: {p}."
            turn = 1 if row["difference"] > 0 else -1
            ends = sorted((turn * row["low"], turn * row["high"]))
            return (
                f"Over {in_words(second)} by {comparison.metric.show_difference(abs(row['difference']))} (95 % "
                f"interval {comparison.metric.show_interval(*ends)}, {_count(row['seeds'], 'seed')} in pairs; {p})."
            )
    return ""


def _seeds(result: Result, comparison: Comparison) -> str:
    """How many seeds would tell apart the pair that is nearest to being told apart, of the levels in front."""
    ties = result.pairs[(result.pairs["verdict"] == TIE) & result.pairs["seeds_needed"].notna()]
    if ties.empty:
        return ""
    front = result.levels["level"].iloc[0]
    mine = ties[[front in pair for pair in zip(ties["a"], ties["b"], strict=True)]]
    row = (mine if len(mine) else ties).sort_values("seeds_needed").iloc[0]
    metric = comparison.metric
    return (
        f"Between {in_words(row['a'])} and {in_words(row['b'])} the difference was "
        f"{metric.show_difference(row['difference'])} (95 % interval {metric.show_interval(row['low'], row['high'])}); "
        f"if it is that large, about {row['seeds_needed']:,} seeds would show it."
    )


def _of_many(factor: str, results: Sequence[Result]) -> str:
    winners = Counter(in_words(result.winner) for result in results if result.winner is not None)
    won = ", ".join(f"{level} in {number}" for level, number in winners.most_common(MOST_LEVELS))
    none = len(results) - winners.total()
    return (
        f"{factor} was compared in {len(results)} settings of {', '.join(results[0].contest.context)}. A single best "
        f"level: {won or 'in none of them'}{f'; in {none} there is none' if won and none else ''}. The {MOST_SETTINGS} "
        "largest are written out, all are in the table of comparisons."
    )


def _of_exploratory(results: Sequence[Result], comparison: Comparison) -> list[str]:
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


def _of_interaction(interaction: Interaction, comparison: Comparison) -> str | None:
    found = interaction.strongest
    if found is None:
        return None
    a, b = interaction.factors
    metric = comparison.metric
    return (
        f"The effect of {a} depends on {b}: {found['a1']} less {found['a2']} differs by "
        f"{metric.show_difference(found['difference'])} between {b}={found['b1']} and {b}={found['b2']} (95 % "
        f"interval {metric.show_interval(found['low'], found['high'])}, p = {found['p_adjusted']:.2g} after "
        "correction). What holds for one need not hold for the other."
    )


def _confounded(comparison: Comparison) -> list[str]:
    """A sentence a factor: pairs of its levels that were never compared with all else equal, and what else differed."""
    grouped: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for pair in comparison.confounded:
        names = f"{in_words(pair.a)} and {in_words(pair.b)}"
        grouped.setdefault(pair.factor, {}).setdefault(pair.also, []).append(names)
    sentences = []
    for factor, found in grouped.items():
        parts = []
        for also, pairs in sorted(found.items(), key=lambda entry: -len(entry[1])):
            more = f" and {len(pairs) - MOST_PAIRS} more pairs" if len(pairs) > MOST_PAIRS else ""
            parts.append(f"{', '.join(also)} ({', '.join(pairs[:MOST_PAIRS])}{more})")
        number = sum(map(len, found.values()))
        compared = any(result.contest.factor == factor for result in comparison.results)
        which = f"{_count(number, 'pair')} of its levels" if compared else "its levels"
        sentences.append(
            f"{factor} is confounded: {which} were never compared with all else equal, and their figures say nothing "
            f"about {factor} alone. The nearest runs differ also in {'; in '.join(parts)}."
        )
    return sentences


def _missing(comparison: Comparison) -> list[str]:
    runs = comparison.study.runs
    missing = runs[~runs["status"].isin(record.FINISHED)]
    if missing.empty:
        return []
    counts = ", ".join(f"{number} {status}" for status, number in Counter(missing["status"]).items())
    return [
        f"{_count(len(missing), 'run')} of {len(runs):,} say nothing yet ({counts}); they stand in the table. The "
        "command of the study, started again, makes what is missing."
    ]
