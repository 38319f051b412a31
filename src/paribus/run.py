"""One run, read top to bottom: configuration, data, network, trainer, fit, summary."""

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from paribus import record, rerun, resume
from paribus.build import build_callbacks, build_data, build_initial, build_trainer, check_batch_norm
from paribus.callbacks.checkpoints import Checkpoints
from paribus.callbacks.recorder import Recorder
from paribus.command import RunFailed, explain, quiet_libraries
from paribus.config import choices
from paribus.data.module import InMemory
from paribus.display import report
from paribus.errors import UserError
from paribus.following import Interruptible, Place, strategy
from paribus.job import Job
from paribus.loggers import close, go_on_after
from paribus.models import layers
from paribus.models.learners import Learner, Regressor
from paribus.processes import count, other_ranks, without_ddp
from paribus.provenance import versions_and_commit
from paribus.resume import Left

log = logging.getLogger(__name__)
THREADS = torch.get_num_threads()  # before any run of this process has set another number


def run(config: DictConfig) -> float | None:
    """Make the single run that Hydra has been asked for, and has composed `config` for; see `perform`.

    With config.rerun it is compared with the run in that directory, with config.dry_run only checked.
    """
    job = Job.of_hydra(config)
    if job.of_study:
        raise UserError("A study needs a launcher of its own: hydra/launcher=serial, parallel, slurm or ray.")
    if job.hydra.sweeper.get("params") or job.hydra.sweeper.get("grids"):
        raise UserError("This experiment is a study: it lists several runs. Add --multirun to make them.")
    if config.dry_run not in (True, False):
        raise UserError(f"dry_run is {config.dry_run!r}; it must be true or false.")
    if config.rerun is not None:
        rerun.require_same(Path(config.rerun), config_of(job))
    if config.dry_run:
        dry(job)
        return None
    metric = perform(job)
    if config.rerun is not None:
        log.info(rerun.compare(Path(config.rerun), job.directory))
    return metric


def perform(job: Job) -> float | None:
    """Make a run, and leave its record in its directory.

    In a study, and where job.composed.resume asks for it, a run that is there already is taken up from its last
    checkpoint; in a study it is left as it is if it is finished, and begun anew if it failed.

    Returns the best validation accuracy (classification) or loss (regression), None where nothing was validated or no
    epoch ended. Raises RunFailed after an error, which is in the log and in summary.json by then; UserError, before
    anything is written, where the directory holds another run; record.Busy while another process is making this one.
    """
    quiet_libraries()
    with record.locked(job.directory):
        finished, left = found(job)
        if finished is not None:
            return best(finished)
        with written_down(job, left) as account, denormals_flushed():
            train(job, left, account)
        report(account.summary, job.directory)
        return best(account.summary)


def found(job: Job) -> tuple[dict[str, Any] | None, Left | None]:
    """What the job's directory, which this process owns, holds of its run: the summary, if it is finished; else what it
    can go on from, if anything. What is no use is removed. Raises UserError where another run is there."""
    directory = job.directory
    record.remove_temporary(directory)
    status, summary = record.state(directory)
    if job.composed.resume is not None:
        return None, resume.as_asked(directory, status, config_of(job), job.study)
    if status == record.ABSENT:
        return None, None
    if not job.of_study:
        raise record.RecordError(
            f"{directory} holds the record of a run already. Choose another directory (hydra.run.dir=DIR), go on with "
            "that run (resume=DIR), or delete it."
        )
    config = config_of(job)
    if summary is not None and summary.get("identity") not in (None, record.identity(config)):
        raise resume.other_run(directory, summary["config"], config)
    if summary is not None and status in record.FINISHED:
        return summary, None
    left = resume.for_study(directory, status, config)
    if left is None:
        record.clear(directory)
    return None, left


def dry(job: Job) -> None:
    """Say what would be run. What Hydra has made for the run is removed again."""
    config = config_of(job)
    status, _ = record.state(job.directory)
    if job.composed.resume is not None:
        left = resume.as_asked(job.directory, status, config, job.study)
        what = f"{job.directory} would be taken up after epoch {left.epoch}"
    else:
        what = f"The configuration is in order; the run would go to {job.directory}"
    log.info("%s. Nothing was run (dry_run=true).", what)
    if status == record.ABSENT:
        (job.directory / record.LOG).unlink(missing_ok=True)
        if not any(job.directory.iterdir()):
            job.directory.rmdir()


def config_of(job: Job) -> dict[str, Any]:
    return (job.choices or choices(job.composed)).config


