"""Which runs may be compared on a factor: those that agree in all else, or that were tuned alike. Never torch."""

import math
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import starmap

import numpy as np

from multirun_analysis.compare.design import Cell, Contest, Entry, Kind, Levels, Outcome, Replicate, Runs
from multirun_analysis.compare.inference import optimism
from multirun_analysis.records.described import ABSENT, CONTENT, DEFAULT, DERIVED, GROUPS, Described, tuned_keys

TUNABLE = ("optim.", "scheduler.")  # values that are swept to do a level justice
# What decides on which samples and targets a run is validated: statistics of different ones are not compared.
BLOCKS = ("data", CONTENT, "data.path", "data.target", "data.target_unit", "data.split", "data.val_size",
          "data.val_fraction", "data.test_fraction")  # fmt: skip
LEAST_TRIED = 2 / 3  # of the replicates of the most tried setting: with fewer a setting is no candidate


def contests(
    runs: Runs, outcomes: Mapping[str, Outcome], factors: Sequence[str], factor: str, sign: int, loss: bool = False
) -> list[Contest]:
    """Find what a factor can be compared over, a contest a block; tuned where each level was, else all else equal.

    Args:
        outcomes: by run.
        factors: of all the runs.
        sign: 1 where more of the statistic by which settings are chosen is better, -1 where less is.
        loss: whether it is a loss, whose noise grows with its size.
    """
    having = {name: run for name, run in runs.items() if run.choices and run.level(factor) != ABSENT}
    blocks = [name for name in factors if name in BLOCKS and name != factor]
    others = other_factors(having, [name for name in factors if name not in blocks], factor)
    found = []
    for block, mine in split_blocks(having, blocks):
        nuisances = _nuisances(factor, others, tuned_keys(mine.values())) if not _confirm(mine) else ()
        rest = tuple(other for other in others if other not in nuisances)
        entries = _entries(mine, outcomes, factor, rest, nuisances, sign, loss)
        entries = {
            context: fair
            for context, by_level in entries.items()
            if len(fair := _swept(by_level, factor, nuisances)) > 1
        }
        kind = Kind.TUNED
        if not entries:
            rest, nuisances = others, ()
            entries = _entries(mine, outcomes, factor, rest, nuisances, sign, loss)
            if all(len(by_level) == 1 for by_level in entries.values()):  # perhaps one was set to another's default
                entries = _entries(mine, outcomes, factor, rest, nuisances, sign, loss, by_value=True)
            kind = _kind(mine, entries, factor, factors)
        entries = {context: by_level for context, by_level in entries.items() if len(by_level) > 1}
        if entries:
            found.append(Contest(factor, kind, block, entries, nuisances, rest))
    return found


def _swept(by_level: Mapping[Hashable, Entry], factor: str, nuisances: Sequence[str]) -> dict[Hashable, Entry]:
    """Keep the levels for which every nuisance was swept that was for any; none if none was.

    A choice is excused from what it has not: none from the gamma of the step schedule.
    """
    columns = {
        level: [{trial[k] for trial in entry.trials} for k in range(len(nuisances))]
        for level, entry in by_level.items()
    }
    swept = [any(len(values[k]) > 1 for values in columns.values()) for k in range(len(nuisances))]
    if not any(swept):
        return {}

    def is_fair(values: Sequence[set[Hashable]]) -> bool:
        excused = [key.startswith(f"{factor}.") and v == {ABSENT} for key, v in zip(nuisances, values, strict=True)]
        return all(not s or e or len(v) > 1 for s, e, v in zip(swept, excused, values, strict=True))

    return {level: entry for level, entry in by_level.items() if is_fair(columns[level])}


def _confirm(runs: Runs) -> bool:
    return bool(runs) and all(run.confirms for run in runs.values())


def split_blocks(runs: Runs, keys: Sequence[str]) -> Iterator[tuple[dict[str, Hashable], Runs]]:
    """Split runs by their levels of `keys`; a run that did not come to its data is in the first that it fits."""
    parts: dict[Levels, dict[str, Described]] = {}
    read_first = sorted(runs.items(), key=lambda item: item[1].level(CONTENT) == ABSENT)
    for name, run in read_first:
        levels = tuple(run.level(key) for key in keys)
        open_to = (part for part in parts if all(starmap(_fits, zip(keys, levels, part, strict=True))))
        parts.setdefault(next(open_to, levels), {})[name] = run
    for values, mine in parts.items():
        yield dict(zip(keys, values, strict=True)), mine


def _fits(key: str, level: Hashable, of_part: Hashable) -> bool:
    return level == of_part or (key == CONTENT and level == ABSENT)


