"""Execute several runs as one stack: lock and build each, train them together, finish each record."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.core.utils import env_override, setup_globals

from paribus import record
from paribus.data.module import InMemory
from paribus.instruments.probe import ProbeInstrument
from paribus.loggers.lifecycle import resume_logger
from paribus.run.attempt import Outcome, attempt, claim, classify_error
from paribus.run.build import build_callbacks, build_loggers
from paribus.run.execute import inspect_directory
from paribus.run.lifecycle import SummaryKeeper, keep_summary
from paribus.run.logs import LogFile
from paribus.run.prepare import collect_hyperparameters, prepare
from paribus.run.report import add_diagnosis, report_end
from paribus.run.spec import Job
from paribus.stacked.device import choose_device, choosing_algorithms, describe_device, move_parts
from paribus.stacked.member import Member
from paribus.stacked.modules import treats_samples_alone
from paribus.stacked.stack import Stack
from paribus.training.checkpoints import Checkpoints, read_checkpoint
from paribus.training.learner import Learner
from paribus.training.recording import Recording

log = logging.getLogger(__name__)


@dataclass
class LockedMember:
    """A member of a stack whose directory this process owns; closing `exits` writes its summary and unlocks it."""

    job: Job
    keeper: SummaryKeeper
    member: Member
    exits: ExitStack

    @property
    def shape(self) -> tuple[Any, ...]:
        """The values that runs of one stack share: epochs done, sizes of data, shapes of the network's tensors."""
        data, stored, network = self.member.data, self.member.stored, self.member.learner.network
        shapes = tuple((name, tuple(t.shape)) for name, t in network.state_dict().items())
        epoch = 0 if stored is None else stored["recorder"]["epoch"]
        train, val = data.count("train"), data.count("val")
        sizes: tuple[int, ...] = train, val
        instruments = self.member.instruments.values()
        if treats_samples_alone(network) and all(type(each).__module__.startswith("paribus.") for each in instruments):
            # What these see of the training part must agree: its probe, and for critical_sharpness whole batches.
            probe = min(train, max((i.probe_size for i in instruments if isinstance(i, ProbeInstrument)), default=0))
            sizes = -(-train // data.batch_size), train % data.batch_size == 0, probe, val > 0, val >= record.N_FOLDS
        return epoch, sizes, data.batch_size, data.eval_batch_size, data.in_shape, shapes

    def release(self) -> None:
        """Unlock the run without writing a summary, so that it can be executed alone."""
        self.keeper.begun = False
        with self.exits:
            for logger in self.member.recording.loggers:
                logger.finalize("aborted")

    def finish(self, size: int, failure: BaseException | None) -> None:
        """Write the summary and unlock the run. Raise its own error, or the `failure` of the stack of `size` runs."""
        summary, recording, member = self.keeper.summary, self.member.recording, self.member
        with self.exits:
            summary["device"], summary["stacked"] = describe_device(member.learner.device), size
            if recording.rows:
                summary["statistics"] |= recording.compute_statistics()
                summary["instruments"] = member.calls.summarise(recording.new_epoch_seconds, recording.measured)
            if recording.taken_up:
                summary["taken_up"] = recording.taken_up
            if not member.ended:
                recording.close()
                member.checkpoints.write_best()
            for logger in recording.loggers:
                logger.finalize("success" if member.ended else "failed")
            if member.failure is not None:
                raise member.failure
            if failure is not None and not member.ended:
                raise failure
            summary["status"] = record.DIVERGED if recording.diverged else record.COMPLETED
            if recording.diverged:
                summary["diverged"] = recording.diverged
            add_diagnosis(summary, self.job.directory)
        log.info("Trained in a stack of %d runs.", size)
        report_end(summary, self.job.directory)


def attempt_stack(jobs: Sequence[Job]) -> list[Outcome]:
    """Execute runs as one stack, and alone those that turn out not to be stackable. Return an outcome for each."""
    setup_globals()
    if jobs[0].find_study_stop():
        return [Outcome(stopped=True)] * len(jobs)
    outcomes: dict[Path, Outcome] = {}
    locked: list[LockedMember] = []
    interruption: KeyboardInterrupt | None = None
    environment = {str(name): str(value) for name, value in jobs[0].hydra.job.env_set.items()}
    with env_override(environment):
        for job in jobs:
            try:
                result = _lock_and_build(job, len(jobs))
            except KeyboardInterrupt as error:
                interruption = error
                break
            except BaseException as error:  # noqa: BLE001  classify_error raises again what is not the run's
                result = classify_error(error, job, console=False)
            if isinstance(result, LockedMember):
                locked.append(result)
            elif result is not None:
                outcomes[job.directory] = result
        by_shape: dict[tuple[Any, ...], list[LockedMember]] = {}
        for run in locked:
            by_shape.setdefault(run.shape, []).append(run)
        for runs in by_shape.values():
            interruption = _train_members(runs, outcomes, interruption)
    if interruption is not None:  # no further run starts
        return [outcomes.get(job.directory, Outcome(message="interrupted")) for job in jobs]
    return [outcomes.get(job.directory) or attempt(job, console=False) for job in jobs]


def _lock_and_build(job: Job, size: int) -> LockedMember | Outcome | None:
    """Lock and build a run of a stack of `size` runs. Return None for a run that has to be executed alone."""
    claimed = claim(job)
    if claimed != job.directory:
        return Outcome(moved_to=claimed)
    job.configure_logging(console=False)
    with ExitStack() as exits:
        try:
            exits.enter_context(record.lock_directory(job.directory))
        except record.BusyError:
            return Outcome(busy=True)
        finished, resume_point = inspect_directory(job)
        if finished is not None:
            return Outcome()
        if resume_point is not None and resume_point.ended:
            return None
        keeper = exits.enter_context(keep_summary(job, resume_point))
        prepared = prepare(job, resume_point, keeper, stacked=size)
        if resume_point is not None:
            keeper.begin()
            log.info("Resumed after epoch %d.", resume_point.epoch)
        device = choose_device(prepared.config["trainer"])
        assert device is not None and isinstance(prepared.learner, Learner) and isinstance(prepared.data, InMemory)
        move_parts(prepared.learner, prepared.data, device)
        loggers = build_loggers(prepared.config, job.directory, in_study=True)
        for logger in loggers:
            if resume_point is not None:
                resume_logger(logger, resume_point.epoch)
        epochs = int(prepared.config["trainer"]["max_epochs"])
        hyperparameters = collect_hyperparameters(job, prepared.config)
        recording = Recording(
            job.directory, hyperparameters, prepared.learner.columns, epochs, loggers, prepared.metric
        )
        stored = None if resume_point is None else read_checkpoint(resume_point.path)
        checkpoints = Checkpoints(
            job.directory, prepared.description, prepared.metric, stop_directories=job.stop_directories
        )
        member = Member(prepared, recording, checkpoints, stored)
        member.attach_instruments()
        return LockedMember(job, keeper, member, exits.pop_all())
    raise AssertionError


def _train_members(
    runs: Sequence[LockedMember], outcomes: dict[Path, Outcome], interruption: KeyboardInterrupt | None
) -> KeyboardInterrupt | None:
    """Train runs of the same shape as one stack, and finish each of them. Return the interruption, if there was one.

    A single run is only released. After an interruption, runs are finished without training.
    """
    failure: BaseException | None = interruption
    halves: list[Sequence[LockedMember]] = []
    if failure is None and len(runs) == 1:
        runs[0].release()
        return None
    runs = sorted(runs, key=lambda run: json.dumps(run.member.prepared.config["optim"], sort_keys=True, default=str))
    if failure is None:
        first = runs[0].member
        algorithms = choosing_algorithms(first.prepared.config["trainer"], first.learner.device)
        with logging_to_all([run.job.directory for run in runs]), algorithms:
            try:
                instruments, _ = build_callbacks(first.prepared.config)
                shared = {name: i for name, i in instruments.items() if i.in_stack == "together"}
                stack = Stack([run.member for run in runs], shared, runs[0].job.composed.get("pause"))
            except KeyboardInterrupt as error:
                failure = error
            except torch.OutOfMemoryError:
                halves = [runs[: len(runs) // 2], runs[len(runs) // 2 :]]
                sizes = " and ".join(str(len(half)) for half in halves)
                log.warning("A stack of %d runs does not fit into the device's memory: cut into %s.", len(runs), sizes)
            except Exception as error:  # noqa: BLE001  executing the run alone reports what is wrong with it
                log.warning("Executed alone: %s.", error)
                for run in runs:
                    run.release()
                return None
            else:
                try:
                    stack.fit()
                except BaseException as error:  # noqa: BLE001  raised again below for each run that it ended
                    failure = error
    if halves:
        torch.cuda.empty_cache()
        for half in halves:
            interruption = _train_members(half, outcomes, interruption)
        return interruption
    for run in runs:
        run.job.configure_logging(console=False)
        try:
            run.finish(len(runs), failure)
            outcomes[run.job.directory] = Outcome()
        except BaseException as error:  # noqa: BLE001
            outcomes[run.job.directory] = classify_error(error, run.job, console=False)
    return failure if isinstance(failure, KeyboardInterrupt) else None


@contextmanager
def logging_to_all(directories: Sequence[Path]) -> Iterator[None]:
    """Write log lines to the files of all these runs, not only to the file of the run that was built last."""
    root = logging.getLogger()
    before, opened = root.handlers, list[logging.Handler]()
    for handler in (handler for handler in before if isinstance(handler, logging.FileHandler)):
        for directory in directories:
            opened.append(LogFile(directory / Path(handler.baseFilename).name, delay=True))
            opened[-1].setFormatter(handler.formatter)
            opened[-1].setLevel(handler.level)
    root.handlers = [handler for handler in before if not isinstance(handler, logging.FileHandler)] + opened
    try:
        yield
    finally:
        root.handlers = before
        for file in opened:
            file.close()