def best(summary: Mapping[str, Any]) -> float | None:
    """The figure that a finished run is judged by."""
    statistics = summary["statistics"]
    value: float | None = statistics.get("best_val_acc", statistics.get("best_val_loss"))
    return value


@dataclass
class Account:
    """What is said of a run in its summary.json, while it is made.

    Attributes:
        begun: whether the record in the directory is that of this attempt, no longer what was left there.
    """

    job: Job
    summary: dict[str, Any]
    begun: bool = False

    def begin(self) -> None:
        """Called before anything is written into the record."""
        self.job.save_composition()
        (self.job.directory / record.SUMMARY).unlink(missing_ok=True)
        self.begun = True


@contextmanager
def written_down(job: Job, left: Left | None) -> Iterator[Account]:
    """While a run is made, or gone on with, in a directory that this process owns. Its summary says how it ended.

    Raises RunFailed after an error, KeyboardInterrupt after an interruption; both are in the log by then.
    """
    directory = job.directory
    summary: dict[str, Any] = {
        "status": record.FAILED,
        "study": job.study,
        "started": left.started if left else datetime.now().astimezone().isoformat(timespec="seconds"),
        "overrides": job.overrides,
        "command": job.command,
        "seed": job.composed.seed,
        **versions_and_commit(),
    }
    account = Account(job, summary)
    if left is None:
        account.begin()
    try:
        chosen = job.choices or choices(job.composed)
        summary |= {"choices": chosen.options, "set": chosen.given, "config": chosen.config}
        summary["identity"] = record.identity(chosen.config)
        yield account
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning exits after Ctrl-C; after SIGTERM with an exit of its own
        meant = isinstance(error.__context__, KeyboardInterrupt) or isinstance(error, SIGTERMException)
        if isinstance(error, SystemExit) and not meant:
            summary |= {"status": record.FAILED, "message": f"Something in the run exits the process ({error.code})."}
            log.exception("error: %s", summary["message"])
            raise RunFailed(summary["message"]) from error
        summary |= {"status": record.INTERRUPTED}
        log.warning("Interrupted; what was recorded until then is in %s", directory)
        raise KeyboardInterrupt from None
    except (UserError, OSError, OmegaConfBaseException) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # nothing of the run's own: it can go on when there is room again
        summary |= {"status": record.INTERRUPTED if full else record.FAILED, "message": explain(error)}
        log.error("error: %s", explain(error))
        raise RunFailed(explain(error)) from error
    except Exception as error:
        message = f"{type(error).__name__}: {' '.join([str(error), *getattr(error, '__notes__', ())])}"
        summary |= {"status": record.FAILED, "message": message}
        log.exception("error: %s in the run in %s", type(error).__name__, directory)
        raise RunFailed(message) from error
    finally:
        if account.begun:  # else what was left is still all there is
            record.write_json(directory / record.SUMMARY, summary)


def threads_of(job: Job, config: Mapping[str, Any], left: Left | None) -> int | None:
    """As asked for; else as before, since another number gives other last digits; else as the launcher says."""
    return config["threads"] if config["threads"] is not None else left.threads if left else job.threads


@dataclass
class Prepared:
    """A run with everything built that trains, and nothing trained.

    Attributes:
        config: resolved, with the number of threads that it is made with.
        data: read.
        learner: with its network as it is before training, its layers found.
        description: what checkpoints say of it.
    """

    config: dict[str, Any]
    data: InMemory
    learner: Learner
    description: dict[str, Any]


