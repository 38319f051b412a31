"""Making runs as one: each is locked and built, all are trained, each is left with its record."""

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
from paribus.loggers.lifecycle import resume_logger
from paribus.run.attempt import Outcome, attempt, outcome_of
from paribus.run.build import build_callbacks, build_loggers
from paribus.run.execute import inspect_directory
from paribus.run.lifecycle import SummaryKeeper, keep_summary
from paribus.run.logs import LogFile
from paribus.run.prepare import collect_hyperparameters, prepare
from paribus.run.report import report_end
from paribus.run.spec import Job
from paribus.stacked.member import Member
from paribus.stacked.stack import Stack
from paribus.training.checkpoints import Checkpoints
from paribus.training.recording import Recording

log = logging.getLogger(__name__)


@dataclass
class LockedMember:
    """A run that is locked, and has been built: what leaving it does is in `exits`."""

    job: Job
    account: SummaryKeeper
    member: Member
    exits: ExitStack

    @property
    def shape(self) -> tuple[Any, ...]:
        """What runs of one stack agree in: epochs that they have behind them, sizes of data and network."""
        data, stored = self.member.prepared.data, self.member.stored
        assert data.train is not None and data.val is not None
        network = tuple((name, tuple(t.shape)) for name, t in self.member.learner.network.state_dict().items())
        epoch = 0 if stored is None else stored["recorder"]["epoch"]
        return epoch, len(data.train[0]), len(data.val[0]), data.in_shape, network


def attempt_stack(jobs: Sequence[Job]) -> list[Outcome]:
    """Make runs as one, whatever becomes of them; those that cannot be stacked after all one by one."""
    setup_globals()
    ended: dict[Path, Outcome] = {}
    admitted: list[LockedMember] = []
    interrupted: KeyboardInterrupt | None = None
    environment = {str(name): str(value) for name, value in jobs[0].hydra.job.env_set.items()}
    with env_override(environment):
        for job in jobs:
            try:
                outcome = _lock_and_build(job)
            except KeyboardInterrupt as error:
                interrupted = error
                break
            except BaseException as error:  # noqa: BLE001  sorted there
                outcome = outcome_of(error, job, console=False)
            if isinstance(outcome, LockedMember):
                admitted.append(outcome)
            elif outcome is not None:
                ended[job.directory] = outcome
        alike: dict[tuple[Any, ...], list[LockedMember]] = {}
        for run in admitted:
            alike.setdefault(run.shape, []).append(run)
        for runs in alike.values():
            interrupted = _train_members(runs, ended, interrupted)
    if interrupted is not None:  # nothing more begins
        return [ended.get(job.directory, Outcome(message="interrupted")) for job in jobs]
    return [ended.get(job.directory) or attempt(job, console=False) for job in jobs]


def _lock_and_build(job: Job) -> LockedMember | Outcome | None:
    """Lock and build a run. None: it is to be made alone."""
    job.directory.mkdir(parents=True, exist_ok=True)
    job.configure_logging(console=False)
    with ExitStack() as exits:
        try:
            exits.enter_context(record.lock_directory(job.directory))
        except record.Busy:
            return Outcome(busy=True)
        finished, left = inspect_directory(job)
        if finished is not None:
            return Outcome()
        if left is not None and left.ended:
            return None
        account = exits.enter_context(keep_summary(job, left))
        prepared = prepare(job, left, account.summary)
        if left is not None:
            account.begin()
            log.info("Taken up after epoch %d.", left.epoch)
        loggers = build_loggers(prepared.config, job.directory)
        for logger in loggers:
            if left is not None:
                resume_logger(logger, left.epoch)
        epochs = int(prepared.config["trainer"]["max_epochs"])
        told = collect_hyperparameters(account.summary)
        recording = Recording(job.directory, told, prepared.learner.columns, epochs, loggers)
        checkpoints = Checkpoints(job.directory, prepared.description)
        instruments, _ = build_callbacks(prepared.config)
        stored = None if left is None else torch.load(left.path, map_location="cpu", weights_only=True)
        member = Member(prepared, recording, instruments, checkpoints, stored)
        member.attach()
        return LockedMember(job, account, member, exits.pop_all())
    raise AssertionError


def _train_members(
    runs: Sequence[LockedMember], ended: dict[Path, Outcome], interrupted: KeyboardInterrupt | None
) -> KeyboardInterrupt | None:
    """Train runs of the same shape as one, and leave each of them. One by itself is only let go of. After an
    interruption they are only left; returns it, also where it comes here."""
    failure: BaseException | None = interrupted
    if failure is None and len(runs) == 1:
        _release_member(runs[0])
        return None
    runs = sorted(runs, key=lambda run: json.dumps(run.member.prepared.config["optim"], sort_keys=True, default=str))
    if failure is None:
        with logging_to_all([run.job.directory for run in runs]):
            try:
                instruments, _ = build_callbacks(runs[0].member.prepared.config)
                together = {name: i for name, i in instruments.items() if i.in_stack == "together"}
                stacked = Stack([run.member for run in runs], together)
            except KeyboardInterrupt as error:
                failure = error
            except Exception as error:  # noqa: BLE001  what is wrong with a run is said when it is made alone
                log.warning("Made alone: %s.", error)
                for run in runs:
                    _release_member(run)
                return None
            else:
                try:
                    stacked.fit()
                except BaseException as error:  # noqa: BLE001  it is told of every run below
                    failure = error
    for run in runs:
        run.job.configure_logging(console=False)
        try:
            _finish_member(run, len(runs), failure)
            ended[run.job.directory] = Outcome()
        except BaseException as error:  # noqa: BLE001
            ended[run.job.directory] = outcome_of(error, run.job, console=False)
    return failure if isinstance(failure, KeyboardInterrupt) else None


@contextmanager
def logging_to_all(directories: Sequence[Path]) -> Iterator[None]:
    """What is said meanwhile goes into the log of each of these runs, not only of the one that was built last."""
    root = logging.getLogger()
    before, more = root.handlers, list[logging.Handler]()
    for handler in (handler for handler in before if isinstance(handler, logging.FileHandler)):
        for directory in directories:
            more.append(LogFile(directory / Path(handler.baseFilename).name, delay=True))
            more[-1].setFormatter(handler.formatter)
            more[-1].setLevel(handler.level)
    root.handlers = [handler for handler in before if not isinstance(handler, logging.FileHandler)] + more
    try:
        yield
    finally:
        root.handlers = before
        for opened in more:
            opened.close()


def _release_member(run: LockedMember) -> None:
    """Leave a run to be made alone."""
    run.account.begun = False
    with run.exits:
        for logger in run.member.recording.loggers:
            logger.finalize("aborted")


def _finish_member(run: LockedMember, together: int, failure: BaseException | None) -> None:
    """Write a run's summary, and let go of it. Raises as a run alone would."""
    summary, recording, member = run.account.summary, run.member.recording, run.member
    with run.exits:
        summary["device"], summary["stacked"] = "cpu", together
        if recording.rows:
            summary["statistics"] |= recording.statistics()
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
    log.info("Trained as one with %d other runs.", together - 1)
    report_end(summary, run.job.directory)
