"""Compare the runs of a study before and after a change of the code: which changed, by how much, and is it noise?

Runs are paired by their identity, which says what was tried and not by which version. Pairs whose curves are equal to
the last digit are exactly unchanged: nothing is tested there. The others are compared by the rules for a factor with
the levels before and after, over the settings that changed, the seed being the unit; and setting by setting. All of it
is one family, so that a change that does nothing but disturb rounding is said to have an effect in at most 5 % of
studies (docs/verdict.md).
"""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multirun_analysis.compare.chosen_metric import default_metric, find_metric, selecting_metric, with_statistic
from multirun_analysis.compare.comparison import tasks
from multirun_analysis.compare.contests import BLOCKS
from multirun_analysis.compare.design import Cell, Contest, Entry, Kind, Levels, Outcome, Replicate
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.measured_outcomes import find_resolution, measure_outcomes
from multirun_analysis.compare.metric import Metric, parse_margin
from multirun_analysis.compare.results import Result
from multirun_analysis.records.described import CONTENT, Described, factors_of, one_architecture, with_unexplained
from multirun_analysis.records.load import Study
from multirun_analysis.records.replicates import with_replicates
from paribus import record
from paribus.errors import UserError

FACTOR, BEFORE, AFTER = "code", "before", "after"
TIMES = ("seconds", "epoch_seconds")  # metrics that differ anyway
FACTS = ("device", "processes", "threads", "stacked")  # of a summary, beside versions and code


@dataclass(frozen=True)
class RunPair:
    """A run before and after.

    Attributes:
        before, after: their names.
        levels: its setting, in the order of the factors.
        seed: in words.
        first_epoch: the first epoch in which their curves differ; None where they are equal to the last digit.
        statuses: before and after.
        values: the compared statistic before and after; infinitely bad where the run diverged, NaN where there is none.
    """

    before: str
    after: str
    levels: Levels
    seed: str
    first_epoch: int | None
    statuses: tuple[str, str]
    values: tuple[float, float]

    @property
    def changed(self) -> bool:
        return self.first_epoch is not None or self.statuses[0] != self.statuses[1]

    def difference(self, log: bool) -> float:
        """Compute the value after less that before, or the logarithm of their ratio; NaN where one is not finite."""
        before, after = (_scaled(value, log) for value in self.values)
        return after - before


@dataclass(frozen=True)
class Revision:
    """The comparison of the runs of a task before and after a change.

    Attributes:
        pairs: the runs that are in both.
        only_before, only_after: the runs that have no partner.
        other_data: how many runs have a partner on other data, with which nothing can be compared.
        facts: what differs in versions, code and columns of metrics.csv: key, values before, values after.
        whole: the effect over the settings that changed, one result a block.
        settings: the effect in each setting that changed: its levels by factor, and the result. Empty where it is the
            only one of its block, which `whole` has.
        factors: the names of a setting's levels.
        noise: root mean squares of the difference within a pair, and of that between two seeds of a setting before;
            of logarithms where `whole` is compared as a ratio. NaN where there is none.
    """

    metric: Metric
    margin: float | None
    pairs: list[RunPair]
    only_before: list[str]
    only_after: list[str]
    other_data: int
    facts: dict[str, tuple[list[str], list[str]]]
    whole: list[Result]
    settings: list[tuple[dict[str, Hashable], Result]]
    factors: list[str]
    noise: tuple[float, float]

    @property
    def changed(self) -> list[RunPair]:
        return [pair for pair in self.pairs if pair.changed]

    @property
    def log(self) -> bool:
        """Whether the statistic is compared as a ratio."""
        return any(result.log for result in self.whole)


Cells = Mapping[Levels, Mapping[str, Mapping[Replicate, Outcome]]]  # by setting, by BEFORE and AFTER


