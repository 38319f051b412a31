"""Say where the best value lies of what was tuned for each level of another factor."""

from collections import Counter
from collections.abc import Sequence

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.results import LevelResult, Result, find_choice
from multirun_analysis.records.described import ABSENT, in_words, is_number, order
from multirun_analysis.report.factor_names import name_of

MOST_CONTEXTS = 3  # for each of which it is said what is best there


def tuned_values(comparison: Comparison, result: Result) -> list[str]:
    """Of a value that is tuned for each level of another factor: where its best lies, and whether that is an edge."""
    factor = result.factor
    choice = find_choice(comparison.results, factor)
    if choice is None:
        return []
    k = choice.contest.nuisances.index(factor)
    ends = {level: (value, end) for level, key, value, end in choice.edges if key == factor}
    edges, inner = [], []
    for level in choice.usable:
        taken = _taken(choice, level, k)
        if level.level in ends:
            value, end = in_words(ends[level.level][0]), ends[level.level][1]
            edges.append(_put(level, f"{taken} ({end if taken == value else f'{value} is the {end}'})"))
        elif taken != ABSENT:
            inner.append(_put(level, taken))
    found = []
    if edges:
        found.append(f"best at an EDGE: {_join(edges)}")
    if inner:
        found.append(f"best {'within' if edges else 'of each'}: {_join(inner)}")
    return found


def _put(level: LevelResult, taken: str) -> str:
    """Say of a level what is best for it: adam 0.001; of a level that is a number itself, 0.001 for 256."""
    return f"{taken} for {level.level}" if is_number(level.level) else f"{in_words(level.level)} {taken}"


def _join(phrases: Sequence[str]) -> str:
    return ("; " if any(", " in phrase for phrase in phrases) else ", ").join(phrases)


def _taken(choice: Result, level: LevelResult, k: int) -> str:
    """Say which value of the k-th nuisance factor is best for a level: 0.001; 0.001 at batch size 32, 0.01 at 256."""
    counted = Counter(in_words(setting[k]) for setting in level.settings.values())
    varied = choice.contest.varied()
    if len(counted) > 1 and len(varied) == 1 and len(level.settings) <= MOST_CONTEXTS:
        i = choice.contest.others.index(varied[0])
        at = {context[i]: in_words(setting[k]) for context, setting in level.settings.items()}
        places = [f"{at[other]} at {in_words(other)}" for other in order(list(at))]
        return ", ".join([places[0].replace(" at ", f" at {name_of(varied[0]).lower()} ", 1), *places[1:]])
    return f"{counted.most_common(1)[0][0]} mostly" if len(counted) > 2 else "/".join(counted)
