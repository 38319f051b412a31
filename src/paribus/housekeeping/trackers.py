"""Export the finished runs of a study to Weights & Biases or MLflow, where these are installed."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from paribus import record
from paribus.errors import UserError
from paribus.housekeeping.shelf import find_runs, read_note, read_tags, require_ended_runs

PROJECT = "paribus"  # at Weights & Biases; of MLflow the experiment
STORE = "sqlite:///mlflow.db"  # of MLflow where MLFLOW_TRACKING_URI names none
MOST_PARAMETERS, MOST_METRICS, MOST_CHARACTERS = 100, 1000, 6000  # of a batch and of a value, by MLflow
MOST_IN_TAG = 5000  # characters of a tag's value that every version of MLflow takes
CUT = "\n\n[cut: longer than a tag of MLflow; the whole is notes.md of the run]"
KEY = "paribus.id"
DONE = ".exported"  # in the folder of an offline run


@dataclass(frozen=True)
class Exported:
    """A finished run as trackers take it.

    Attributes:
        key: of this run of this study; the same at every export.
        config: every value of the experiment by dotted key.
        rows: of metrics.csv, without empty cells.
        started, ended: in milliseconds since 1970.
    """

    key: str
    name: str
    study: str
    status: str
    config: dict[str, Any]
    statistics: dict[str, float]
    rows: list[dict[str, float]]
    tags: list[str]
    note: str
    started: int
    ended: int


def read_exported(directory: Path) -> Exported | None:
    """Read a run; None if it has not finished. Raises RecordError where it cannot be read."""
    status, summary = record.read_status(directory)
    if summary is None or status not in record.FINISHED:
        return None
    rows = [{key: value for key, value in row.items() if value is not None} for row in record.read_metrics(directory)]
    study = str(summary.get("study") or directory.resolve().parent.name)
    started = str(summary.get("started") or "")
    key = hashlib.sha256(f"{study}/{directory.name}/{summary['identity']}/{started}".encode()).hexdigest()[:16]
    begin = int(1000 * datetime.fromisoformat(started).timestamp()) if started else 0
    seconds = sum(row.get("epoch_seconds", 0.0) for row in rows)
    statistics = {
        name: float(value)
        for name, value in summary.get("statistics", {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    config = record.flatten(record.use_stable_targets(summary.get("config", {})))
    return Exported(key, directory.name, study, status, config, statistics, rows, read_tags(directory),
                    read_note(directory), begin, begin + int(1000 * seconds))  # fmt: skip


def export_runs(study: Path, tracker: str) -> tuple[int, int, str]:
    """Export what is not there yet; return how many runs were exported, how many were there, and where to look.

    Raises UserError where the tracker is not installed, a run is being executed, or none has finished.
    """
    require_ended_runs(study)
    found = (read_exported(directory) for directory in find_runs(study))
    runs = [one for one in found if one is not None]
    if not runs:
        raise UserError(f"{study} has no finished run to export.")
    try:
        return TRACKERS[tracker](runs)
    except ModuleNotFoundError as error:
        if error.name != tracker:
            raise
        raise UserError(f"{tracker} is not installed. Install it: pip install '{PROJECT}[{tracker}]'") from None


def export_to_wandb(runs: Sequence[Exported]) -> tuple[int, int, str]:
    """Export runs to Weights & Biases: into wandb/ of WANDB_DIR or the working directory, unless WANDB_MODE=online."""
    import wandb

    online = os.environ.get("WANDB_MODE") == "online"
    folder, new = Path(os.environ.get("WANDB_DIR") or "") / "wandb", 0
    for one in runs:
        there = [] if online else list(folder.glob(f"offline-run-*-{one.key}"))
        if any((path / DONE).exists() for path in there):
            continue
        for path in there:  # of an export that was killed
            shutil.rmtree(path)
        with wandb.init(
            project=PROJECT, group=one.study, name=one.name, id=one.key, config=one.config, tags=one.tags or None,
            notes=one.note or None, dir=folder.parent, mode="online" if online else "offline",
            resume="allow", reinit="finish_previous",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        ) as run:  # fmt: skip
            if run.resumed and run.summary.get("status") == one.status:  # it is there; otherwise the export was killed
                continue
            for row in one.rows:
                run.log({key: value for key, value in row.items() if key != "epoch"}, step=int(row["epoch"]))
            run.summary.update({**one.statistics, "status": one.status})
        if not online:
            (Path(run.dir).parent / DONE).touch()
        new += 1
    where = "online" if online else f"{folder}/; upload: wandb sync {folder}/offline-run-*"
    return new, len(runs) - new, where


def export_to_mlflow(runs: Sequence[Exported]) -> tuple[int, int, str]:
    """Export runs to the store that MLFLOW_TRACKING_URI names, by default mlflow.db of the working directory."""
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

    store = os.environ.get("MLFLOW_TRACKING_URI", STORE)
    client = mlflow.MlflowClient(store)
    known = client.get_experiment_by_name(PROJECT)
    experiment = known.experiment_id if known is not None else client.create_experiment(PROJECT)
    new = 0
    for one in runs:
        there = client.search_runs([experiment], f"tags.`{KEY}` = '{one.key}'")
        if any(run.info.status == "FINISHED" for run in there):
            continue
        for run in there:  # an export that was killed
            client.delete_run(run.info.run_id)
        named = client.create_run(experiment, start_time=one.started, run_name=one.name).info.run_id
        tags = {KEY: one.key, "study": one.study, "status": one.status, **{f"tag.{tag}": "yes" for tag in one.tags}}
        tags |= {"mlflow.note.content": _cut(one.note)} if one.note else {}
        parameters = [Param(key, str(value)[:MOST_CHARACTERS]) for key, value in one.config.items()]
        metrics = [Metric(*value) for value in _list_metrics(one)]
        for part in _batches(parameters, MOST_PARAMETERS):
            client.log_batch(named, params=part)
        for part in _batches(metrics, MOST_METRICS):
            client.log_batch(named, metrics=part)
        client.log_batch(named, tags=[RunTag(key, value) for key, value in tags.items()])
        client.set_terminated(named, "FINISHED", one.ended)
        new += 1
    return new, len(runs) - new, f"{store}; look: mlflow ui --backend-store-uri {store}"


def _cut(note: str) -> str:
    """Cut a note to the length of an MLflow tag, and say so at its end."""
    return note if len(note) <= MOST_IN_TAG else note[: MOST_IN_TAG - len(CUT)] + CUT


def _list_metrics(one: Exported) -> Iterator[tuple[str, float, int, int]]:
    """List name, value, time in milliseconds and epoch of all that was measured."""
    now = float(one.started)
    for row in one.rows:
        now += 1000 * row.get("epoch_seconds", 0.0)
        yield from ((key, value, int(now), int(row["epoch"])) for key, value in row.items() if key != "epoch")
    last = int(one.rows[-1]["epoch"]) if one.rows else 0
    yield from ((name, value, one.ended, last) for name, value in one.statistics.items() if math.isfinite(value))


def _batches(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    yield from (items[begin : begin + most] for begin in range(0, len(items), most))


TRACKERS: Mapping[str, Callable[[Sequence[Exported]], tuple[int, int, str]]] = {
    "wandb": export_to_wandb,
    "mlflow": export_to_mlflow,
}
