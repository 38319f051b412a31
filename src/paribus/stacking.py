"""Which runs can be trained as one, and making them."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.core.utils import env_override, setup_globals
from torch import nn

from paribus import record
from paribus.build import build_callbacks, build_data, build_initial, build_loggers
from paribus.callbacks.checkpoints import Checkpoints
from paribus.callbacks.divergence import Divergence
from paribus.callbacks.progress import Progress
from paribus.command import quiet_libraries
from paribus.data.module import InMemory
from paribus.display import report
from paribus.engines import attempt, ended_by
from paribus.job import Job
from paribus.loggers import go_on_after
from paribus.models.learners import Learner
from paribus.models.stacked import NotStackable, stack
from paribus.recording import Recording
from paribus.run import Account, denormals_flushed, found, hyperparameters, prepare, written_down
from paribus.stack import Member, Stack
from paribus.stacked_optim import StackedOptimizer
from paribus.study import Ended

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
COPIES = 12  # of a parameter in memory
TRAINER = {"_target_", "accelerator", "devices", "precision", "max_epochs", "gradient_clip_val", "deterministic"}


def reason_alone(config: Mapping[str, Any]) -> str | None:
    """Why a run of this configuration is made by itself, as far as the configuration tells; None: it may be stacked."""
    trainer = config["trainer"]
    if trainer["_target_"] != "lightning.Trainer":
        return f"its trainer is {trainer['_target_']}"
    on_cpu = trainer["accelerator"] == "cpu" or (
        trainer["accelerator"] == "auto" and not torch.accelerator.is_available()
    )
    if not on_cpu:
        return "it trains on a GPU"
    if any(node["_target_"] != "paribus.loggers.TensorBoard" for node in config["logger"].values()):
        return "its logger is not TensorBoard"
    more = sorted(set(trainer) - TRAINER)
    if more:
        return f"trainer.{more[0]} is set"
    if trainer["devices"] != 1:
        return "it takes several devices"
    if trainer["precision"] not in ("32-true", 32, "32"):
        return f"its precision is {trainer['precision']}"
    if trainer["gradient_clip_val"] is not None:
        return "its gradients are clipped"
    if config["data"].get("augment"):
        return "its data are augmented"
    if config["figures"]:
        return "it draws figures"
    return None


def key_of(config: Mapping[str, Any]) -> str:
    """What runs of a stack have to agree in, as text: everything but seeds and what a stack keeps for each run."""
    own = {"optim": ("_target_",), "scheduler": ("_target_", "interval")}
    agreed = {part: {key: config[part].get(key) for key in keys} for part, keys in own.items()}
    model = {key: value for key, value in config["model"].items() if key != "init"}
    model["dropout"] = bool(model.get("dropout"))
    data = {key: value for key, value in config["data"].items() if key not in ("seed", "log_age")}
    same = {key: config[key] for key in ("activation", "trainer", "callbacks", "logger", "threads")}
    return json.dumps([agreed, model, data, same], sort_keys=True, default=str)


def _built(job: Job) -> tuple[InMemory, Learner]:
    data = build_data(job.config)
    data.prepare_data()
    data.setup("fit")
    return data, build_initial(job.config, data)[0]


def require_stackable(job: Job) -> None:
    """Raises NotStackable where the run cannot be stacked, whatever the others are."""
    config = job.config
    data, learner = _built(job)
    if data.augment is not None:
        raise NotStackable("its data are augmented")
    network = stack([learner.network, learner.network])
    optimizer = learner.optimizer_of([nn.Parameter(torch.zeros(1))])
    StackedOptimizer([next(network.parameters())], [optimizer, optimizer])
    instruments, others = build_callbacks(config)
    # of its own: a subclass may do what a stack knows nothing of
    alone = [name for name, instrument in instruments.items() if vars(type(instrument)).get("in_stack") is None]
    alone += [name for name, i in instruments.items() if isinstance(i, Divergence) and i.look is False]
    alone += [type(other).__name__ for other in others if not isinstance(other, Progress)]
    if alone:
        raise NotStackable(f"callbacks.{alone[0]} looks at one run")


def sorted_out(jobs: Sequence[Job]) -> tuple[list[list[Job]], dict[str, list[Job]]]:
    """Groups of runs that can be trained as one, and, by the reason, those that are made alone."""
    alone: dict[str, list[Job]] = {}
    alike: dict[str, list[Job]] = {}
    for job in jobs:
        reason = reason_alone(job.config)
        if reason is None:
            alike.setdefault(key_of(job.config), []).append(job)
        else:
            alone.setdefault(reason, []).append(job)
    groups: list[list[Job]] = []
    for together in alike.values():
        if len(together) == 1:
            alone.setdefault("no other run is like it", []).extend(together)
            continue
        try:
            require_stackable(together[0])
        except NotStackable as error:
            alone.setdefault(str(error), []).extend(together)
        except Exception:  # noqa: BLE001  what is wrong with it is said when it is made
            alone.setdefault("it cannot be built", []).extend(together)
        else:
            groups.append(together)
    return groups, alone


def chunks_of(group: Sequence[Job], at_once: int, most: int | None) -> list[list[Job]]:
    """The group in stacks of about equal size, one a process or more, none larger than `most` or than what fits."""
    size = -(-len(group) // at_once)
    size = max(1, min(size, most or size, fitting(group[0], at_once), files()))
    number = -(-len(group) // size)
    return [list(group[i::number]) for i in range(number)]


def files() -> int:
    """How many runs' files this process may have open at once."""
    if resource is None:
        return 100
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - 100) // 5) if soft != resource.RLIM_INFINITY else 10_000


