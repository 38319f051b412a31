"""Train a prepared run with Lightning."""

import logging

import torch

from paribus import record
from paribus.errors import UserError
from paribus.loggers.lifecycle import close_logger, resume_logger
from paribus.run.build import build_callbacks, build_trainer
from paribus.run.lifecycle import SummaryKeeper
from paribus.run.prepare import Prepared, collect_hyperparameters, prepare
from paribus.run.ranks import InStep, Ranks, start_ranks, without_ddp
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job
from paribus.training.checkpoints import Checkpoints
from paribus.training.recorder import Recorder

log = logging.getLogger(__name__)


def train(job: Job, resume_point: ResumePoint | None, keeper: SummaryKeeper) -> None:
    """Train a run and fill in its summary, also where an exception ends the run."""
    prepared = prepare(job, resume_point, keeper)
    with start_ranks(prepared.processes) as ranks:
        fit(job, resume_point, keeper, prepared, ranks)


def fit(job: Job, resume_point: ResumePoint | None, keeper: SummaryKeeper, prepared: Prepared, ranks: Ranks) -> None:
    """Fit a prepared run and fill in its summary; see `train`."""
    summary, directory = keeper.summary, job.directory
    config, data, learner, description = prepared.config, prepared.data, prepared.learner, prepared.description
    assert data.train is not None and data.val is not None
    instruments, others = build_callbacks(config)
    figures = job.study is None if config["figures"] is None else config["figures"]
    checkpoints = Checkpoints(directory, description)
    recorder = Recorder(directory, collect_hyperparameters(job), instruments, checkpoints, figures)
    if ranks.number == 1:
        trainer = build_trainer(without_ddp(config), directory, [recorder, checkpoints, *others])
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
    log.info("%d training, %d validation samples; %s", len(data.train[0]), len(data.val[0]), where)
    if resume_point is not None:
        keeper.begin()
        log.info("Resumed after epoch %d.", resume_point.epoch)
        for logger in trainer.loggers:
            resume_logger(logger, resume_point.epoch)
    checkpoint = resume_point.path if resume_point else None
    try:
        # the other ranks use as many threads
        with ranks.in_step(device, {**config, "threads": description["threads"]}, directory, checkpoint):
            trainer.fit(learner, datamodule=data, ckpt_path=checkpoint, weights_only=True)
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