def other_factors(runs: Runs, factors: Sequence[str], factor: str) -> tuple[str, ...]:
    """List the other factors, without the level's own values that only some options have, one value each.

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
    return tuple(kept)


def _nuisances(factor: str, others: Sequence[str], tuned: Collection[str]) -> tuple[str, ...]:
    """List what is tuned to do a level justice: for a choice all of TUNABLE, for a value the learning rate.

    And all values that a search has chosen, `tuned`.
    """
    if factor in GROUPS:
        return tuple(other for other in others if other.startswith(TUNABLE) or other in tuned)
    rate = "optim.lr" if not factor.startswith("optim.lr") else None
    return tuple(other for other in others if other == rate or other in tuned)


def follows(key: str, factor: str) -> bool:
    """Say whether a value that was not set follows from the level of a factor (see conf/)."""
    return any(source == factor or follows(source, factor) for source in DERIVED.get(key, ()))


def context_of(run: Described, factor: str, others: Sequence[str]) -> Levels:
    """The levels in which runs have to agree; DEFAULT for what was not set and comes with the factor's level."""
    return tuple(
        DEFAULT if o not in GROUPS and o not in run.given and (follows(o, factor) or o.startswith(f"{factor}."))
        else run.level(o) for o in others
    )  # fmt: skip


def _entries(
    runs: Runs,
    outcomes: Mapping[str, Outcome],
    factor: str,
    others: Sequence[str],
    nuisances: Sequence[str],
    sign: int,
    loss: bool,
    by_value: bool = False,
) -> dict[Levels, dict[Hashable, Entry]]:
    cells: dict[Levels, dict[Hashable, dict[Levels, dict[Replicate, Outcome]]]] = {}
    for name, run in runs.items():
        trial = tuple(run.level(key) for key in nuisances)
        context = tuple(run.level(o) for o in others) if by_value else context_of(run, factor, others)
        by_trial = cells.setdefault(context, {}).setdefault(run.level(factor), {})
        cell, mine = by_trial.setdefault(trial, {}), outcomes[name]
        # an attempt without a statistic hides none that has one
        if mine.replicate not in cell or math.isnan(cell[mine.replicate].value):
            cell[mine.replicate] = mine
    return {
        context: {
            level: _entry({trial: Cell(found) for trial, found in by_trial.items()}, sign, loss)
            for level, by_trial in by_level.items()
        }
        for context, by_level in cells.items()
    }


def _entry(trials: dict[Levels, Cell], sign: int, loss: bool) -> Entry:
    """Choose the trial that stands for a level: of those that are usable the one with the best mean.

    Replicates that a trial does not have neither favour it nor the others. A setting with few replicates is no
    candidate: it would win, or lose, by chance.
    """
    most = max(cell.tried for cell in trials.values())
    usable = [trial for trial, cell in trials.items() if cell.usable]
    candidates = [trial for trial in usable if trials[trial].tried >= LEAST_TRIED * most]
    excluded = [trial for trial in usable if trial not in candidates]
    if len(candidates) < 2:
        return Entry(trials, candidates[0] if candidates else None, 0.0, excluded)
    replicates = list(dict.fromkeys(key for trial in candidates for key in trials[trial].outcomes))
    table = np.full((len(replicates), len(candidates)), np.nan)
    values = table.copy()
    for j, trial in enumerate(candidates):
        for i, key in enumerate(replicates):
            outcome = trials[trial].outcomes.get(key)
            if outcome is not None and math.isfinite(outcome.value) and math.isfinite(outcome.selected_on):
                table[i, j], values[i, j] = sign * outcome.selected_on, sign * outcome.value
    known = ~np.isnan(table).all(axis=0)
    if not known.any():  # nothing was validated: nothing can be chosen
        return Entry(trials, None if len(trials) > 1 else candidates[0], 0.0, excluded)
    candidates = [trial for trial, there in zip(candidates, known, strict=True) if there]
    table, values = table[:, known], values[:, known]
    best = int(_effects(table).argmax())
    whole = values[~np.isnan(values).any(axis=1)]
    if loss and whole.size and (sign * whole).min() > 0:
        mean = float((sign * whole[:, best]).mean())
        return Entry(trials, candidates[best], mean * optimism(sign * np.log(sign * whole)), excluded)
    return Entry(trials, candidates[best], optimism(whole), excluded)


def _effects(table: np.ndarray) -> np.ndarray:
    """Estimate the effects of the columns of a table (replicates, trials) with gaps, beside those of its rows."""
    if not np.isnan(table).any():
        return table.mean(axis=0)
    places = np.argwhere(~np.isnan(table))
    design = np.zeros((len(places), sum(table.shape)))
    each = np.arange(len(places))
    design[each, places[:, 0]] = design[each, table.shape[0] + places[:, 1]] = 1
    known = table[places[:, 0], places[:, 1]]
    return np.linalg.lstsq(design, known - known.mean(), rcond=None)[0][table.shape[0] :]


def _kind(runs: Runs, entries: Mapping[Levels, Mapping[Hashable, Entry]], factor: str, factors: Sequence[str]) -> Kind:
    """Controlled, unless levels differ in a value that comes with them, such as the learning rate of an optimizer."""
    if _confirm(runs):
        return Kind.FRESH
    for by_level in entries.values():
        rates = {runs[name].level("optim.lr") for e in by_level.values() for c in e.trials.values() for name in c.runs}
        given = any("optim.lr" in runs[name].given for e in by_level.values() for c in e.trials.values()
                    for name in c.runs)  # fmt: skip
        if factor == "optim" and not given:
            return Kind.DEFAULTS
        if len(rates) > 1 and factor != "optim.lr" and "optim.lr" in factors:
            return Kind.DEFAULTS
    return Kind.CONTROLLED
