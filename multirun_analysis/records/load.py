"""Run records as data frames: what was tried, what came of it, epoch by epoch and layer by layer. Never torch.

    from multirun_analysis import load_runs
    study = load_runs("outputs/STUDY")
    study.runs                                       # a row a run
    study.curves.query("metric == 'val/loss'")       # a row an epoch
    study.layers.query("quantity == 'dead_fraction'")

Nothing is left out: a run that diverged, failed, was interrupted, is being made or cannot be read has its row, with
its status, and with what is wrong in `message`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from multirun_analysis.records.described import GROUPS, Described, columns_of, describe
from multirun_analysis.records.diagnoses import diagnose_runs
from multirun_analysis.records.direction import named_metric
from multirun_analysis.records.files import (
    find,
    is_running,
    read_folds,
    read_layers,
    read_metrics,
    read_steps,
)
from multirun_analysis.records.planned import Planned, read_planned
from multirun_analysis.records.run_statistics import compute_statistics
from paribus import record
from paribus.diagnosis import Diagnosis

CLASSIFYING = ("torch.nn.CrossEntropyLoss", "torch.nn.NLLLoss", "torch.nn.BCEWithLogitsLoss")
ALWAYS = ("status", "message", "task", *GROUPS, "seed", "folds", "command", "directory", "diverged_epoch")


@dataclass(frozen=True)
class Study:
    """Runs, as frames.

    Attributes:
        runs: a row a run, index its name (its directory below the common one): status, message, task, a column for
            each group of choices and each value that was set, seed, the summary statistics, `final_` and `best_` of
            every column of metrics.csv (best: of epochs before it diverged, where the better end is known),
            `test_` statistics where it was evaluated, `diverged_epoch`, command, directory.
        curves: run, epoch, step, metric, value; a row an epoch and metric (seconds: since training began).
        described: what was tried in each run, for comparing; by name.
        summaries: each run's summary.json, {} where it has none.
        plan: of a study whose seeds were added in looks; None where their number was fixed.
        planned: how many runs are planned, and have no record; None where no plan is known.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    described: dict[str, Described]
    summaries: dict[str, dict[str, Any]]
    plan: record.UntilPlan | None = None
    planned: Planned | None = None

    @cached_property
    def layers(self) -> pd.DataFrame:
        """run, epoch, layer, depth, tensor, quantity, value: all layers.parquet, read at first use.

        A file that cannot be read has its run's name in `unread`, with the reason.
        """
        return self._layers[0]

    @property
    def steps(self) -> pd.DataFrame:
        """run, step, epoch, train/loss, lr, momentum, grad_norm and val/...: all steps.parquet, read at first use."""
        return self._steps[0]

    def of(self, task: str) -> "Study":
        """The runs of one task, and those of which nobody can tell."""
        mine = self.runs["task"].eq(task) | self.runs["task"].isna()
        if mine.all():
            return self
        runs = self.runs[mine].dropna(axis="columns", how="all")
        runs = runs.reindex(columns=[c for c in self.runs if c in runs or c in ALWAYS])
        curves = self.curves[self.curves["run"].isin(runs.index)]
        described = {name: self.described[name] for name in runs.index}
        summaries = {name: self.summaries[name] for name in runs.index}
        return Study(runs, curves, described, summaries, self.plan, self.planned)

    @cached_property
    def diagnoses(self) -> dict[str, Diagnosis]:
        """The diagnosis of each finished run, by name; of older records it is made at first use."""
        return diagnose_runs(self)

    @property
    def unread(self) -> dict[str, str]:
        """Runs whose layers.parquet cannot be read, and why."""
        return self._layers[1]

    @property
    def unread_steps(self) -> dict[str, str]:
        """Runs whose steps.parquet cannot be read, and why."""
        return self._steps[1]

    @property
    def _directories(self) -> dict[str, Path]:
        return {name: Path(path) for name, path in zip(self.described, self.runs["directory"], strict=True)}

    @cached_property
    def _steps(self) -> tuple[pd.DataFrame, dict[str, str]]:
        return read_steps(self._directories)

    @cached_property
    def _layers(self) -> tuple[pd.DataFrame, dict[str, str]]:
        return read_layers(self._directories)