def prepare(job: Job, left: Left | None, summary: dict[str, Any]) -> Prepared:
    """Build a run, fill in what `summary` can say of it by now, and tell the log of the network."""
    config = {**summary["config"], "threads": threads_of(job, summary["config"], left)}
    for key, value, least in (
        ("seed", config["seed"], 0),
        ("trainer.max_epochs", config["trainer"]["max_epochs"], 1),
        ("threads", THREADS if config["threads"] is None else config["threads"], 1),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{key} is {value!r}; it must be a whole number, at least {least}.")
    processes = count(config)
    torch.set_num_threads(config["threads"] or max(1, THREADS // processes))
    if config["figures"] not in (None, True, False):
        raise UserError(f"figures is {config['figures']!r}; it must be true, false or null.")
    clip = config["trainer"].get("gradient_clip_val")
    if clip is not None and not clip > 0:
        raise UserError(f"trainer.gradient_clip_val is {clip!r}; it must be above 0, or null for no clipping.")

    data = build_data(config)
    data.prepare_data()
    data.setup("fit")
    assert data.train is not None and data.val is not None
    summary["data"] = {"sha256": data.fingerprint, "train": len(data.train[0]), "val": len(data.val[0])}
    if left is not None and left.data != data.fingerprint:
        raise UserError(
            f"The data are no longer those that the run began with (their hash was {left.data[:8]}, is now "
            f"{data.fingerprint[:8]}). Bring those back, or make the run anew: remove {job.directory}."
        )

    learner, calls = build_initial(config, data)
    network = learner.network
    learner.layers = layers.weight_layers(network, calls)
    learner.initial = {layer.path: layer.weight.detach().clone() for layer in learner.layers}
    parameters = sum(p.numel() for p in network.parameters())
    log.info("%s\n%s", type(network).__name__, layers.table(calls, parameters))
    del calls  # they hold what went through the network
    summary["statistics"] = {"parameters": parameters}
    target_mean = None
    if isinstance(learner, Regressor):
        target_mean = float(data.train[1].double().mean())
        if len(data.val[0]):
            baseline = learner.loss(torch.full_like(data.val[1], target_mean), data.val[1])
            summary["statistics"]["baseline_val_loss"] = float(baseline)
    check_batch_norm(network, data, processes, bool(config["trainer"].get("sync_batchnorm")))

    summary["processes"], summary["threads"] = processes, torch.get_num_threads()
    description = {
        "config": record.with_absolute_paths(config),  # so that it can be loaded from anywhere
        "statistics": data.statistics(),
        "target_mean": target_mean,
        "identity": summary["identity"],
        "data": data.fingerprint,
        "threads": torch.get_num_threads(),
        "started": summary["started"],
    }
    return Prepared(config, data, learner, description)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Numbers below 1.2e-38 are 0 meanwhile. An optimizer's averages of a unit that is dead fade through such numbers,
    with which a CPU computes many times as long. Around all of a run: torch's threads do as the one that makes them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def train(job: Job, left: Left | None, account: Account) -> None:
    """Build everything, fit, and fill in the summary, also where an exception ends the run."""
    summary, directory = account.summary, job.directory
    prepared = prepare(job, left, summary)
    config, data, learner, description = prepared.config, prepared.data, prepared.learner, prepared.description
    processes = summary["processes"]
    assert data.train is not None and data.val is not None
    instruments, others = build_callbacks(config)
    figures = summary["study"] is None if config["figures"] is None else config["figures"]
    checkpoints = Checkpoints(directory, description)
    recorder = Recorder(directory, hyperparameters(summary), instruments, checkpoints, figures)
    if processes == 1:
        trainer = build_trainer(without_ddp(config), directory, [recorder, checkpoints, *others])
    else:
        callbacks = [recorder, checkpoints, Interruptible(), *others]
        trainer = build_trainer(config, directory, callbacks, strategy(config, Place(0, processes)))
    if trainer.world_size != processes:
        raise UserError(
            f"trainer.devices={config['trainer']['devices']}: a run trains on one device. For several processes choose "
            "trainer=ddp; there is no other strategy here."
        )
    device = trainer.strategy.root_device
    summary["device"] = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    where = f"cpu, {summary['threads']} threads" if device.type == "cpu" else summary["device"]
    if processes > 1:
        where = f"{processes} processes, each on {where}"
    log.info("%d training, %d validation samples; %s", len(data.train[0]), len(data.val[0]), where)
    if left is not None:
        account.begin()
        log.info("Taken up after epoch %d.", left.epoch)
        for logger in trainer.loggers:
            go_on_after(logger, left.epoch)
    checkpoint = left.path if left else None
    try:
        with other_ranks(config, directory, processes, device, checkpoint):
            trainer.fit(learner, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    finally:
        recording = recorder.recording
        if recording is not None and recording.rows:
            summary["statistics"] |= recording.statistics()
        if recording is not None and recording.taken_up:
            summary["taken_up"] = recording.taken_up
        for logger in trainer.loggers:
            close(logger)
    if recording is None or not recording.rows:
        raise UserError("No epoch was trained: the trainer's options leave no batch to train on.")
    summary["status"] = record.DIVERGED if recording.diverged else record.COMPLETED
    if recording.diverged:
        summary["diverged"] = recording.diverged


def hyperparameters(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is told apart by in a logger's table: its choices, and every value of its experiment, flat."""
    flat = record.flatten(record.experimental(summary["config"]))
    values = {key: value for key, value in flat.items() if not key.endswith("_target_") and key != "data.seed"}
    execution = ("trainer", "callbacks", "logger")
    return {**{group: option for group, option in summary["choices"].items() if group not in execution}, **values}
