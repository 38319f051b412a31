"""What a run that did not end has left, and whether the run can go on from it."""

import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import torch

from paribus import record
from paribus.errors import UserError
from paribus.record import RecordError, flatten, select_experimental
from paribus.record.tables import LayersWriter

log = logging.getLogger(__name__)
MISSING = "(not there)"


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to go on from.

    Attributes:
        path: of the checkpoint.
        epoch: how many epochs it has behind it.
        identity: of the run.
        config: the resolved configuration that it was made with, with absolute paths.
        data: the hash of the data that it was trained on.
        threads: that it was trained with.
        started: when its run was begun.
        ended: whether its run had ended by itself there, by divergence or by a callback.
        stacked: the size of the stack that trained it; None: alone, or it does not say.
        says_engine: whether it says so; those of version 0.1 do not.
        engine_changes: see "engine_changes" in summary.json.
    """

    path: Path
    epoch: int
    identity: str
    config: dict[str, Any]
    data: str
    threads: int
    started: str
    ended: bool
    stacked: int | None
    says_engine: bool
    engine_changes: list[dict[str, Any]]


def read_resume_point(directory: Path) -> ResumePoint:
    """The checkpoint of the run in `directory`, with a record that reaches as far.

    Raises RecordError where there is none, or where it, metrics.csv or layers.parquet cannot be read.
    """
    path = directory / record.LAST
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        described, state = stored["paribus"], stored["recorder"]
        left = ResumePoint(
            path,
            state["epoch"],
            described["identity"],
            described["config"],
            described["data"],
            described["threads"],
            described["started"],
            state["stopped"],
            described.get("stacked"),
            "stacked" in described,
            described.get("engine_changes", []),
        )
    except FileNotFoundError:
        raise RecordError(f"{directory} has no checkpoint to go on from.") from None
    except (OSError, RuntimeError, KeyError, EOFError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecordError(f"{path} is damaged, or cannot be read ({reason}).") from None
    rows = record.read_metrics(directory, left.epoch)
    if [row["epoch"] for row in rows] != list(range(1, left.epoch + 1)):
        raise RecordError(f"{directory / record.METRICS} does not reach epoch {left.epoch}, as {path.name} does.")
    layers = LayersWriter(directory / record.LAYERS)
    try:
        layers.restore(left.epoch)
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise RecordError(f"{layers.path} is damaged ({str(error).splitlines()[0]}).") from None
    return left


def find_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By dotted key, the values of two resolved configurations in which they are not the same experiment."""
    before, now = (
        flatten(record.use_stable_targets(select_experimental(record.make_paths_absolute(config))))
        for config in (old, new)
    )
    return {
        key: (before.get(key, MISSING), now.get(key, MISSING))
        for key in (*before, *(key for key in now if key not in before))
        if before.get(key, MISSING) != now.get(key, MISSING)
    }


def describe_differences(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Differences in words."""
    return ", ".join(f"{key} was {old}, is now {new}" for key, (old, new) in differing.items())


def conflicting_run(directory: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> UserError:
    """The error for a directory of a study that holds a run of another configuration than the one that is wanted."""
    return UserError(
        f"{directory} holds a run with another configuration: {describe_differences(find_differences(old, new))}. "
        "Choose another name for the study (study=NAME), or remove that directory to make the run anew."
    )


def find_resume_point(directory: Path, status: str, config: Mapping[str, Any]) -> ResumePoint | None:
    """What a run of a study that has not ended in order goes on from; None: it begins anew.

    One that failed begins anew: what made it fail may have been mended. Raises UserError where the directory holds a
    run of another configuration.
    """
    if status not in (record.INTERRUPTED, record.UNFINISHED):
        return None
    try:
        left = read_resume_point(directory)
    except RecordError as error:
        if (directory / record.LAST).exists():
            log.warning("%s The run begins anew.", error)
        return None
    if left.identity != record.identify(config):
        raise conflicting_run(directory, left.config, config)
    return left


def require_resume_point(directory: Path, status: str, config: Mapping[str, Any], study: str | None) -> ResumePoint:
    """What a run goes on from because a user asks for it, perhaps to more epochs than it had (not one of a study, which
    would no longer know it).

    Raises UserError where that cannot be.
    """
    if status == record.ABSENT:
        raise RecordError(f"{directory} holds no run to go on with.")
    if status == record.DIVERGED:
        raise RecordError(f"The run in {directory} has diverged: there is nothing to go on with.")
    left = read_resume_point(directory)
    check_can_resume(left, directory, config)
    if study is not None and left.identity != record.identify(config):
        raise UserError(
            f"{directory} is a run of the study {study}: with more epochs it would be another one. Give the study's "
            "command trainer.max_epochs=N instead."
        )
    if status == record.COMPLETED and (left.ended or left.epoch >= config["trainer"]["max_epochs"]):
        how = "was ended by a callback" if left.ended else "is finished"
        raise RecordError(
            f"The run in {directory} {how} after {left.epoch} epochs. To go on, give it more: trainer.max_epochs=N."
        )
    return left


def check_can_resume(left: ResumePoint, directory: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError unless the run in `directory` can go on with `config`, to more epochs than it had at most."""
    if left.identity == record.identify(config):
        return
    differing = find_differences(left.config, config)
    epochs, wanted = differing.pop("trainer.max_epochs", (0, 0))
    scheduler = config["scheduler"]
    if scheduler.get("step_size") is not None:
        differing.pop("scheduler.max_epochs", None)  # the step schedule has no use for it then
    other = {key: pair for key, pair in differing.items() if not key.startswith("scheduler.")}
    if other or not wanted:
        raise UserError(
            f"{directory} was made with another configuration: {describe_differences(other or differing)}. "
            "Only more epochs can be added to a run (trainer.max_epochs); for anything else, make a new one."
        )
    if wanted < epochs:
        raise UserError(f"{directory} was made for {epochs} epochs; it cannot be cut to {wanted}. Make a new run.")
    if differing or scheduler.get("total_steps", 0) is None:
        raise UserError(
            f"{directory} was made for {epochs} epochs, and its schedule depends on their number: of {wanted} epochs "
            "it would have been another one from the start. Make a new run."
        )
