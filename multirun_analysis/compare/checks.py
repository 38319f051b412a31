"""What should make one doubt a comparison, in sentences."""

import hashlib
import math
from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.chosen_metric import lack_folds
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.records.described import GROUPS, Described, in_words
from multirun_analysis.records.replicates import seed_effects
from paribus import record

ADAMS, MOMENTUM = ("adam", "adamw", "nadam"), ("sgd_momentum", "nesterov")
TIMES = ("epoch_seconds", "seconds", "lr")
MOST_NAMED = 5


def cautions(comparison: Comparison) -> list[str]:
    """All of them, the most serious first."""
    found = [
        *_identical_curves(comparison),
        *_suspicious_tests(comparison),
        *_chosen_on_test(comparison),
        *_reversed(comparison),
        *_varying(comparison),
        *_tuning([result for result in comparison.results if result.contest.kind == Kind.TUNED]),
        *[text for result in comparison.results for text in _adam(result)],
        *_few_seeds(comparison),
        *_crossed_seeds(comparison),
        *_no_statistic(comparison),
        *_reused(comparison),
        *_folds(comparison),
        *_circumstances(comparison),
        *_unread(comparison),
        *_duplicates(comparison),
    ]
    return list(dict.fromkeys(found))


def _identical_curves(comparison: Comparison) -> Iterator[str]:
    """An option that changes nothing was not used, or is another one by another name."""
    runs = comparison.study.runs
    completed = runs.index[runs["status"] == record.COMPLETED]
    curves = comparison.study.curves
    curves = curves[curves["run"].isin(completed) & ~curves["metric"].isin(TIMES) & np.isfinite(curves["value"])]
    alike: dict[str, list[str]] = {}
    for name, mine in curves.groupby("run", observed=True):
        if name not in comparison.duplicates:
            whole = hashlib.sha256(mine["value"].to_numpy().tobytes() + str(list(mine["epoch"])).encode()).hexdigest()
            alike.setdefault(whole, []).append(str(name))
    by_difference: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for names in alike.values():
        for other in names[1:]:
            pair = (names[0], other)
            by_difference.setdefault(differing(*(comparison.described[name] for name in pair)), []).append(pair)
    for keys, pairs in by_difference.items():
        first, second = (_settings(comparison.described[name], keys) for name in pairs[0])
        more = f" (and {len(pairs) - 1} more such)" if len(pairs) > 1 else ""
        yield (
            f"Runs with {first} and with {second} have identical curves{more}: what differs between them had no "
            "effect. Is it used at all?"
        )


def differing(a: Described, b: Described) -> tuple[str, ...]:
    """In what two runs differ, by what was chosen and set; by every value where that is the same."""
    keys = [*GROUPS, *sorted(a.given.keys() | b.given.keys())]
    found = [key for key in keys if a.level(key) != b.level(key)]
    if a.replicate != b.replicate:
        found.append("seed")
    return tuple(found or sorted(key for key in a.flat.keys() | b.flat.keys() if a.flat.get(key) != b.flat.get(key)))


def _settings(run: Described, keys: tuple[str, ...]) -> str:
    return ", ".join(f"{key}={run.seed_in_words if key == 'seed' else in_words(run.level(key))}" for key in keys)


def _suspicious_tests(comparison: Comparison) -> Iterator[str]:
    """Losses of two different samples do not agree to five digits: those are of one and the same."""
    curves = comparison.study.curves
    same = []
    for name, summary in comparison.study.summaries.items():
        test = summary.get("test", {})
        mine = curves[(curves["run"] == name) & (curves["epoch"] == test.get("epoch"))] if test else curves[:0]
        for key, column in (("loss", "val/loss"), ("mse", "val/mse")):
            validated = mine.loc[mine["metric"] == column, "value"].tolist()
            if validated and isinstance(test.get(key), float) and math.isclose(validated[0], test[key], rel_tol=1e-5):
                same.append(name)
    if same:
        names = _named(list(dict.fromkeys(same)))
        yield (
            f"The test loss equals the validation loss of the same epoch in {names}: were they measured on the same "
            "samples?"
        )


