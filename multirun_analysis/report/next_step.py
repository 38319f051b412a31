"""Recommend the next step: one sentence, and a command that can be pasted."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import pandas

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.confirmation import MOST_SETTINGS
from multirun_analysis.compare.design import Kind, numbers
from multirun_analysis.compare.plateau import improving
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.compare.settings import Setting
from multirun_analysis.records.described import ABSENT, is_number
from multirun_analysis.report import commands
from paribus import record

MOST_CONFIRMED = 3
FEWEST_SEEDS = 3
ENOUGH_SEEDS = 10  # of a study: with as many, more of them would show little
SEEDS = "seed=1,2,3,4,5"
TUNE = "tune=lr"
MOST_FACTOR = 10.0  # by which a range is widened at once
BELOW_ONE = ("momentum", "dropout", "alpha", "gamma")  # values that stay below 1
TESTED = ("test_acc", "test_mse")  # of runs whose test set was read
READ_TEST = "read the test set, once, of what you choose"


@dataclass(frozen=True)
class Step:
    """A recommendation, with its command."""

    sentence: str
    command: str | None = None


def next_step(comparison: Comparison) -> Step:
    """Choose the step that does most for what may be concluded."""
    status = comparison.study.runs["status"]
    missing = status[~status.isin((*record.FINISHED, record.PAUSED))]
    if comparison.confirmed:  # the search is over, whichever of its runs failed
        confirms = pandas.Series({name: run.confirms for name, run in comparison.described.items()}, dtype=bool)
        missing = missing[(missing != record.FAILED) | confirms.reindex(missing.index, fill_value=False)]
    planned = comparison.study.planned
    unrecorded = planned is not None and planned.unrecorded > 0
    if len(missing) or unrecorded:
        if (missing == record.RUNNING).all() and (len(missing) or (planned is not None and planned.busy)):
            return Step("wait for the runs that are being made")
        again = commands.again(comparison, list(missing.index)) if len(missing) or planned is None else planned.command
        damaged = missing.index[missing == record.DAMAGED]
        paths = [shlex.quote(str(path)) for path in comparison.study.runs.loc[damaged, "directory"]]
        removal = f"remove damaged runs (paribus rm {paths[0] if len(paths) == 1 else 'RUN'}), and " if paths else ""
        which = "the study's command" if again is not None else "the command that began these runs"
        return Step(f"{removal or 'finish what is missing: '}start {which} again", again)
    plan = comparison.study.plan
    if plan is not None and not plan.ended:
        return Step("go on until it is decided: start the study's command again", commands.again(comparison))
    chosen = comparison.best_by_block
    if not chosen:
        broken = any(setting.diverged for setting in comparison.tried)
        return _lower(comparison) if broken else _other_statistic(comparison)
    if not comparison.factors:
        return Step("vary one thing, with several seeds", commands.vary(comparison, SEEDS))
    if comparison.confirmed or comparison.looks is not None:
        return _test(comparison)
    replicates = max(len({comparison.described[run].replicate for run in s.runs}) for s in comparison.tried)
    if replicates < FEWEST_SEEDS and comparison.results:
        swept = commands.sweep(comparison)
        why = f"{replicates} say{'s' * (replicates == 1)} little of noise"
        return Step(f"more seeds{swept.note}: {why}", commands.multirun(comparison, *swept.words, SEEDS))
    found = _wider(comparison) or _tune(comparison) or _confirm(comparison) or _longer(comparison)
    return found or (_decide(comparison) if replicates < ENOUGH_SEEDS else None) or _test(comparison)


def _test(comparison: Comparison) -> Step:
    """Read the test set, if that has not been done."""
    runs, chosen = comparison.study.runs, comparison.best_by_block
    names = [name for setting in chosen for name in setting.runs]
    if any(name in runs and runs.loc[names, name].notna().any() for name in TESTED):
        how = "more seeds (until.max_seeds)" if comparison.looks is not None else "until=decided"
        rest = f"; what is undecided needs a new study, with {how}" if _is_undecided(comparison) else ""
        return Step(f"nothing: the test set has been read{rest}")
    return Step(READ_TEST, commands.evaluate(comparison, chosen))


def _is_undecided(comparison: Comparison) -> bool:
    """Return whether a best level is undecided against another one."""
    return any(
        pair.verdict == Verdict.UNDECIDED and result.best is not None and result.best.level in (pair.a, pair.b)
        for result in comparison.results
        for pair in result.pairs
    )


def _decide(comparison: Comparison) -> Step | None:
    """Propose a new study that adds seeds in looks. More seeds of this one, since it is undecided, would flatter."""
    swept, name = commands.sweep(comparison), commands.study_name(comparison)
    if not _is_undecided(comparison) or any(word.startswith("hydra.sweeper.grids=") for word in swept.words):
        return None
    fresh = f"seed={commands.find_fresh_seed(comparison)}"
    command = commands.multirun(comparison, *swept.words, "until=decided", fresh, study=f"{name or 'study'}_until")
    return Step("decide what is undecided, in a new study that adds fresh seeds until it is", command)


def _other_statistic(comparison: Comparison) -> Step:
    """Name a statistic that the runs have, where they have not the compared one: final fits are not validated."""
    runs, metric = comparison.study.runs, comparison.metric
    tested = next((name for name in TESTED if name in runs and runs[name].notna().any()), None)
    if metric.name in TESTED or tested is None:
        return Step(f"compare another statistic (--metric): no run has a {metric.short}")
    return Step(f"compare what was tested: --metric {tested}")


def _lower(comparison: Comparison) -> Step:
    rates = [rate for run in comparison.described.values() if is_number(rate := run.level("optim.lr"))]
    if not rates:
        return Step("lower the learning rate: no setting is usable")
    lower = float(f"{min(map(float, rates)) / 10:.2g}")  # type: ignore[arg-type]
    swept, name = commands.sweep(comparison, without="optim.lr"), commands.study_name(comparison)
    study = None if comparison.looks is None else f"{name or 'study'}_lower"  # its plan is fixed
    words = (*swept.words, f"optim.lr={commands.value(lower)}", *commands.seeds(comparison))
    again = commands.multirun(comparison, *words, study=study)
    return Step(f"lower the learning rate{swept.note}: no setting is usable", again)


def _tune(comparison: Comparison) -> Step | None:
    defaults = [r for r in comparison.results if r.contest.kind == Kind.DEFAULTS and r.factor == "optim"]
    if not defaults or "optim.lr" in comparison.factors:
        return None
    swept = commands.sweep(comparison, each="optim")
    command = commands.multirun(comparison, *swept.words, TUNE, *commands.seeds(comparison))
    return Step("tune the learning rate of each optimizer, on equal budgets", command)


def _confirm(comparison: Comparison) -> Step | None:
    if not _tuned(comparison):
        return None
    if comparison.blocks:
        best = comparison.best_by_block
        return Step("confirm the best on each data set, on 10 fresh seeds", commands.confirm(comparison, best))
    levels = _best_of_each_level(comparison)
    if 2 <= len(levels) <= MOST_SETTINGS:
        return Step("confirm each level at its best on 10 fresh seeds", commands.confirm(comparison, levels))
    top = [s for s in comparison.tried if s.usable and not s.confirms][:MOST_CONFIRMED]
    return Step(f"confirm the top {len(top)} on 10 fresh seeds", commands.confirm(comparison, top))


def _best_of_each_level(comparison: Comparison) -> list[Setting]:
    """Return the best setting and, for each tuned factor, the other levels beside it, each at its best values."""
    best = comparison.best
    names = set[str]()
    for result in comparison.results:
        for by_level in result.contest.entries.values() if result.contest.kind == Kind.TUNED else ():
            chosen = [entry.trials[entry.chosen].runs for entry in by_level.values() if entry.chosen is not None]
            if best is not None and any(set(best.runs) & set(runs) for runs in chosen):
                names.update(name for runs in chosen for name in runs)
    return [s for s in comparison.tried if s.usable and not s.confirms and names & set(s.runs)]


def _longer(comparison: Comparison) -> Step | None:
    epochs = comparison.study.runs.get("epochs")
    rises = comparison.results and improving(comparison) > 0.5 and "trainer.max_epochs" not in comparison.factors
    if not rises or epochs is None or epochs.isna().all():
        return None
    swept, name = commands.sweep(comparison), commands.study_name(comparison)
    more = f"trainer.max_epochs={2 * int(epochs.max())}"
    longer = commands.multirun(
        comparison, *swept.words, more, *commands.seeds(comparison), study=f"{name or 'study'}_longer"
    )
    return Step(f"train longer{swept.note}: most runs still improve at the end of the budget", longer)


def _tuned(comparison: Comparison) -> bool:
    return any(r.contest.kind == Kind.TUNED for r in comparison.results)


def _wider(comparison: Comparison) -> Step | None:
    """Widen the factor whose best value lies at an end, by a step beyond it."""
    added: dict[str, set[float]] = {}
    for result in comparison.results:
        for key, known, end in _ends(comparison, result):
            value = beyond(known, end, key)
            if value is not None and not (end == "highest" and _diverges_at(comparison, key, known[-1])):
                added.setdefault(key, set()).add(value)
    if not added:
        return None
    key, values = next(iter(added.items()))
    swept = commands.sweep(comparison, without=key)
    shown = [f"{value:g}" for value in sorted(values)]
    then = "; then confirm on fresh seeds" if _tuned(comparison) else ""
    command = commands.multirun(comparison, *swept.words, f"{key}={','.join(shown)}", *commands.seeds(comparison))
    name = key.rpartition(".")[2].replace("_", " ")
    to = " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
    return Step(f"widen {name} to {to}{swept.note}{then}", command)


def _ends(comparison: Comparison, result: Result) -> list[tuple[str, list[float], str]]:
    """The factors whose best value lies at an end: key, the values that were tried, sorted, which end."""
    found = []
    tuned = {key for r in comparison.results for key in r.contest.nuisances}
    for level, key, _, end in result.edges:
        k = result.contest.nuisances.index(key)
        tried = {trial[k] for entry in result.contest.of_level(level) for trial in entry.trials} - {ABSENT}
        found.append((key, tried, end))
    trend = result.trend
    if trend is not None and trend.shown and trend.at_edge and result.factor not in tuned:
        found.append((result.factor, {level.level for level in result.usable}, trend.at_edge))
    known = [(key, sorted(numbers(list(tried)) or []), end) for key, tried, end in found if key in comparison.factors]
    return [(key, values, end) for key, values, end in known if values]


def beyond(known: Sequence[float], end: str, key: str) -> float | None:
    """Choose the value a step beyond those known, sorted; None where there is none.

    A step is the ratio of the last two values. What stays below 1 approaches it by its distance: 0.7, 0.9, 0.97.
    """
    if len(known) < 2 or known[0] <= 0:
        return None
    low, high = (known[1], known[0]) if end == "lowest" else (known[-2], known[-1])
    if end == "highest" and key.rpartition(".")[2] in BELOW_ONE and known[-1] <= 1:
        return None if high == 1 else float(f"{1 - (1 - high) ** 2 / (1 - low):.2g}")
    step = min(max(high / low, 1 / MOST_FACTOR), MOST_FACTOR)
    if all(math.isclose(value, round(value)) for value in known):  # batch sizes, widths
        value = float(max(1, round(high * step)))
        return None if value in known else value
    return float(f"{high * step:.2g}")


def _diverges_at(comparison: Comparison, key: str, value: float) -> bool:
    """Whether every setting with this value is unusable already."""
    mine = [s for s in comparison.tried if s.levels[key] == value]
    return bool(mine) and all(not s.usable for s in mine)