def compare_revisions(
    study: Study,
    before: Collection[str],
    metric: str | None = None,
    margin: str | None = None,
    direction: str | None = None,
) -> Revision:
    """Compare runs of one task before and after a change of the code.

    Args:
        study: all runs.
        before: the names of those before.
        metric, margin, direction: as of `compare`.

    Raises UserError where no run is in both.
    """
    described = with_replicates(with_unexplained(one_architecture(study.described)))
    factors = factors_of(described.values())
    [task] = tasks(study)
    measured = find_metric(study, metric, direction) if metric else default_metric(study, task, factors)
    selection = selecting_metric(study, task, factors, measured)
    study = with_statistic(with_statistic(study, measured), selection)
    allowed = None if margin is None else parse_margin(margin, measured)
    sides = [_by_identity(study, described, [name for name in described if (name in before) == side])
             for side in (True, False)]  # fmt: skip
    shared = [identity for identity in sides[0] if identity in sides[1]]
    if not shared:
        raise UserError(
            "No run before the change is there after it too: no two runs have the same settings and seed. Give two "
            "directories of one study, made by the same command."
        )
    content = [(described[sides[0][one]].level(CONTENT), described[sides[1][one]].level(CONTENT)) for one in shared]
    alike = [one for one, (first, second) in zip(shared, content, strict=True) if first == second]
    epochs, columns = _first_differences(study, {sides[0][one]: sides[1][one] for one in alike})
    status = study.runs["status"].astype(str)
    outcomes = measure_outcomes(study, described, measured, selection)
    pairs = [
        RunPair(
            old, new, tuple(described[old].level(factor) for factor in factors), str(study.runs["seed"][new]),
            epochs.get(old), (status[old], status[new]), (outcomes[old].value, outcomes[new].value),
        )
        for old, new in ((sides[0][one], sides[1][one]) for one in alike)
    ]  # fmt: skip
    tested: dict[Levels, dict[str, dict[Replicate, Outcome]]] = {}
    for levels, members in group_changed(pairs).items():
        for pair in members:
            for side, name in ((BEFORE, pair.before), (AFTER, pair.after)):
                tested.setdefault(levels, {}).setdefault(side, {})[outcomes[name].replicate] = outcomes[name]
    resolution = find_resolution(study, measured, outcomes)
    whole, by_setting = judge_revision(tested, factors, measured.sign, measured.is_loss, allowed, resolution)
    return Revision(
        measured, allowed, pairs,
        [name for one, name in sides[0].items() if one not in sides[1]],
        [name for one, name in sides[1].items() if one not in sides[0]],
        len(shared) - len(alike), _find_facts(study, pairs) | columns, whole,
        [(dict(zip(factors, levels, strict=True)), result) for levels, result in by_setting], factors,
        _measure_noise(pairs, any(result.log for result in whole)),
    )  # fmt: skip


def group_changed(pairs: Sequence[RunPair]) -> dict[Levels, list[RunPair]]:
    """Group by setting the runs of the settings in which any has changed."""
    found: dict[Levels, list[RunPair]] = {}
    for pair in pairs:
        found.setdefault(pair.levels, []).append(pair)
    return {levels: members for levels, members in found.items() if any(pair.changed for pair in members)}


def measure_seeds(pairs: Sequence[RunPair], log: bool) -> float:
    """Compute the root mean square of the difference between two seeds of one setting before the change.

    Of logarithms with `log`; NaN with fewer than two finite statistics.
    """
    values = [value for pair in pairs if math.isfinite(value := _scaled(pair.values[0], log))]
    return math.sqrt(2 * np.var(values, ddof=1)) if len(values) > 1 else math.nan


def _scaled(value: float, log: bool) -> float:
    """Return a statistic, or its logarithm; NaN where it is not finite or has none."""
    if not math.isfinite(value) or (log and value <= 0):
        return math.nan
    return math.log(value) if log else value


def judge_revision(
    cells: Cells, factors: Sequence[str], sign: int, loss: bool, margin: float | None, resolution: float
) -> tuple[list[Result], list[tuple[Levels, Result]]]:
    """Judge the effect of a change over all settings, one result a block, and in each setting: one family.

    With one setting the two are one, which stands under the whole.
    """
    blocks: dict[Levels, list[Levels]] = {}
    places = [i for i, factor in enumerate(factors) if factor in BLOCKS]
    for levels in cells:
        blocks.setdefault(tuple(levels[i] for i in places), []).append(levels)
    contests = []
    for values, members in blocks.items():
        block = {factors[i]: value for i, value in zip(places, values, strict=True)} if len(blocks) > 1 else {}
        contests.append(_contest(cells, members, block, factors))
    single = list(cells) if len(cells) > len(blocks) else []
    contests += [_contest(cells, [levels], {}, factors) for levels in single]
    results = decide([analyse(contest, sign, loss) for contest in contests], sign, margin, resolution)
    return results[: len(blocks)], list(zip(single, results[len(blocks) :], strict=True))