def _chosen_on_test(comparison: Comparison) -> Iterator[str]:
    if comparison.metric.name.startswith("test_"):
        yield (
            f"{comparison.metric.name} is compared: a level chosen by it is chosen on the test set, whose value no "
            "longer says what new data will bring."
        )


def _reversed(comparison: Comparison) -> Iterator[str]:
    for one in comparison.reversals:
        shown = comparison.metric.show_estimate(one.pair.estimate, one.log)
        p = "p < 0.001" if one.pair.p_adjusted < 0.001 else f"p = {one.pair.p_adjusted:.2g}"
        ahead, behind = in_words(one.pair.b), in_words(one.pair.a)
        where = f"{one.other}={in_words(one.level)}"
        yield (
            f"{one.factor}: {ahead} beats {behind} on average, but at {where} {behind} leads. There {behind} against "
            f"{ahead}: {shown} ({p} after correction for all conditions)."
        )


def _varying(comparison: Comparison) -> Iterator[str]:
    for one in comparison.varying_effects:
        ends = ((one.most, one.at_most), (one.least, one.at_least))
        shown = [f"{comparison.metric.show_estimate(e, one.log)} at {one.other}={in_words(at)}" for at, e in ends]
        p = "p < 0.001" if one.p_adjusted < 0.001 else f"p = {one.p_adjusted:.2g}"
        yield (
            f"{one.factor}: how much {in_words(one.a)} leads {in_words(one.b)} depends on {one.other}: {shown[0]}, "
            f"{shown[1]} ({p} that the two are alike, after correction for all that were looked at)."
        )


def _tuning(results: list[Result]) -> Iterator[str]:
    """What was tuned too narrowly, or not alike; in one sentence for each factor."""
    edges: dict[tuple[str, str, str], dict[str, None]] = {}
    unequal: dict[str, list[str]] = {}
    for result in results:
        contest = result.contest
        where = f" ({contest.where})" if contest.where else ""
        for level, key, value, end in result.edges:
            edges.setdefault((contest.factor, key, end), {})[f"{in_words(level)}: {in_words(value)}{where}"] = None
        trials = {level.level: level.trials for level in result.levels}
        if len(set(trials.values())) > 1:
            counts = ", ".join(f"{in_words(level)} {number}" for level, number in trials.items())
            unequal.setdefault(contest.factor, []).append(f"{counts}{where}")
    for (factor, key, end), found in edges.items():
        yield (
            f"The best {key} is the {end} of those tried for {factor} {_named(list(found))}. Beyond it there may be a "
            "better one: widen the range before you compare."
        )
    for factor, counted in unequal.items():
        yield (
            f"The levels of {factor} had unequal numbers of trials ({_named(counted)}); the best of more trials looks "
            "better by chance alone."
        )


def _adam(result: Result) -> Iterator[str]:
    where = f" ({result.contest.where})" if result.contest.where else ""
    for adam in ADAMS:
        for momentum in MOMENTUM:
            pair = result.pair(adam, momentum)
            if result.contest.kind == Kind.TUNED and pair is not None and pair.verdict == Verdict.WORSE:
                yield (
                    f"{adam}, tuned, loses to {momentum}{where}. As Adam can imitate momentum SGD (with a large "
                    "epsilon; Choi et al. 2019, arXiv:1910.05446), its tuning is in doubt rather than the optimizer: "
                    "widen optim.lr, and try optim.eps."
                )


def _circumstances(comparison: Comparison) -> Iterator[str]:
    """What else was different when the runs were made."""
    found: dict[str, dict[str, int]] = {}
    for name, summary in comparison.study.summaries.items():
        if comparison.study.runs.at[name, "status"] not in record.FINISHED:
            continue
        versions = summary.get("versions", {})
        git = summary.get("git", {})
        facts = {f"versions of {k}": versions.get(k) for k in ("paribus", "torch", "lightning")}
        facts |= {"devices": summary.get("device"), "commits": (git.get("commit") or "")[:8] or None}
        if git.get("dirty"):
            facts["uncommitted changes"] = "yes"
        for key, value in facts.items():
            if value is not None:
                found.setdefault(key, {}).setdefault(str(value), 0)
                found[key][str(value)] += 1
    for key, values in found.items():
        if key == "uncommitted changes":
            yield f"{sum(values.values())} of the runs were made with changes of the code that were not committed."
        elif len(values) > 1:
            counts = ", ".join(f"{value} ({number} of the runs)" for value, number in values.items())
            yield f"Runs were made with different {key}: {counts}."


