"""The verdict in plain sentences: what was varied, what may be concluded, what may not and why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.contests import TUNED
from multirun_analysis.compare.interactions import Interaction, interactions
from multirun_analysis.compare.judging import TIE
from multirun_analysis.records.described import ABSENT, in_words, order
from multirun_analysis.report.sentences import MOST_SETTINGS, count, listed, of_exploratory, of_many, of_result, some
from paribus import record

MOST_PAIRS = 3
AGAIN = "The command of the study, started again, makes what is missing."
REMEDIES = {
    record.FAILED: AGAIN,
    record.INTERRUPTED: AGAIN,
    record.UNFINISHED: AGAIN,
    record.RUNNING: "Wait until it has ended.",
    record.DAMAGED: "Remove the directory, and start the command of the study again.",
}


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
            (concluded if result.separated else open_questions).append(of_result(result, comparison))
            tied = tied or bool(((result.pairs["verdict"] == TIE) & result.pairs["difference"].notna()).any())
        if len(tested) > MOST_SETTINGS:
            won = any(result.winner is not None for result in tested)
            (concluded if won else open_questions).append(of_many(factor, tested))
        inner = [result for result in comparison.of(factor) if result.contest.within and result.separated]
        if inner:
            where = ", ".join(some(inner))
            concluded.append(
                f"{factor}, at single values of what was tuned: levels are told apart in {where}; see the table of "
                "comparisons."
            )
        open_questions += of_exploratory([result for result in results if result.exploratory], comparison)
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
    runs = comparison.study.runs
    described = {name: run for name, run in comparison.described.items() if name not in comparison.duplicates}
    counts = Counter(runs["status"])
    parts = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    cells = comparison.settings["cell"].drop(index=list(comparison.duplicates))
    seeds = Counter(cells[cells >= 0]).values()
    replicates = len({str(run.replicate) for run in described.values() if run.choices})
    if not seeds:
        each = ""
    elif max(seeds) == 1:
        each = f"; one run each, with {'one seed' if replicates == 1 else f'{replicates} seeds in all'}"
    elif len(set(seeds)) == 1:
        each = f"; {count(len(seeds), 'setting')}, each with {max(seeds)} seeds"
    else:
        each = f"; {count(len(seeds), 'setting')}, with {min(seeds)} to {max(seeds)} seeds each"
    sentences = [f"{count(len(runs), 'run')}{each}: {parts}. Compared by {comparison.metric.name}."]
    for factor in comparison.factors:
        levels = order(run.level(factor) for run in described.values() if run.level(factor) != ABSENT)
        sentences.append(f"{factor}: {listed(levels)}.")
    return sentences


def _of_interaction(interaction: Interaction, comparison: Comparison) -> str | None:
    found = interaction.strongest
    if found is None:
        return None
    a, b = interaction.factors
    where = f" (with {interaction.where})" if interaction.where else ""
    metric = comparison.metric
    return (
        f"The effect of {a} depends on {b}{where}: {found['a1']} less {found['a2']} differs by "
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
        which = f"{count(number, 'pair')} of its levels" if compared else "its levels"
        sentences.append(
            f"{factor} is confounded: {which} were never compared with all else equal, and their figures say nothing "
            f"about {factor} alone. The nearest runs differ also in {'; in '.join(parts)}."
        )
    return sentences


def _missing(comparison: Comparison) -> list[str]:
    """Runs that say nothing, and what can be done about it."""
    runs = comparison.study.runs
    sentences = []
    for status, remedy in REMEDIES.items():
        mine = runs[runs["status"] == status]
        if len(mine):
            names = ", ".join(str(name) for name in mine.index[:MOST_PAIRS])
            more = f" and {len(mine) - MOST_PAIRS} more" if len(mine) > MOST_PAIRS else ""
            first = mine["message"].iloc[0]
            reason = f" ({first})" if isinstance(first, str) and first else ""
            sentences.append(
                f"{count(len(mine), 'run')} of {len(runs):,} {status}, {'saying' if len(mine) == 1 else 'which say'} "
                f"nothing: {names}{more}{reason}. {remedy}"
            )
    return sentences