def load_runs(
    paths: str | Path | Iterable[str | Path], progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> Study:
    """All runs in and below `paths` (runs, studies, directories of studies). `progress` is put around their reading.

    Raises RecordError for a path that does not exist or cannot be read, or where there is no run at all.
    """
    given = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    directories = find(given)
    common = Path(os.path.commonpath([d.absolute().parent for d in directories]))
    rows, curves, described, summaries = {}, {}, {}, {}
    for directory in progress(directories):
        name = str(directory.absolute().relative_to(common))
        row, curves[name], described[name], summaries[name] = read_run(directory)
        rows[name] = row
    runs = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    tried = columns_of(described)
    first = ["status", "message", "task", *tried.columns, "seed"]
    runs = runs.join(tried)
    rest = [column for column in runs.columns if column not in first]
    plan = _read_plan(directories, described.values())
    return Study(runs[[*first, *rest]], _tidy(curves), described, summaries, plan, read_planned(given, directories))


def _read_plan(directories: Sequence[Path], described: Iterable[Described]) -> record.UntilPlan | None:
    """Read the plan by which seeds were added to the study of these runs.

    Raises RecordError for runs of several studies of which one has a plan, and where the plan of a run is missing.
    """
    studies = dict.fromkeys(directory.absolute().parent for directory in directories)
    plans = {study: plan for study in studies if (plan := record.read_plan(study)) is not None}
    if plans and len(studies) > 1:
        raise record.RecordError(
            f"{next(iter(plans))} is a study with until=decided, whose seeds were added until it was decided: it is "
            "judged by its own bounds. Give its directory alone."
        )
    if not plans and any(run.until for run in described):
        raise record.RecordError(
            f"There are runs of a study with until=decided, but no {record.UNTIL} beside them: without its bounds they "
            "cannot be judged. Give the directory of the study, or copy that file too."
        )
    return next(iter(plans.values()), None)


def read_run(directory: Path) -> tuple[dict[str, Any], pd.DataFrame, Described, dict[str, Any]]:
    """A run's row, its metrics.csv as it stands, what was tried, and its summary."""
    status, summary = record.read_status(directory)
    message = (summary or {}).get("message")
    if summary is None:
        if status == record.DAMAGED:
            message = record.describe_damage(directory)
        elif is_running(directory):
            status = record.RUNNING
        else:
            status = record.UNFINISHED
    elif status == record.INTERRUPTED and summary.get("paused"):
        status = record.PAUSED
    metrics, unvalidated, damage = read_metrics(directory)
    wanted = (summary or {}).get("statistics", {}).get("epochs")
    if status in record.FINISHED and damage is None and wanted not in (None, len(metrics)):
        damage = f"{record.METRICS} has {len(metrics)} epochs, {record.SUMMARY} speaks of {wanted}"
    if status in record.FINISHED and damage is not None:
        status, message = record.DAMAGED, f"{damage}. Make the run again."
    described = describe(directory, summary)
    if described.problem and status in record.FINISHED:
        status, message = record.DAMAGED, described.problem
    row = {"status": status, "message": message, "task": _task(metrics, described)}
    plain = described.split_seed == described.seed and not described.own
    row["seed"] = described.seed if plain else described.seed_in_words
    recorded = (summary or {}).get("statistics", {})
    row |= {key: value for key, value in recorded.items() if not isinstance(value, dict | list)}
    validated = sorted(set(range(1, len(metrics) + 1)) - set(unvalidated))
    folds, unread = read_folds(directory, validated) if status == record.COMPLETED else (None, None)
    statistics = compute_statistics(metrics, folds, named_metric(summary), unvalidated, list_measured(summary))
    row |= {key: value for key, value in statistics.items() if key not in recorded}
    row["folds"] = unread
    tested = (summary or {}).get("test", {})
    row |= {f"test_{key}": value for key, value in tested.items() if isinstance(value, int | float)}
    row["diverged_epoch"] = (summary or {}).get("diverged", {}).get("epoch")
    row["command"] = (summary or {}).get("command")
    row["directory"] = str(directory)
    return row, metrics, described, summary or {}


def list_measured(summary: Mapping[str, Any] | None) -> list[str]:
    """List the columns of metrics.csv that a run's instruments measured, in some epochs only; older runs have none."""
    return list((summary or {}).get("instruments", {}).get("columns") or [])


def _task(metrics: pd.DataFrame, described: Described) -> str | None:
    """classification, regression, or None where nobody can tell."""
    if len(metrics.columns) > 2:
        return "classification" if "train/acc" in metrics or "val/acc" in metrics else "regression"
    loss, task = described.flat.get("loss._target_"), described.flat.get("loss.task")
    if loss is None:
        return None
    return "classification" if loss in CLASSIFYING or task in ("classification", "binary") else "regression"


def _tidy(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts: dict[tuple[str, ...], list[pd.DataFrame]] = {}  # by their columns, which differ between tasks
    for place, metrics in enumerate(curves.values()):
        wide = metrics.assign(run=place)
        if "epoch_seconds" in wide:
            wide["seconds"] = wide["epoch_seconds"].cumsum()
        parts.setdefault(tuple(wide.columns), []).append(wide)
    keys = ["run", "epoch", "step"]
    long = [pd.concat(alike).melt(keys, var_name="metric", value_name="value") for alike in parts.values()]
    tidy = pd.concat(long, ignore_index=True).astype({"epoch": int, "step": int})
    tidy["run"] = pd.Categorical.from_codes(tidy["run"].astype(int), pd.Index(list(curves)))
    tidy["metric"] = tidy["metric"].astype("category")
    return tidy.sort_values(["run", "metric", "epoch"], ignore_index=True)
