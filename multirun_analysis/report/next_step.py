"""What to do next: one sentence, and a command that can be pasted."""

from dataclasses import dataclass

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.plateau import improving
from multirun_analysis.records.described import GROUPS, is_number
from multirun_analysis.report import commands
from paribus import record

MOST_CONFIRMED = 3
FEWEST_SEEDS = 3
RATES = "0.0003,0.001,0.003,0.01,0.03,0.1"
EXAMPLE = "python train.py --multirun activation=relu,tanh seed=1,2,3,4,5"


@dataclass(frozen=True)
class Step:
    """What to do, and with which command."""

    sentence: str
    command: str | None = None


def next_step(comparison: Comparison) -> Step:
    """Choose the step that does most for what may be concluded."""
    runs = comparison.study.runs
    if not runs["status"].isin(record.FINISHED).all():
        return Step("finish what is missing: start the study's command again", commands.again(comparison))
    if not comparison.factors:
        return Step("vary one thing, with several seeds", EXAMPLE)
    replicates = max((len({run.replicate for run in map(comparison.described.get, s.runs) if run})
                      for s in comparison.tried), default=0)  # fmt: skip
    if replicates < FEWEST_SEEDS and comparison.results:
        swept = commands.sweep(comparison)
        return Step(
            f"more seeds: {replicates} say{'s' * (replicates == 1)} little of noise",
            commands.multirun(comparison, *swept, "seed=1,2,3,4,5"),
        )
    chosen = comparison.best_by_block
    if comparison.confirmed and chosen:
        return Step("read the test set, once, of what you choose", commands.evaluate(comparison, chosen))
    edges = [(key, end) for r in comparison.results if r.factor in GROUPS for _, key, _, end in r.edges]
    edges += [
        (r.factor, r.trend.at_edge)
        for r in comparison.results
        if r.trend is not None and r.trend.shown and r.trend.at_edge and not _is_tuned(comparison, r.factor)
    ]
    wider = _wider(comparison, edges)
    confirmed = f"; then confirm the top {MOST_CONFIRMED} on fresh seeds" if _tuned(comparison) else ""
    if wider is not None:
        return Step(f"widen {wider[0]}{confirmed}", wider[1])
    defaults = [r for r in comparison.results if r.contest.kind == Kind.DEFAULTS and r.factor == "optim"]
    if defaults and "optim.lr" not in comparison.factors:
        swept = commands.sweep(comparison)
        return Step(
            "tune the learning rate of each optimizer, on equal budgets",
            commands.multirun(
                comparison, *swept, "optim.lr=0.0003,0.001,0.003,0.01,0.03,0.1", commands.seeds(comparison)
            ),
        )
    if _tuned(comparison):
        top = [s for s in comparison.tried if s.usable and not s.confirms]
        if comparison.blocks:
            of_blocks = "the best of each data set"
            return Step(f"confirm {of_blocks} on 10 fresh seeds", commands.confirm(comparison, chosen))
        top = top[:MOST_CONFIRMED]
        return Step(f"confirm the top {len(top)} on 10 fresh seeds", commands.confirm(comparison, top))
    if comparison.results and improving(comparison) > 0.5 and "trainer.max_epochs" not in comparison.factors:
        epochs = runs.get("epochs")
        if epochs is not None and epochs.notna().any():
            more = f"trainer.max_epochs={2 * int(epochs.max())}"
            swept, name = commands.sweep(comparison), commands.study_name(comparison)
            longer = commands.multirun(
                comparison, *swept, more, commands.seeds(comparison), study=f"{name or 'study'}_longer"
            )
            return Step("train longer: most runs still improve at the end of the budget", longer)
    if chosen:
        return Step("read the test set, once, of what you choose", commands.evaluate(comparison, chosen))
    return Step("lower the learning rate: no setting is usable")


def _is_tuned(comparison: Comparison, factor: str) -> bool:
    return any(factor in r.contest.nuisances for r in comparison.results)


def _tuned(comparison: Comparison) -> bool:
    return any(r.contest.kind == Kind.TUNED for r in comparison.results)


def _wider(comparison: Comparison, edges: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The factor whose best value lies at an end, and the command that widens it by a step on that side."""
    by_key: dict[str, set[str]] = {}
    for key, end in edges:
        by_key.setdefault(key, set()).add(end)
    for key, ends in by_key.items():
        if key not in comparison.factors:
            continue
        known = sorted(float(level) for level in set(comparison.settings[key]) if is_number(level))
        if len(known) < 2 or known[0] <= 0:
            continue
        added = []
        if "lowest" in ends:
            added.append(float(f"{known[0] ** 2 / known[1]:.2g}"))
        if "highest" in ends:
            top = known[-1] ** 2 / known[-2]
            if not _diverges_above(comparison, key, known[-1]):
                added.append(float(f"{top:.2g}"))
        others = commands.sweep(comparison, without=key)
        if added:
            values = f"{key}={','.join(f'{v:g}' for v in added)}"
            name = key.rpartition(".")[2]
            return f"{name} to {' and '.join(f'{v:g}' for v in added)}", commands.multirun(
                comparison, *others, values, commands.seeds(comparison)
            )
    return None


def _diverges_above(comparison: Comparison, key: str, highest: float) -> bool:
    """Whether every setting with the highest value is unusable already."""
    mine = [s for s in comparison.tried if s.levels[key] == highest]
    return bool(mine) and all(not s.usable for s in mine)