def _unread(comparison: Comparison) -> Iterator[str]:
    for name, why in comparison.study.unread.items():
        yield f"{name}: {why}. Its layers are missing from the figures; its other figures are there."
    for name, why in comparison.study.unread_steps.items():
        yield f"{name}: {why}. Its steps are missing from figures and from times to a target."


def _duplicates(comparison: Comparison) -> Iterator[str]:
    if comparison.duplicates:
        names = _named(list(comparison.duplicates))
        yield f"{names}: the same experiment is there under another name as well; it is in the table, and counts once."


def _crossed_seeds(comparison: Comparison) -> Iterator[str]:
    """Replicates that share seeds in more ways than the intervals know of."""
    effects = seed_effects(comparison.described.values())
    if len(effects) > 2 and comparison.factors:
        named = "; ".join(", ".join(effect) for effect in effects)
        yield (
            f"{len(effects)} sources of randomness have seeds that vary independently ({named}). Intervals of "
            "differences know two random effects, and are too narrow here: such runs are for the noise budget."
        )


def _few_seeds(comparison: Comparison) -> Iterator[str]:
    """Trials with too few seeds to be chosen, by factor."""
    for result in comparison.results:
        nuisances = result.contest.nuisances
        found: dict[str, None] = {}
        for level in result.contest.levels:
            for entry in result.contest.of_level(level):
                for trial in entry.excluded:
                    values = ", ".join(f"{k}={in_words(v)}" for k, v in zip(nuisances, trial, strict=True))
                    found[f"{in_words(level)} at {values}"] = None
        if found:
            yield (
                f"{result.factor}: {_named(list(found))} tried with fewer than two thirds of the seeds of other "
                "trials, and so not a candidate for the best."
            )


def _no_statistic(comparison: Comparison) -> Iterator[str]:
    """Completed runs whose statistic is not finite: they count as diverged."""
    runs, values = comparison.study.runs, comparison.values
    broken = runs.index[(runs["status"] == record.COMPLETED) & np.isinf(values)]
    if len(broken):
        yield (
            f"{_named(list(map(str, broken)))}: completed, but {comparison.metric.name} is not finite. Counted as "
            "diverged."
        )


def _reused(comparison: Comparison) -> Iterator[str]:
    if comparison.reused:
        yield (
            f"{_named(comparison.reused)}: marked as a confirmation, on seeds that the search has used. They confirm "
            "nothing, and count as search. Use other seeds."
        )


def _folds(comparison: Comparison) -> Iterator[str]:
    """Runs without validation metrics by fold, beside others that have them."""
    runs = comparison.study.runs
    completed = runs[runs["status"] == record.COMPLETED]
    without = completed.index[completed["folds"].notna()]
    if 0 < len(without) < len(completed):
        why = ", ".join(sorted(set(map(str, completed.loc[without, "folds"]))))
        yield (
            f"{len(without)} of {len(completed)} runs have no usable {record.FOLDS} ({why}): settled values are "
            "compared by default, not selected ones."
        )
    metric = comparison.metric
    lacking = lack_folds(comparison.study, metric.column) if metric.statistic == "settled" and metric.column else 0
    if lacking and not len(without) and metric.validated:
        yield (
            f"{record.FOLDS} of {lacking} of {len(completed)} runs does not hold {metric.column}: its settled value "
            "is compared, not the selected one."
        )
    damaged = completed["folds"].dropna()
    for name, why in damaged[damaged != "none recorded"].items():
        yield f"{name}: {why}."


def _named(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
