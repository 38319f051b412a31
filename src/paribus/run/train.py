"""Train a prepared run with Lightning."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import lightning
import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from paribus import record
from paribus.data.foreign import ForeignData
from paribus.errors import UserError, summarise_error, unknown_name
from paribus.loggers.lifecycle import close_logger, resume_logger
from paribus.randomness import restoring_seed_variables
from paribus.record import resolve_seeds
from paribus.run.build import build_steps_in_epoch, build_trainer, check_devices
from paribus.run.followers import InStep
from paribus.run.lifecycle import SummaryKeeper
from paribus.run.metric import find_users
from paribus.run.prepare import Prepared, collect_hyperparameters, prepare
from paribus.run.ranks import Ranks, start_ranks, without_ddp
from paribus.run.report import add_diagnosis
from paribus.run.restoration import Restoration
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job
from paribus.training.checkpoints import Checkpoints
from paribus.training.foreign import ForeignLearner
from paribus.training.learner import Learner
from paribus.training.plateaus import PlateauSteps
from paribus.training.recorder import Recorder
from paribus.training.seeds import EpochSeeds

log = logging.getLogger(__name__)


def train(job: Job, resume_point: ResumePoint | None, keeper: SummaryKeeper) -> None:
    """Train a run and fill in its summary, also where an exception ends the run."""
    with restoring_seed_variables():  # without the variables that seed_everything leaves
        prepared = prepare(job, resume_point, keeper)
        with start_ranks(prepared.processes) as ranks:
            fit(job, resume_point, keeper, prepared, ranks)


def fit(job: Job, resume_point: ResumePoint | None, keeper: SummaryKeeper, prepared: Prepared, ranks: Ranks) -> None:
    """Fit a prepared run and fill in its summary; see `train`."""
    summary, directory = keeper.summary, job.directory
    config, data, learner, description = prepared.config, prepared.data, prepared.learner, prepared.description
    instruments, others = prepared.instruments, prepared.callbacks
    figures = job.study is None if config["figures"] is None else config["figures"]
    checkpoints = Checkpoints(directory, description, prepared.metric, job.composed.get("pause"), job.stop_directories)
    foreign = isinstance(learner, ForeignLearner)
    in_epoch = build_steps_in_epoch(instruments, learner, data)
    recorder = Recorder(
        learner, data, directory, collect_hyperparameters(job, config), instruments, checkpoints, figures, in_epoch,
        sees_steps=foreign or bool(find_users(others)),
    )  # fmt: skip
    restoration = Restoration(resume_point.path) if resume_point else None
    ours: list[lightning.Callback] = [*([restoration] if restoration else []), recorder, checkpoints]
    if in_epoch is not None:
        ours.insert(0, in_epoch)
    if isinstance(learner, ForeignLearner):
        ours = [learner, PlateauSteps(), *ours]
    if isinstance(data, ForeignData):
        ours.insert(0, EpochSeeds(resolve_seeds(config)["dropout"]))
    if ranks.number == 1:
        trainer = build_trainer(without_ddp(config), directory, [*ours, *others], job.study is not None)
    else:
        trainer = build_trainer(config, directory, [*ours, InStep(), *others], job.study is not None)
    check_devices(trainer, config, ranks.number)
    if ranks.number > 1 and job.composed.get("pause") is not None:
        raise UserError("pause=N is for a run in one process, and so is tune.method=halving. Leave it out.")
    device = trainer.strategy.root_device
    where = summary["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    if device.type == "cpu":
        where = f"cpu, {description['threads']} thread{'s' * (description['threads'] != 1)}"
    if ranks.number > 1:
        where = f"{ranks.number} processes, each on {where}"
    counts = (_say(data.count(split)) for split in ("train", "val"))
    mirrored = ", each with its mirror image" if data.average_flips else ""
    samples = "{} training, {} validation samples{}; {}".format(*counts, mirrored, where)
    log.info("%s", samples, extra={"once": samples})
    if resume_point is not None:
        keeper.begin()
        log.info("Resumed after epoch %d.", resume_point.epoch)
        for logger in trainer.loggers:
            resume_logger(logger, resume_point.epoch)
    checkpoint = resume_point.path if resume_point else None
    try:
        shared = {**config, "threads": description["threads"]}  # the other ranks use as many
        with (
            restoration.naming_file() if restoration else nullcontext(),
            ranks.in_step(device, shared, directory, checkpoint),
            explaining_complaints(trainer),
        ):
            module = learner.module if isinstance(learner, ForeignLearner) else learner
            datamodule = data.module if isinstance(data, ForeignData) else data
            trainer.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    except IndexError as error:
        if isinstance(data, ForeignData) and isinstance(learner, Learner) and "out of bounds" in str(error):
            raise UserError(
                f"{error} {data.name} has more than the {data.out_features} classes that were found in its first "
                "batches: give it an attribute num_classes."
            ) from error
        raise
    finally:
        recording = recorder.recording
        if recording is not None and recording.rows:
            summary["statistics"] |= recording.compute_statistics()
            summary["instruments"] = recorder.calls.summarise(recording.new_epoch_seconds, recording.measured)
        if recording is not None and recording.taken_up:
            summary["taken_up"] = recording.taken_up
        for logger in trainer.loggers:
            close_logger(logger)
    if recording is None or not recording.rows:
        raise UserError("No epoch was trained: the trainer's options leave no batch to train on.")
    summary["status"] = record.DIVERGED if recording.diverged else record.COMPLETED
    if recording.diverged:
        summary["diverged"] = recording.diverged
    elif recording.stopped_by:
        summary["stopped"] = {"epoch": len(recording.rows), "by": recording.stopped_by}
    add_diagnosis(summary, directory)


def _say(samples: int | None) -> str:
    return "an unknown number of" if samples is None else str(samples)


@contextmanager
def explaining_complaints(trainer: Trainer) -> Iterator[None]:
    """Turn what Lightning says in the block of options and callbacks into one message. Raises UserError."""
    try:
        yield
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        said = summarise_error(error)
        about_options = said.startswith(("Early stopping conditioned on", "`val_check_interval`"))
        if not (isinstance(error, MisconfigurationException) or about_options):
            raise
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitor = getattr(callback, "monitor", None)
            if monitor is not None and monitor not in trainer.callback_metrics and monitor in said:
                name = type(callback).__name__
                early = "" if "lr" in trainer.callback_metrics else " yet: train/loss and lr come with an epoch's end"
                where = f"what {name} can monitor{early}"
                raise unknown_name(monitor, where, trainer.callback_metrics) from error
        raise UserError(f"Lightning refuses the options of trainer and callbacks: {said}") from error