def _contest(cells: Cells, members: Sequence[Levels], block: dict[str, Hashable], factors: Sequence[str]) -> Contest:
    entries: dict[Levels, dict[Hashable, Entry]] = {}
    for levels in members:
        entries[levels] = {}
        for side, outcomes in cells[levels].items():
            cell = Cell(dict(outcomes))
            entries[levels][side] = Entry({(): cell}, () if cell.usable else None)
    return Contest(FACTOR, Kind.CONTROLLED, block, entries, (), tuple(factors))


def _by_identity(study: Study, described: Mapping[str, Described], names: Sequence[str]) -> dict[Hashable, str]:
    """Name the run of each identity; of several the one that has finished."""
    finished = study.runs["status"].isin(record.FINISHED)
    found: dict[Hashable, str] = {}
    for name in sorted(names, key=lambda name: not finished[name]):
        if described[name].identity is not None:
            found.setdefault(described[name].identity, name)
    return found


def _first_differences(
    study: Study, partners: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, tuple[list[str], list[str]]]]:
    """Find the first epoch in which curves differ from the partner's, by the run before; equal ones have none.

    A metric that is recorded on one side only is a fact of that side, and no change of a run.
    """
    curves = study.curves[~study.curves["metric"].isin(TIMES)]
    curves = curves.assign(run=curves["run"].astype(str), metric=curves["metric"].astype(str))
    keys = ["run", "epoch", "metric"]
    old = curves[curves["run"].isin(partners)]
    new = curves[curves["run"].isin(partners.values())]
    new = new.assign(run=new["run"].map({after: before for before, after in partners.items()}))
    names = [{*side["metric"]} for side in (old, new)]
    both = old.merge(new, on=keys, how="outer", suffixes=("_old", "_new"), indicator=True)
    both = both[both["metric"].isin(names[0] & names[1])]
    same = (both["value_old"] == both["value_new"]) | (both["value_old"].isna() & both["value_new"].isna())
    differing = both[~same | (both["_merge"] != "both")]
    single = [sorted(names[i] - names[1 - i]) or ["none"] for i in range(2)]
    facts = {} if names[0] == names[1] else {"columns of one side": (single[0], single[1])}
    return {str(run): int(epoch) for run, epoch in differing.groupby("run")["epoch"].min().items()}, facts


def _find_facts(study: Study, pairs: Sequence[RunPair]) -> dict[str, tuple[list[str], list[str]]]:
    """Collect what differs in versions, code and execution between all runs before and all after."""
    sides = [[_facts_of(study.summaries[getattr(pair, side)]) for pair in pairs] for side in (BEFORE, AFTER)]
    keys = dict.fromkeys(key for facts in (*sides[0], *sides[1]) for key in facts)
    found = {}
    for key in keys:
        before, after = (sorted({facts.get(key, "none") for facts in side}) for side in sides)
        if before != after:
            found[key] = before, after
    return found


def _facts_of(summary: Mapping[str, Any]) -> dict[str, str]:
    git = summary.get("git", {})
    code = {"commit": git.get("commit"), "changes not committed": git.get("patch") or (git.get("dirty") or None)}
    versions = {f"version of {name}": number for name, number in summary.get("versions", {}).items()}
    facts = {**code, **versions, **{key: summary.get(key) for key in FACTS}}
    return {key: str(value)[:12] for key, value in facts.items() if value is not None}


def _measure_noise(pairs: Sequence[RunPair], log: bool) -> tuple[float, float]:
    """Compute root mean squares over the settings that changed: of the pairs' differences, and of `measure_seeds`."""
    settings = group_changed(pairs).values()
    within = np.array([pair.difference(log) for members in settings for pair in members])
    between = np.array([measure_seeds(members, log) for members in settings])
    kept = [values[~np.isnan(values)] for values in (within, between)]
    return tuple(float(np.sqrt(np.mean(some**2))) if some.size else math.nan for some in kept)  # type: ignore[return-value]