def fitting(job: Job, at_once: int) -> int:
    """How many runs like this one fit into a process's share of half of the memory that is free."""
    data, learner = _built(job)
    tensors = [*(data.train or ()), *(data.val or ())]
    # the data, in the order of an epoch once more; the parameters with their gradients, directions, states and copies
    needed = 2 * sum(t.numel() * t.element_size() for t in tensors)
    needed += COPIES * sum(p.numel() * p.element_size() for p in learner.network.parameters())
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system can tell
        free = 4 * 2**30
    return max(1, int(free / 2 / at_once / max(needed, 1)))


@dataclass
class Admitted:
    """A run that is locked, and has been built: what leaving it does is in `exits`."""

    job: Job
    account: Account
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


def attempt_stack(jobs: Sequence[Job]) -> list[Ended]:
    """Make runs as one, whatever becomes of them; those that cannot be stacked after all one by one."""
    setup_globals()
    quiet_libraries()
    ended: dict[Path, Ended] = {}
    admitted: list[Admitted] = []
    interrupted: KeyboardInterrupt | None = None
    with env_override({str(name): str(value) for name, value in jobs[0].hydra.job.env_set.items()}):
        for job in jobs:
            try:
                outcome = _admit(job)
            except KeyboardInterrupt as error:
                interrupted = error
                break
            except BaseException as error:  # noqa: BLE001  sorted there
                outcome = ended_by(error, job, console=False)
            if isinstance(outcome, Admitted):
                admitted.append(outcome)
            elif outcome is not None:
                ended[job.directory] = outcome
        alike: dict[tuple[Any, ...], list[Admitted]] = {}
        for run in admitted:
            alike.setdefault(run.shape, []).append(run)
        for runs in alike.values():
            interrupted = _make(runs, ended, interrupted)
    if interrupted is not None:  # nothing more begins
        return [ended.get(job.directory, Ended(message="interrupted")) for job in jobs]
    return [ended.get(job.directory) or attempt(job, console=False) for job in jobs]


def _admit(job: Job) -> Admitted | Ended | None:
    """Lock and build a run. None: it is to be made alone."""
    job.directory.mkdir(parents=True, exist_ok=True)
    job.configure_logging(console=False)
    with ExitStack() as exits:
        try:
            exits.enter_context(record.locked(job.directory))
        except record.Busy:
            return Ended(busy=True)
        finished, left = found(job)
        if finished is not None:
            return Ended()
        if left is not None and left.ended:
            return None
        account = exits.enter_context(written_down(job, left))
        prepared = prepare(job, left, account.summary)
        if left is not None:
            account.begin()
            log.info("Taken up after epoch %d.", left.epoch)
        loggers = build_loggers(prepared.config, job.directory)
        for logger in loggers:
            if left is not None:
                go_on_after(logger, left.epoch)
        epochs = int(prepared.config["trainer"]["max_epochs"])
        told = hyperparameters(account.summary)
        recording = Recording(job.directory, told, prepared.learner.columns, epochs, loggers)
        checkpoints = Checkpoints(job.directory, prepared.description)
        instruments, _ = build_callbacks(prepared.config)
        stored = None if left is None else torch.load(left.path, map_location="cpu", weights_only=True)
        member = Member(prepared, recording, instruments, checkpoints, stored)
        return Admitted(job, account, member, exits.pop_all())
    raise AssertionError


def _make(
    runs: Sequence[Admitted], ended: dict[Path, Ended], interrupted: KeyboardInterrupt | None
) -> KeyboardInterrupt | None:
    """Train runs of the same shape as one, and leave each of them. One by itself is only let go of. After an
    interruption they are only left; returns it, also where it comes here."""
    failure: BaseException | None = interrupted
    if failure is None and len(runs) == 1:
        _let_go(runs[0])
        return None
    runs = sorted(runs, key=lambda run: json.dumps(run.member.prepared.config["optim"], sort_keys=True, default=str))
    if failure is None:
        try:
            instruments, _ = build_callbacks(runs[0].member.prepared.config)
            together = {name: i for name, i in instruments.items() if i.in_stack == "together"}
            stacked = Stack([run.member for run in runs], together)
        except KeyboardInterrupt as error:
            failure = error
        except Exception as error:  # noqa: BLE001  what is wrong with a run is said when it is made alone
            for run in runs:
                log.warning("Made alone: %s.", error)
                _let_go(run)
            return None
        else:
            try:
                with denormals_flushed():
                    stacked.fit()
            except BaseException as error:  # noqa: BLE001  it is told of every run below
                failure = error
    for run in runs:
        run.job.configure_logging(console=False)
        try:
            _leave(run, len(runs), failure)
            ended[run.job.directory] = Ended()
        except BaseException as error:  # noqa: BLE001
            ended[run.job.directory] = ended_by(error, run.job, console=False)
    return failure if isinstance(failure, KeyboardInterrupt) else None


def _let_go(run: Admitted) -> None:
    """Leave a run to be made alone."""
    run.account.begun = False
    with run.exits:
        for logger in run.member.recording.loggers:
            logger.finalize("aborted")


def _leave(run: Admitted, together: int, failure: BaseException | None) -> None:
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
    report(summary, run.job.directory)
