"""Choose the statistic by which runs are compared: by default, or as asked for."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from multirun_analysis.compare.metric import STATISTICS, Metric
from multirun_analysis.records.direction import direction_of, named_metric
from multirun_analysis.records.load import Study, list_measured
from multirun_analysis.records.run_statistics import compute_column_statistics, name_statistic
from paribus import record
from paribus.errors import UserError, unknown_name
from paribus.record.metric import to_column

TIMES = ("seconds", "epoch_seconds", "lr")  # columns of curves that are no metric


def default_metric(study: Study, task: str, factors: Sequence[str]) -> Metric:
    """Choose the statistic that runs are compared by: `selected` where all of them have folds, else `settled`.

    Of the metric that the runs name as their own, else of validation accuracy or loss (MSE where the loss itself
    differs). Raises UserError where runs name different ones.
    """
    named = _named(study)
    if len(named) > 1:
        names = ", ".join(sorted(f"{metric.column} ({metric.direction} is better)" for metric in named))
        raise UserError(f"These runs name different metrics as their own: {names}. Choose one: --metric NAME.")
    if named:
        return _statistic_of(study, named[0].column, named[0].direction)
    return _statistic_of(study, _column_of(task, factors))


def selecting_metric(study: Study, task: str, factors: Sequence[str], measured: Metric) -> Metric:
    """Choose by what tuned values are chosen: the statistic that is compared if it is validated, else the default one.

    Of runs without any validation it is the compared statistic as well.
    """
    if measured.sign and measured.validated:
        return measured
    named = _named(study)
    if len(named) == 1:
        return _statistic_of(study, named[0].column, named[0].direction)
    column = _column_of(task, factors)
    unvalidated = not any(str(name).startswith("val/") for name in study.curves["metric"].unique())
    return measured if unvalidated and measured.sign and measured.column else _statistic_of(study, column)


def _column_of(task: str, factors: Sequence[str]) -> str:
    """The column of a task's runs: not the loss where runs have different ones."""
    losses = any(factor == "model.loss" or factor.partition(".")[0] == "loss" for factor in factors)
    return "val/acc" if task == "classification" else "val/mse" if losses else "val/loss"


def find_metric(study: Study, text: str, direction: str | None = None) -> Metric:
    """Find what --metric names: a statistic of the runs (settled_val_f1), or a column of their metrics.csv (val/f1).

    Args:
        direction: higher or lower, where it was given: which is better.

    Raises UserError where no run has it, or nobody knows which of its ends is better.
    """
    columns = [str(column) for column in study.curves["metric"].unique() if column not in TIMES]
    statistics = {f"{statistic}_{name_statistic(column)}": column for column in columns for statistic in STATISTICS}
    known = {metric.column: metric.direction for metric in _named(study)}
    column = next((name for name in (text, to_column(text)) if name in columns), None)
    if column is not None:
        metric = _statistic_of(study, column, direction or known.get(column))
    elif text in statistics and (text in study.runs or not text.startswith("selected_")):
        metric = Metric(text, statistics[text], direction or known.get(statistics[text]))
    else:
        _require(study, text, columns)
        return Metric(text, direction=direction)
    if not metric.sign:
        raise UserError(
            f"--metric {text}: its name does not say whether more or less of it is better. Add --direction higher or "
            "--direction lower."
        )
    return metric


def with_statistic(study: Study, metric: Metric) -> Study:
    """Add the statistic of a metric to the runs, where they have it not yet, or by the other end of its values."""
    if metric.column is None or metric.statistic not in ("settled", "best"):
        return study
    other_end = metric.statistic == "best" and metric.direction not in (None, direction_of(metric.column))
    if metric.name in study.runs and not other_end:
        return study
    direction = {1: "higher", -1: "lower"}.get(metric.sign)
    wide = study.curves[study.curves["metric"].isin([metric.column, "val/loss"])]
    found = {}
    for name, rows in wide.groupby("run", observed=True):
        epochs = rows.pivot(index="epoch", columns="metric", values="value").sort_index()
        if metric.column in list_measured(study.summaries[str(name)]):
            epochs = epochs[epochs[metric.column].notna()]
        if metric.column in epochs and epochs[metric.column].notna().any():
            found[name] = compute_column_statistics(epochs, metric.column, direction).get(metric.name)
    values = pd.Series(found, dtype=float).reindex(study.runs.index)
    return replace(study, runs=study.runs.assign(**{metric.name: values}))


def _named(study: Study) -> list[record.Metric]:
    """The metrics that completed runs name as their own, each once."""
    completed = study.runs.index[study.runs["status"] == record.COMPLETED]
    found = {named: None for name in completed if (named := named_metric(study.summaries[name]))}
    return list(found)


def _statistic_of(study: Study, column: str, direction: str | None = None) -> Metric:
    """Of a column of metrics.csv the selected statistic where all completed runs have it, else the settled one."""
    completed = study.runs[study.runs["status"] == record.COMPLETED]
    whole = len(completed) and completed["folds"].isna().all() and not lack_folds(study, column)
    name = f"{'selected' if whole else 'settled'}_{name_statistic(column)}"
    return Metric(name, column, direction or direction_of(column))


def lack_folds(study: Study, column: str) -> int:
    """Count the completed runs whose folds do not hold a column that they have measured."""
    completed = study.runs[study.runs["status"] == record.COMPLETED]
    name = f"selected_{name_statistic(column)}"
    if name not in completed:
        return len(completed)
    measured = study.curves.loc[(study.curves["metric"] == column) & np.isfinite(study.curves["value"]), "run"]
    return int((completed[name].isna() & completed.index.isin(measured.unique())).sum())


def _require(study: Study, name: str, columns: Sequence[str]) -> None:
    """Raise UserError where the runs have no such statistic."""
    every = list(study.runs)
    tried = every[: every.index("seed") + 1]
    numeric = [c for c in map(str, study.runs) if c not in tried and pd.api.types.is_numeric_dtype(study.runs[c])]
    if name in numeric:
        return
    short = {"accuracy": "acc", "error": "loss", "validation": "val", "valid": "val", "training": "train"}
    words = [short.get(word, word) for word in re.findall(r"[a-z0-9]+", name.casefold())]
    meant = next((column for column in ("/".join(words), f"val/{'_'.join(words)}") if column in columns), None)
    if meant is not None:
        raise UserError(f"There is no {name!r} in the statistics of these runs (--metric). Did you mean {meant!r}?")
    raise unknown_name(name, "the statistics of these runs (--metric)", [*columns, *numeric])
