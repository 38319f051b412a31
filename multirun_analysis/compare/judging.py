"""A contest held: each level's best setting taken, every pair tested over its seeds, the levels ranked."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.contests import MOST_LEVELS, TUNED, Contest
from multirun_analysis.compare.inference import (
    LEVEL,
    holm,
    interval,
    letters,
    p_paired,
    p_sign,
    seeds_needed,
    signs_needed,
)
from multirun_analysis.compare.metric import Metric
from multirun_analysis.records.described import SPLIT, Described, in_words
from paribus import record

BETTER, WORSE, TIE, EXPLORATORY = "better", "worse", "tie", "exploratory"
HIGHER, LOWER = "higher", "lower"  # of a metric of which neither more nor less is better
TURNED = {BETTER: WORSE, WORSE: BETTER, HIGHER: LOWER, LOWER: HIGHER}
PAIR_COLUMNS = [
    *("factor", "kind", "context", "a", "b", "metric", "mean_a", "mean_b", "seeds", "difference", "low", "high"),
    *("p", "p_adjusted", "verdict", "seeds_needed", "note"),
]


@dataclass(frozen=True)
class Result:
    """What came of a contest.

    Attributes:
        levels: a row a level, best first: level, setting (of what was tuned), trials, seeds, completed, diverged,
            missing (failed, or not ended), mean, low, high (of its completed runs), letters (levels that share one
            cannot be separated; empty where nothing was tested), runs.
        pairs: a row a pair, columns PAIR_COLUMNS; a minus b, paired by seed.
        edges: of what was tuned, the levels whose best value lies at an end of its range: level, key, value, end.
    """

    contest: Contest
    levels: pd.DataFrame
    pairs: pd.DataFrame
    edges: list[tuple[Hashable, str, Hashable, str]]

    @cached_property
    def _verdicts(self) -> dict[tuple[Hashable, Hashable], str]:
        found = dict(zip(zip(self.pairs["a"], self.pairs["b"], strict=True), self.pairs["verdict"], strict=True))
        return found | {(b, a): TURNED.get(verdict, verdict) for (a, b), verdict in found.items()}

    def verdict(self, a: Hashable, b: Hashable) -> str | None:
        """On a against b; None where they were not compared."""
        return self._verdicts.get((a, b))

    @property
    def winner(self) -> Hashable | None:
        """The level that is better than every other, after correction for the number of pairs; None if none is."""
        levels = list(self.levels["level"])
        for level in levels:
            if all(self.verdict(level, other) in (BETTER, HIGHER) for other in levels if other is not level):
                return level
        return None

    @property
    def separated(self) -> bool:
        """Whether any two of its levels are told apart."""
        return bool(self.pairs["verdict"].isin(list(TURNED)).any())

    @property
    def exploratory(self) -> bool:
        return bool((self.pairs["verdict"] == EXPLORATORY).all())


@dataclass(frozen=True)
class Held:
    """A contest with its figures.

    Attributes:
        chosen: the setting that each level took of what was tuned, () where nothing was.
        taken: the runs of it.
        figures: (replicates, levels), columns numbered as `contest.levels`; infinite where a run diverged, NaN where
            there is none.
    """

    contest: Contest
    chosen: dict[Hashable, tuple[Hashable, ...]]
    taken: dict[Hashable, list[str]]
    figures: pd.DataFrame


def judge(
    contests: Sequence[Contest],
    runs: Mapping[str, Described],
    values: Mapping[str, float],
    selected_on: Mapping[str, float],
    metric: Metric,
    selection: Metric,
    statuses: Mapping[str, str],
) -> list[Result]:
    """Test all pairs of one factor's contests, corrected for their number, tuned and controlled ones apart.

    Args:
        values, statuses: by run.
        selected_on: by run, the figure by which a level's best setting is chosen, which is `selection`.
    """
    held = [_hold(contest, runs, values, selected_on, selection.sign) for contest in contests]
    tables = [_pairs(one, metric, statuses) for one in held]
    for kind in {contest.kind for contest in contests}:
        which = [i for i, contest in enumerate(contests) if contest.kind == kind]
        p = np.concatenate([tables[i]["p"].to_numpy(dtype=float) for i in which])
        family = sum(len(contests[i].levels) * (len(contests[i].levels) - 1) // 2 for i in which)
        # where only the best was tested, it was chosen among all
        adjusted = holm(p) if family == len(p) else np.minimum(1, p * family)
        ends = np.cumsum([len(tables[i]) for i in which])[:-1]
        for i, part in zip(which, np.split(adjusted, ends), strict=True):
            tables[i] = _decided(tables[i], part, family, metric)
    return [_result(one, table, metric, statuses) for one, table in zip(held, tables, strict=True)]


def _hold(
    contest: Contest,
    runs: Mapping[str, Described],
    values: Mapping[str, float],
    selected_on: Mapping[str, float],
    sign: int,
) -> Held:
    chosen: dict[Hashable, tuple[Hashable, ...]] = {}
    taken, columns = {}, {}
    for i, level in enumerate(contest.levels):
        trials = contest.trials[level]
        chosen[level] = _best(trials, runs, selected_on, sign) if contest.kind == TUNED else ()
        taken[level] = trials[chosen[level]]
        columns[i] = by_seed(taken[level], runs, values)
    return Held(contest, chosen, taken, pd.DataFrame(columns))


def by_seed(names: Sequence[str], runs: Mapping[str, Described], values: Mapping[str, float]) -> pd.Series:
    """The figures of runs that differ in their seed, by seed. An attempt without a figure hides none that has one."""
    found: dict[str, float] = {}
    for name in names:
        seed = str(runs[name].replicate)
        if math.isnan(found.get(seed, math.nan)):
            found[seed] = values[name]
    return pd.Series(found, dtype=float)


def independent(differences: pd.Series) -> np.ndarray:
    """Differences by seed, as so many as are independent of each other.

    Where seeds and splits of the data were crossed, pairs that share either are not: they are averaged over the one of
    which there are more.
    """
    parts = [str(label).partition(SPLIT) for label in differences.index]
    seeds, splits = ([part[0] for part in parts], [part[2] for part in parts])
    fewer = seeds if len(set(seeds)) <= len(set(splits)) else splits
    if min(len(set(seeds)), len(set(splits))) < 2:
        return differences.to_numpy()
    return differences.groupby(fewer).mean().to_numpy()


def _best(
    trials: Mapping[tuple[Hashable, ...], list[str]],
    runs: Mapping[str, Described],
    values: Mapping[str, float],
    sign: int,
) -> tuple[Hashable, ...]:
    """The setting with the best mean over the seeds that all settings have; any that diverged is below all others."""
    columns = {i: by_seed(names, runs, values) for i, names in enumerate(trials.values())}
    figures = pd.DataFrame(columns).dropna(axis="columns", how="all")
    if figures.empty:
        return next(iter(trials))
    common = figures.dropna()
    figures = common if len(common) else figures
    badness = -sign * figures.where(np.isfinite(figures)).mean()
    order = pd.DataFrame({"diverged": np.isinf(figures).mean(), "badness": badness}).fillna(math.inf)
    return list(trials)[int(order.sort_values(["diverged", "badness"], kind="stable").index[0])]


def _pairs(held: Held, metric: Metric, statuses: Mapping[str, str]) -> pd.DataFrame:
    """All pairs of levels; of very many levels the best with each other one."""
    figures, levels = held.figures.to_numpy(dtype=float), held.contest.levels
    pairs = list(combinations(range(len(levels)), 2))
    if len(levels) > MOST_LEVELS:
        best = ranking(held.figures, metric)[0]
        pairs = [(min(best, i), max(best, i)) for i in range(len(levels)) if i != best]
    rows = []
    for i, j in pairs:
        a, b = figures[:, i], figures[:, j]
        both = ~(np.isnan(a) | np.isnan(b))
        a, b = a[both], b[both]
        with np.errstate(invalid="ignore"):
            d = independent(pd.Series(a - b, held.figures.index[both]))
        finite = bool(len(d)) and bool(np.isfinite(d).all())
        mean, low, high = interval(d) if finite else (math.nan,) * 3
        p = math.nan if len(d) < 2 else p_paired(d) if finite else p_sign(d)
        rows.append(
            {
                "factor": held.contest.factor,
                "kind": held.contest.kind,
                "context": held.contest.where,
                "a": levels[i],
                "b": levels[j],
                "metric": metric.name,
                "mean_a": a.mean() if finite else math.nan,
                "mean_b": b.mean() if finite else math.nan,
                "seeds": len(d),
                "difference": mean,
                "low": low,
                "high": high,
                "p": p,
                "note": _note(held, (i, j), (a, b), statuses),
                "deviation": np.std(d, ddof=1) if finite and len(d) > 1 else math.nan,
                "above": mean > 0 if finite else np.sum(d > 0) > np.sum(d < 0),
            }
        )
    return as_objects(pd.DataFrame(rows), rows, "a", "b")


def as_objects(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]], *columns: str) -> pd.DataFrame:
    """The frame with columns of levels as they are: pandas would make NaN of None, and a number of a text."""
    return frame.assign(**{key: pd.Series([row[key] for row in rows], frame.index, dtype=object) for key in columns})


def _note(
    held: Held, pair: tuple[int, int], figures: tuple[np.ndarray, np.ndarray], statuses: Mapping[str, str]
) -> str:
    notes = []
    for i, values in zip(pair, figures, strict=True):
        level = held.contest.levels[i]
        setting = setting_in_words(held.contest, held.chosen[level])
        if setting:
            notes.append(f"{in_words(level)} at its best, {setting}")
        diverged = sum(statuses[run] == record.DIVERGED for run in held.taken[level])
        broken = int(np.isinf(values).sum())
        if broken and broken <= diverged:
            notes.append(f"{in_words(level)} diverged with {broken} of {len(values)} seeds")
        elif broken:
            notes.append(f"{in_words(level)} diverged or had no finite figure with {broken} of {len(values)} seeds")
        elif diverged:
            notes.append(f"{in_words(level)} diverged with {diverged} more seeds, which have no part in the difference")
    if not len(figures[0]):
        notes.append("no seed in common")
    return "; ".join(notes)


def setting_in_words(contest: Contest, chosen: tuple[Hashable, ...]) -> str:
    pairs = zip(contest.nuisances, chosen, strict=False)
    return ", ".join(f"{key}={in_words(value)}" for key, value in pairs if value != "-")


def _decided(table: pd.DataFrame, adjusted: np.ndarray, family: int, metric: Metric) -> pd.DataFrame:
    verdicts, needed = [], []
    for row, p in zip(table.to_dict("records"), adjusted, strict=True):
        if row["seeds"] < 2:
            verdict = EXPLORATORY
        elif not p < 1 - LEVEL:
            verdict = TIE
        elif metric.sign == 0:
            verdict = HIGHER if row["above"] else LOWER
        else:
            verdict = BETTER if row["above"] == (metric.sign > 0) else WORSE
        verdicts.append(verdict)
        by_sign = math.isnan(row["difference"])
        tied = signs_needed(family) if by_sign else seeds_needed(row["difference"], row["deviation"], family)
        needed.append(tied if verdict == TIE else None)
    table = table.assign(p_adjusted=adjusted, verdict=verdicts)
    table["seeds_needed"] = pd.Series(needed, dtype="Int64")
    return table[PAIR_COLUMNS]


def ranking(figures: pd.DataFrame, metric: Metric) -> list[int]:
    """The columns of figures, best first: by mean, those of which a seed diverged below, those without any last."""
    sign = metric.sign or 1
    diverged = np.isinf(figures).sum() / figures.notna().sum()
    badness = -sign * figures.where(np.isfinite(figures)).mean()
    order = pd.DataFrame({"empty": figures.isna().all(), "diverged": diverged, "badness": badness}).fillna(math.inf)
    return [int(i) for i in order.sort_values(["empty", "diverged", "badness"], kind="stable").index]


def _result(held: Held, pairs: pd.DataFrame, metric: Metric, statuses: Mapping[str, str]) -> Result:
    contest, levels = held.contest, held.contest.levels
    order = ranking(held.figures, metric)
    place = {level: i for i, level in enumerate(levels)}
    apart = {(place[row.a], place[row.b]) for row in pairs.itertuples() if row.verdict not in (TIE, EXPLORATORY)}
    tested = len(pairs) == len(levels) * (len(levels) - 1) // 2 and not (pairs["verdict"] == EXPLORATORY).all()
    shown = letters(order, apart) if tested else [""] * len(levels)
    rows = []
    for i, letter in zip(order, shown, strict=True):
        level = levels[i]
        figures = held.figures[i].to_numpy(dtype=float)
        mean, low, high = interval(figures[np.isfinite(figures)])
        ended = [statuses[run] for run in held.taken[level]]
        rows.append(
            {
                "level": level,
                "setting": setting_in_words(contest, held.chosen[level]),
                "trials": len(contest.trials[level]),
                "seeds": len(figures),
                "completed": ended.count(record.COMPLETED),
                "diverged": ended.count(record.DIVERGED),
                "missing": sum(status not in record.FINISHED for status in ended),
                "mean": mean,
                "low": low,
                "high": high,
                "letters": letter,
                "runs": held.taken[level],
            }
        )
    return Result(contest, as_objects(pd.DataFrame(rows), rows, "level"), pairs, _edges(held))


def _edges(held: Held) -> list[tuple[Hashable, str, Hashable, str]]:
    found: list[tuple[Hashable, str, Hashable, str]] = []
    for level, setting in held.chosen.items():
        for k, (key, value) in enumerate(zip(held.contest.nuisances, setting, strict=False)):
            swept = {trial[k] for trial in held.contest.trials[level]}
            numbers = [v for v in swept if isinstance(v, int | float) and not isinstance(v, bool)]
            if isinstance(value, int | float) and len(numbers) > 1 and value in (min(numbers), max(numbers)):
                found.append((level, key, value, "lowest" if value == min(numbers) else "highest"))
    return found
