"""Judge a look at a study whose seeds are added until it is decided."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from multirun_analysis.compare.comparison import compare, tasks
from multirun_analysis.compare.looks import find_open, find_runs_that_go_on
from multirun_analysis.compare.metric import Metric, parse_margin
from multirun_analysis.records.described import in_words
from multirun_analysis.records.load import CLASSIFYING, load_runs
from paribus.record import Judgement, UntilPlan, parse_metric


def judge_look(directory: Path, plan: UntilPlan) -> Judgement:
    """Judge the study in a directory at the last look of `plan`, as its verdict will."""
    study = replace(load_runs(directory), plan=plan)
    metrics, undecided, going_on = [], [], set()
    for task in tasks(study):
        comparison = compare(study, task)
        open_ = find_open(comparison.results)
        metrics.append(comparison.metric.name)
        for item in open_:
            where = f" ({item.result.contest.where})" if item.result.contest.block else ""
            undecided += [f"{in_words(pair.a)} and {in_words(pair.b)}{where}" for pair in item.pairs]
        going_on |= {Path(str(comparison.study.runs.loc[run, "directory"])) for run in find_runs_that_go_on(open_)}
    return Judgement(", ".join(metrics), undecided, going_on)


def check_margin(margin: str, config: Mapping[str, Any]) -> None:
    """Raise UserError for a margin that is none, or not in the unit of the metric by which these runs are compared.

    Args:
        config: the plain configuration of a run. Its metric is its own, else accuracy where its loss is a classifier's.
    """
    named = parse_metric(config["metric"]).column if config.get("metric") is not None else None
    loss = (config.get("loss") or {}).get("_target_")
    column = named or ("val/acc" if loss in CLASSIFYING else "val/loss")
    parse_margin(margin, Metric(f"settled_{column.replace('/', '_', 1)}", column))
