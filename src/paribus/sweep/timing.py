"""Time training steps in a worker process: of a run alone, or of a stack of runs like it."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning
import torch

from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.process import prepare_to_train
from paribus.run.build import build_trainer
from paribus.run.spec import Job
from paribus.run.trial import try_building
from paribus.stacked.modules import NotStackable, set_generators, stack_modules
from paribus.training.learner import Learner
from paribus.training.observed import average_loss

WARM_UP = 3  # steps


class _Enough(Exception):
    """Ends a fit whose steps have been timed."""


class _Clock(lightning.Callback):
    """Ends training after some seconds. What comes before the first step of a fit is not counted."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.steps = -WARM_UP

    def on_train_batch_end(self, *arguments: Any) -> None:
        self.steps += 1
        if self.steps <= 0:
            self.started = time.perf_counter()
        self.taken = time.perf_counter() - self.started
        if self.steps > 0 and self.taken > self.seconds:
            raise _Enough


def time_steps(job: Job, size: int, threads: int | None, seconds: float) -> float | str:
    """Return the seconds of a training step, or the reason why none can be timed.

    Args:
        size: the number of runs like the job's that are trained as one stack; 1: the run alone, by Lightning.
        threads: the number of threads; None: as many as a run alone has by default.
        seconds: how long to train. The data and the network are built before, once in a process.
    """
    torch.set_num_threads(threads or _THREADS)
    with prepare_to_train():
        try:
            built = _build(repr(job.config), lambda: try_building(job.config))
            if built is None:
                return "its data have not been downloaded yet"
            return _time_alone(job, *built, seconds) if size == 1 else _time_stack(*built, size, seconds)
        except (NotStackable, UserError) as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  the run itself reports what is wrong with it
            return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


_THREADS = torch.get_num_threads()  # read before a number is set
_BUILT: dict[str, tuple[InMemory, Learner] | None] = {}


def _build(key: str, build: Callable[[], Any]) -> tuple[InMemory, Learner] | None:
    """Build the data and the learner of a run, once in a process."""
    if key not in _BUILT:
        built = build()
        if built is not None and not (isinstance(built[0], InMemory) and isinstance(built[1], Learner)):
            raise UserError("its data or its model are not Paribus' own")
        _BUILT.clear()  # of another run
        _BUILT[key] = built
    return _BUILT[key]


def _time_alone(job: Job, data: InMemory, learner: Learner, seconds: float) -> float:
    clock = _Clock(seconds)
    # without validation, which takes the same in each way to train
    config = {**job.config, "trainer": {**job.config["trainer"], "limit_val_batches": 0, "max_epochs": 1_000_000}}
    trainer = build_trainer(config, Path(), [clock], loggers=[])
    with suppress(_Enough):
        trainer.fit(learner, datamodule=data)
    return clock.taken / clock.steps


def _time_stack(data: InMemory, learner: Learner, size: int, seconds: float) -> float:
    network = stack_modules([learner.network] * size)
    set_generators(network, lambda: [torch.Generator().manual_seed(k) for k in range(size)])
    network.train()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = learner.build_optimizer(parameters)
    batch, targets = (torch.stack([part] * size) for part in next(iter(data.train_dataloader())))
    steps, taken = -WARM_UP, 0.0
    while steps <= 0 or taken < seconds:
        average_loss(learner.loss, network(batch), targets, lead=1).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if steps <= 0:
            started = time.perf_counter()
        taken = time.perf_counter() - started
    return taken / steps
