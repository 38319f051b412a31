"""Sentences behind the first screen: what was not compared, and which runs say nothing."""

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.confounding import BROUGHT
from multirun_analysis.records.described import in_words, is_number
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


def count(number: int, noun: str) -> str:
    """Count things: 1 run, 2 runs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rising_runs(comparison: Comparison) -> str:
    """Say that most runs still improve at the end of their budget, which limits what a comparison holds for."""
    planned = [level for level in comparison.settings.get("trainer.max_epochs", ()) if is_number(level)]
    if planned and min(planned) < max(planned):
        return f"budgets of {min(planned)} to {max(planned)} epochs: most runs still improve at their ends"
    epochs = comparison.study.runs.get("epochs")
    budget = "this budget" if epochs is None or epochs.dropna().empty else f"a budget of {int(epochs.max())} epochs"
    return f"{budget}: most runs still improve at its end"


def not_compared(comparison: Comparison) -> list[str]:
    """Name, a sentence a factor, the pairs of levels without two runs that agree in all else, and what else differs."""
    grouped: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for pair in comparison.confounded:
        names = f"{in_words(pair.a)} and {in_words(pair.b)}"
        grouped.setdefault(pair.factor, {}).setdefault(pair.also, []).append(names)
    sentences = [
        f"{factor} decides on which samples or targets runs are validated: statistics of its levels are not compared, "
        "all else is compared within each of them."
        for factor in comparison.blocks
    ]
    for factor, found in grouped.items():
        parts = []
        for also, pairs in sorted(found.items(), key=lambda entry: -len(entry[1])):
            more = f" and {len(pairs) - MOST_PAIRS} more pairs" if len(pairs) > MOST_PAIRS else ""
            what = also[0] if also == (BROUGHT,) else ", ".join(also)
            parts.append(f"{what} ({', '.join(pairs[:MOST_PAIRS])}{more})")
        number = sum(map(len, found.values()))
        which = f"{count(number, 'pair')} of its levels" if comparison.of(factor) else "its levels"
        sentences.append(
            f"{factor} is confounded: {which} were never compared with all else equal, and their values say nothing "
            f"about {factor} alone. The nearest runs differ also in {'; in '.join(parts)}."
        )
    return sentences


def of_missing(comparison: Comparison) -> list[str]:
    """Name the runs that say nothing, and what can be done about it."""
    runs = comparison.study.runs
    sentences = []
    for status, remedy in REMEDIES.items():
        mine = runs[runs["status"] == status]
        if len(mine):
            names = ", ".join(str(name) for name in mine.index[:MOST_PAIRS])
            more = f" and {len(mine) - MOST_PAIRS} more" if len(mine) > MOST_PAIRS else ""
            first = mine["message"].iloc[0]
            reason = f" ({first})" if isinstance(first, str) and first else ""
            sentences.append(f"{count(len(mine), 'run')} of {len(runs):,} {status}: {names}{more}{reason}. {remedy}")
    return sentences
