"""Train a prepared run with Lightning."""

import logging

import torch

from paribus import record
from paribus.data.foreign import ForeignData
from paribus.errors import UserError
from paribus.loggers.lifecycle import close_logger, resume_logger
from paribus.randomness import restoring_seed_variables
from paribus.run.build import build_callbacks, build_trainer
from paribus.run.lifecycle import SummaryKeeper
from paribus.run.metric import find_users
from paribus.run.prepare import Prepared, collect_hyperparameters, prepare
from paribus.run.ranks import InStep, Ranks, start_ranks, without_ddp
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
    instruments, others = build_callbacks(config)
    figures = job.study is None if config["figures"] is None else config["figures"]
    checkpoints = Checkpoints(directory, description, prepared.metric)
    foreign = isinstance(learner, ForeignLearner)
    recorder = Recorder(
        learner, data, directory, collect_hyperparameters(job), instruments, checkpoints, figures,
        sees_steps=foreign or bool(find_users(others)),
    )  # fmt: skip
    callbacks = [recorder, checkpoints, *others]
    if isinstance(learner, ForeignLearner):
        callbacks = [learner, PlateauSteps(), *callbacks]
    if isinstance(data, ForeignData):
        callbacks.insert(0, EpochSeeds(config["seed"]))
    if ranks.number == 1:
        trainer = build_trainer(without_ddp(config), directory, callbacks)
    else:
        trainer = build_trainer(config, directory, [recorder, checkpoints, InStep(), *others])
    if trainer.world_size != ranks.number:
        raise UserError(
            f"trainer.devices={config['trainer']['devices']}: a run trains on one device. To train on several, choose "
            "trainer=ddp."
        )
    device = trainer.strategy.root_device
    where = summary["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    if device.type == "cpu":
        where = f"cpu, {description['threads']} threads"
    if ranks.number > 1:
        where = f"{ranks.number} processes, each on {where}"
    log.info("%s training, %s validation samples; %s", *(_say(data.count(split)) for split in ("train", "val")), where)
    if resume_point is not None:
        keeper.begin()
        log.info("Resumed after epoch %d.", resume_point.epoch)
        for logger in trainer.loggers:
            resume_logger(logger, resume_point.epoch)
    checkpoint = resume_point.path if resume_point else None
    try:
        # the other ranks use as many threads
        with ranks.in_step(device, {**config, "threads": description["threads"]}, directory, checkpoint):
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
        if recording is not None and recording.taken_up:
            summary["taken_up"] = recording.taken_up
        for logger in trainer.loggers:
            close_logger(logger)
    if recording is None or not recording.rows:
        raise UserError("No epoch was trained: the trainer's options leave no batch to train on.")
    summary["status"] = record.DIVERGED if recording.diverged else record.COMPLETED
    if recording.diverged:
        summary["diverged"] = recording.diverged


def _say(samples: int | None) -> str:
    return "an unknown number of" if samples is None else str(samples)
