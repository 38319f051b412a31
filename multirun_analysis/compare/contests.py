"""Which runs may be compared on a factor: those that agree in all else, or that were tuned alike. Never torch."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from multirun_analysis.records.described import ABSENT, DEFAULT, GROUPS, Described, in_words, order

CONTROLLED, TUNED, CONFOUNDED = "controlled", "tuned", "confounded"
TUNABLE = ("optim.", "scheduler.")  # values that are swept to do a level justice
BROUGHT = "what their choices bring along"
MOST_LEVELS = 40  # of a factor, all pairs of which are compared
MOST_SETTINGS = 50  # of a level, when looking for the pair of runs that is nearest to a comparison


@dataclass(frozen=True)
class Contest:
    """Levels of a factor that may be compared, as their runs agree in all else.

    Attributes:
        kind: controlled; or tuned: each level has runs at several values of `nuisances`, and its best is to be taken.
        context: what the runs agree in, of the factors that differ elsewhere.
        trials: by level, by the values of the nuisances (one trial, (), where controlled), the runs, a seed each.
        within: a tuned contest says the same of these levels and more.
    """

    factor: str
    kind: str
    context: dict[str, Hashable]
    trials: dict[Hashable, dict[tuple[Hashable, ...], list[str]]]
    nuisances: tuple[str, ...] = ()
    within: bool = False

    @property
    def levels(self) -> list[Hashable]:
        return order(self.trials)

    @property
    def runs(self) -> set[str]:
        return {run for trials in self.trials.values() for runs in trials.values() for run in runs}

    @property
    def where(self) -> str:
        """The context in words: optim=adam, data.batch_size=64."""
        return where(self.context)


def where(context: Mapping[str, Hashable]) -> str:
    """What runs agree in, in words; without the values that their choices do not have."""
    shown = {key: value for key, value in context.items() if value != ABSENT}
    return ", ".join(f"{k} at its default" if v == DEFAULT else f"{k}={in_words(v)}" for k, v in shown.items())


@dataclass(frozen=True)
class Confounded:
    """Two levels of a factor without any two runs that agree in all else; the nearest two differ in `also`."""

    factor: str
    a: Hashable
    b: Hashable
    also: tuple[str, ...] = field(default_factory=tuple)


Runs = Mapping[str, Described]
Settings = dict[tuple[Hashable, ...], dict[Hashable, list[str]]]
Trials = dict[tuple[Hashable, ...], list[str]]


def contests(runs: Runs, factors: Sequence[str], factor: str) -> list[Contest]:
    """Everything that can be said about one of the factors; tuned contests first."""
    having = _having(runs, factor)
    others = _others(having, factors, factor)
    nuisances = _nuisances(factor, others)
    found = []
    if nuisances:
        rest = [other for other in others if other not in nuisances]
        for context, by_level in _settings(having, factor, rest):
            trials = {level: _trials(having, names, nuisances) for level, names in by_level.items()}
            swept = _swept(trials, nuisances, factor)
            if len(swept) > 1:
                found.append(Contest(factor, TUNED, context, swept, nuisances))
    tuned = [contest.runs for contest in found]
    for context, by_level in _settings(having, factor, others):
        contest = Contest(factor, CONTROLLED, context, {level: {(): names} for level, names in by_level.items()})
        within = any(contest.runs <= other for other in tuned)
        found.append(Contest(factor, CONTROLLED, context, contest.trials, within=within))
    return found


def _having(runs: Runs, factor: str) -> Runs:
    """The runs that have a level of the factor: those of other choices have no momentum, say."""
    return {name: run for name, run in runs.items() if run.choices and run.level(factor) != ABSENT}


def _others(runs: Runs, factors: Sequence[str], factor: str) -> list[str]:
    """The other factors, without the choice's own values that only some of its options have, one value each.

    The step schedule with gamma=0.5 against none: gamma is part of that choice, as none has no gamma to agree in.
    """
    kept = []
    for other in factors:
        if other.startswith(f"{factor}."):
            values: dict[Hashable, set[Hashable]] = {}
            for run in runs.values():
                values.setdefault(run.level(factor), set()).add(run.level(other))
            if {ABSENT} in values.values() and all(len(some) == 1 for some in values.values()):
                continue
        if other != factor:
            kept.append(other)
    return kept


def _swept(trials: Mapping[Hashable, Trials], nuisances: Sequence[str], factor: str) -> dict[Hashable, Trials]:
    """The levels for which every nuisance was swept that was for any; none if none was.

    A choice is excused from what it has not: none from the gamma of the step schedule.
    """
    columns = {level: [set(values) for values in zip(*settings, strict=True)] for level, settings in trials.items()}
    swept = [any(len(values) > 1 for values in several) for several in zip(*columns.values(), strict=True)]
    if not any(swept):
        return {}

    def fair(values: list[set[Hashable]]) -> bool:
        excused = [key.startswith(f"{factor}.") and v == {ABSENT} for key, v in zip(nuisances, values, strict=True)]
        return all(not s or e or len(v) > 1 for s, e, v in zip(swept, excused, values, strict=True))

    return {level: settings for level, settings in trials.items() if fair(columns[level])}


def confounded(runs: Runs, factors: Sequence[str], factor: str, found: Sequence[Contest]) -> list[Confounded]:
    """The pairs of levels of a factor that are in none of the contests `found`, and in what else they differ."""
    having = _having(runs, factor)
    others = _others(having, factors, factor)
    covered = {frozenset(pair) for contest in found for pair in combinations(contest.trials, 2)}
    settings: dict[Hashable, dict[tuple[Hashable, ...], Described]] = {}
    for run in having.values():
        key = tuple((run.level(other), other in run.given) for other in others)
        settings.setdefault(run.level(factor), {}).setdefault(key, run)
    levels = order(settings)
    # of very many, each with its neighbour
    pairs = pairwise(levels) if len(levels) > MOST_LEVELS else combinations(levels, 2)
    result = []
    for a, b in pairs:
        if frozenset((a, b)) not in covered:
            sides = [list(settings[level].values())[:MOST_SETTINGS] for level in (a, b)]
            differing = (_differing(r, s, others) for r in sides[0] for s in sides[1])
            nearest = min(differing, key=lambda also: (len(also), also))
            result.append(Confounded(factor, a, b, nearest or (BROUGHT,)))
    return result


def _differing(a: Described, b: Described, others: Sequence[str]) -> tuple[str, ...]:
    """In which of the other factors two runs differ by what was chosen or set; what choices bring along is theirs."""
    return tuple(
        other
        for other in others
        if a.level(other) != b.level(other) and (other in GROUPS or other in a.given or other in b.given)
    )


def _nuisances(factor: str, others: Sequence[str]) -> tuple[str, ...]:
    """What is tuned to do a level of the factor justice: for a choice all of TUNABLE, for a value the learning rate."""
    if factor in GROUPS:
        return tuple(other for other in others if other.startswith(TUNABLE))
    return tuple(other for other in others if other == "optim.lr")


def _trials(runs: Runs, names: Sequence[str], nuisances: Sequence[str]) -> Trials:
    trials: Trials = {}
    for name in names:
        trials.setdefault(tuple(runs[name].level(key) for key in nuisances), []).append(name)
    return trials


def _settings(
    runs: Runs, factor: str, others: Sequence[str]
) -> Iterator[tuple[dict[str, Hashable], dict[Hashable, list[str]]]]:
    """Runs of at least two levels that agree in `others`: what they agree in, and the runs by level.

    Two runs agree in a value if it is the same, or if neither has set it, so that it comes with a choice or follows
    from another value.
    """
    by_value: Settings = {}
    by_given: Settings = {}
    for name, run in runs.items():
        level = run.level(factor)
        values = tuple(run.level(other) for other in others)
        by_value.setdefault(values, {}).setdefault(level, []).append(name)
        asked = [run.level(o) if o in GROUPS or o in run.given else DEFAULT for o in others]
        by_given.setdefault(tuple(asked), {}).setdefault(level, []).append(name)
    found = []
    for settings in (by_given, by_value):
        for values, by_level in settings.items():
            names = {name for some in by_level.values() for name in some}
            if len(by_level) > 1:
                context = dict(zip(others, values, strict=True))
                for other in [other for other, value in context.items() if value == DEFAULT]:
                    same = {runs[name].level(other) for name in names}
                    context[other] = same.pop() if len(same) == 1 else DEFAULT
                found.append((names, context, by_level))
    for i, (names, context, by_level) in enumerate(found):
        # what was agreed on in both ways, or for fewer levels than in the other way, is there once
        if not any(names < other or (names == other and j < i) for j, (other, _, _) in enumerate(found)):
            yield context, by_level
