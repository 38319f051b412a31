"""Resume points: find the checkpoint of an unfinished run, and check that the run can continue from it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paribus import record
from paribus.errors import UserError, summarise_error
from paribus.record import RecordError, flatten, select_experimental

log = logging.getLogger(__name__)
MISSING = "(not there)"


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to resume a run from.

    Attributes:
        epoch: the number of epochs trained so far.
        config: the resolved configuration of the run, with absolute paths.
        data: the hash of the data.
        ended: True if divergence or a callback ended the run at this point.
        stacked: the size of the stack that trained it; None: trained alone, or unknown.
        knows_engine: False if `stacked` is unknown, as in version 0.1.
        engine_changes: as in summary.json.
        found: what finders of a learning rate or a batch size found before the run, by dotted key.
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
    knows_engine: bool
    engine_changes: list[dict[str, Any]]
    found: dict[str, Any]


def read_resume_point(directory: Path) -> ResumePoint:
    """Read the checkpoint of the run in `directory`, and check that its record covers the same epochs.

    Raises RecordError where there is none, or where the checkpoint, metrics.csv or layers.parquet cannot be read.
    """
    import pyarrow

    from paribus.record.tables import LayersWriter
    from paribus.training.checkpoints import read_described  # imports torch, which planning a study need not wait for

    path = directory / record.LAST
    for name in (record.LAYERS, record.FOLDS, record.STEPS, record.TWINS):
        record.require_regular(directory / name)
    try:
        stored, described = read_described(path, with_training=True)
        state = stored["recorder"]
        resume_point = ResumePoint(
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
            described.get("found", {}),
        )
    except FileNotFoundError:
        raise RecordError(
            f"{directory} has no checkpoint to resume from ({record.LAST}). Copy it back, or train the run again."
        ) from None
    except (KeyError, TypeError) as error:
        raise RecordError(f"{path} is damaged: it lacks {error}.") from None
    rows = record.read_metrics(directory, resume_point.epoch)
    if [row["epoch"] for row in rows] != list(range(1, resume_point.epoch + 1)):
        raise RecordError(f"{directory / record.METRICS} does not reach epoch {resume_point.epoch} of {path.name}.")
    layers = LayersWriter(directory / record.LAYERS)
    try:
        layers.restore(resume_point.epoch)
    except (OSError, KeyError, TypeError, ValueError, pyarrow.ArrowException) as error:
        raise RecordError(f"{layers.path} is damaged ({summarise_error(error)}).") from None
    return resume_point


def find_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Find the values in which two resolved configurations differ as experiments; return both by dotted key."""
    before, now = (
        flatten(record.use_canonical_seeds(record.use_current_targets(select_experimental(config))))
        for config in map(record.make_paths_absolute, (old, new))
    )
    return {
        key: (before.get(key, MISSING), now.get(key, MISSING))
        for key in (*before, *(key for key in now if key not in before))
        if before.get(key, MISSING) != now.get(key, MISSING)
    }


def describe_differences(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Describe differences as a list of keys with old and new value."""
    return ", ".join(f"{key} was {old}, is now {new}" for key, (old, new) in differing.items())


def is_in_the_way(directory: Path, summary: Mapping[str, Any] | None, identity: str) -> bool:
    """Tell whether the directory of a run holds another one, whose record would be lost.

    A run that failed before its first epoch has nothing to lose: its cause may have been a value that is now mended.
    """
    if summary is None or summary.get("identity") in (None, identity):
        return False
    return summary.get("status") != record.FAILED or (directory / record.METRICS).exists()


def make_conflict_error(directory: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> UserError:
    """Return the error for a directory of a study that holds a run of another configuration."""
    return UserError(
        f"{directory} holds a run with another configuration: {describe_differences(find_differences(old, new))}. "
        "Choose another name for the study (study=NAME), or remove that directory to train the run again."
    )


def find_resume_point(directory: Path, status: str, config: Mapping[str, Any]) -> ResumePoint | None:
    """Find the resume point of an unfinished run of a study; return None if the run must start again.

    A failed run starts again, since its cause may have been removed. Raises UserError where the directory holds a run
    of another configuration.
    """
    if status not in (record.INTERRUPTED, record.UNFINISHED):
        return None
    try:
        resume_point = read_resume_point(directory)
    except RecordError as error:
        if (directory / record.LAST).exists():
            log.warning("The run starts again: %s.", str(error).split(". ")[0].rstrip("."))  # without the remedy
        elif (directory / record.METRICS).exists():
            log.warning("%s has no checkpoint (%s): the run starts again.", directory, record.LAST)
        return None
    if resume_point.identity != record.identify(config):
        raise make_conflict_error(directory, resume_point.config, config)
    return resume_point


def require_resume_point(directory: Path, status: str, config: Mapping[str, Any], study: str | None) -> ResumePoint:
    """Return the resume point that resume=DIR asks for. Raises UserError where the run cannot be resumed.

    A single run may be extended to more epochs. A run of a study may not: the study would no longer recognise it.
    """
    if status == record.ABSENT:
        raise RecordError(f"{directory} holds no run to resume.")
    if status == record.DIVERGED:
        raise RecordError(f"The run in {directory} has diverged and cannot be resumed.")
    resume_point = read_resume_point(directory)
    check_can_resume(resume_point, directory, config)
    if study is not None and resume_point.identity != record.identify(config):
        raise UserError(
            f"{directory} is a run of the study {study}: with more epochs it would be another run. Add "
            "trainer.max_epochs=N to the study's command instead."
        )
    if status == record.COMPLETED and (resume_point.ended or resume_point.epoch >= config["trainer"]["max_epochs"]):
        if resume_point.ended:
            by = record.read_summary(directory).get("stopped", {}).get("by", "a callback")
            raise RecordError(
                f"The run in {directory} was stopped after {resume_point.epoch} epochs by {by}, and is finished. For "
                "more epochs, train a new run."
            )
        raise RecordError(
            f"The run in {directory} is finished after {resume_point.epoch} epochs. To extend it, raise "
            "trainer.max_epochs, where the schedule does not depend on it."
        )
    return resume_point


def check_can_resume(resume_point: ResumePoint, directory: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError unless the run in `directory` can be resumed with `config`, which may only add epochs."""
    if resume_point.identity == record.identify(config):
        return
    differing = find_differences(resume_point.config, config)
    epochs, wanted = differing.pop("trainer.max_epochs", (0, 0))
    scheduler = config["scheduler"]
    if scheduler.get("step_size") is not None:
        differing.pop("scheduler.max_epochs", None)  # a step schedule then ignores it
    other = {key: pair for key, pair in differing.items() if not key.startswith("scheduler.")}
    if other or not wanted:
        raise UserError(
            f"{directory} was trained with another configuration: {describe_differences(other or differing)}. "
            "A run can only be extended by epochs (trainer.max_epochs). For anything else, train a new run."
        )
    if wanted < epochs:
        raise UserError(f"{directory} was planned for {epochs} epochs and cannot be cut to {wanted}. Train a new run.")
    if differing or scheduler.get("total_steps", 0) is None:
        raise UserError(
            f"{directory} was planned for {epochs} epochs, and its schedule depends on their number: with {wanted} "
            "epochs, it would differ from the first step on. Train a new run."
        )
