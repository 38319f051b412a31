"""The parts of a run, made from its resolved configuration: data, network, learner, trainer."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lightning
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch import nn

from paribus.data.module import InMemory
from paribus.errors import UserError, unknown_name
from paribus.instruments.instrument import Instrument
from paribus.models import layers
from paribus.models.initialisation import initialise
from paribus.randomness import derive_seed
from paribus.training.learner import Learner, find_learner

T = TypeVar("T")
log = logging.getLogger(__name__)


def build_data(config: Mapping[str, Any]) -> InMemory:
    """The data module of `config`; nothing is read yet."""
    return build_part("data", lambda: instantiate(config["data"], _convert_="all"))


def build_network(config: Mapping[str, Any], data: InMemory) -> nn.Module:
    """The network of `config` for the shapes of `data`, its initial weights drawn from torch's generator."""
    node = {key: value for key, value in config["model"].items() if key not in ("init", "loss")}
    activation = build_part("activation", lambda: instantiate(config["activation"], _partial_=True, _convert_="all"))
    make_network = build_part("model", lambda: instantiate(node, _partial_=True, _convert_="all"))
    network = build_part(
        "model",
        lambda: make_network(in_shape=data.in_shape, out_features=data.out_features, activation=activation),
    )
    initialise(network, config["model"]["init"], activation())
    return network


def build_learner(config: Mapping[str, Any], network: nn.Module, data: InMemory) -> Learner:
    """The learner for the model's loss, which must fit the task of the data."""
    loss = config["model"]["loss"]
    kind = find_learner(loss)
    if kind.task != data.task:
        raise UserError(
            f"model.loss={loss} is for {kind.task}, but {type(data).__name__} is data for {data.task}. "
            "Choose the model for the task (model=regression for numbers, mlp or vgg6 for classes), or other data."
        )
    make_optimizer = build_part("optim", lambda: instantiate(config["optim"], _partial_=True, _convert_="all"))
    node = dict(config["scheduler"])
    interval = node.pop("interval", "epoch")
    if interval not in ("epoch", "step"):
        raise unknown_name(interval, "scheduler.interval", ("epoch", "step"))
    make_scheduler = None
    if node["_target_"] is not None:
        torch_scheduler = build_part("scheduler", lambda: instantiate(node, _partial_=True, _convert_="all"))
        counted = "total_steps" in node and node["total_steps"] is None

        def make_scheduler(optimizer: Any, total_steps: int) -> Any:
            if "total_steps" in node and not counted and node["total_steps"] < total_steps:
                raise UserError(
                    f"scheduler.total_steps is {node['total_steps']}, but the run has {total_steps} steps. "
                    "Leave it out: the run counts them."
                )
            return build_part(
                "scheduler",
                lambda: torch_scheduler(optimizer, **({"total_steps": total_steps} if counted else {})),
            )

    return kind(
        network,
        loss,
        lambda parameters: build_part("optim", lambda: make_optimizer(parameters)),
        make_scheduler,
        interval,
        config["seed"],
    )


def build_callbacks(config: Mapping[str, Any]) -> tuple[dict[str, Instrument], list[lightning.Callback]]:
    """What the configuration has under callbacks: instruments by name, and Lightning's own kind."""
    instruments: dict[str, Instrument] = {}
    others: list[lightning.Callback] = []
    for name, node in config["callbacks"].items():
        built = build_part(f"callbacks.{name}", partial(instantiate, node, _convert_="all"))
        if isinstance(built, Instrument):
            instruments[name] = built
        elif isinstance(built, lightning.Callback):
            others.append(built)
        else:
            raise UserError(f"callbacks.{name} is a {type(built).__name__}, no instrument and no Lightning callback.")
    return instruments, others


def build_initial(config: Mapping[str, Any], data: InMemory) -> tuple[Learner, list[layers.Call]]:
    """The learner with its network as it is before training, and what two samples met in the network."""
    torch.manual_seed(derive_seed(config["seed"], "weights"))
    network = build_network(config, data)
    learner = build_learner(config, network, data)
    return learner, inspect_network(network, data)


def build_trainer(
    config: Mapping[str, Any],
    directory: Path,
    callbacks: list[lightning.Callback],
    strategy: Strategy | None = None,
) -> lightning.Trainer:
    """Lightning's trainer with `callbacks` and the loggers of the configuration; `strategy` in place of its own."""
    loggers = build_loggers(config, directory)
    make_trainer = instantiate(config["trainer"], _partial_=True, _convert_="all")
    shared: dict[str, Any] = {} if strategy is None else {"strategy": strategy}
    profiler: dict[str, Any] = {} if "profiler" in config["trainer"] else {"profiler": NoProfiler()}
    return build_part(
        "trainer",
        lambda: make_trainer(
            callbacks=callbacks,
            logger=loggers,
            default_root_dir=str(directory),
            # ours are smaller, and written less often; without them Lightning would add its own
            enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
            enable_progress_bar=False,  # costs more per step than a small network
            enable_model_summary=False,
            num_sanity_val_steps=0,  # inspect_network has seen to that
            **profiler,
            **shared,
        ),
    )


def build_loggers(config: Mapping[str, Any], directory: Path) -> list[Any]:
    """The loggers of the configuration, which write into `directory`."""
    make_loggers = [instantiate(node, _partial_=True, _convert_="all") for node in config["logger"].values()]
    return [build_part("logger", partial(make_logger, save_dir=str(directory))) for make_logger in make_loggers]


class NoProfiler(Profiler):
    """Measures nothing. Lightning enters a profiler forty times a step; its own makes a generator each time."""

    def profile(self, action_name: str) -> Any:
        return nullcontext()

    def start(self, action_name: str) -> None: ...

    def stop(self, action_name: str) -> None: ...


def inspect_network(network: nn.Module, data: InMemory) -> list[layers.Call]:
    """A pass of two samples through the network.

    Raises UserError where it does not take these data, or does not return what they need.
    """
    name = type(network).__name__
    inputs = data.get_first_inputs("train", 2)
    expected = (len(inputs), data.out_features) if data.task == "classification" else (len(inputs),)
    try:
        output, calls = layers.trace_calls(network, inputs)
    except RuntimeError as error:
        raise UserError(f"{name} does not take inputs of shape {tuple(inputs.shape[1:])}: {error}") from None
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise UserError(f"{name} returns {got} for {len(inputs)} samples; {data.task} on these data needs {expected}.")
    return calls


def check_batch_norm(network: nn.Module, data: InMemory, processes: int, synchronised: bool) -> None:
    """Raise UserError where a batch norm would train on one sample; say what it means in several processes."""
    if not any(isinstance(m, layers.BATCH_NORMS) for m in network.modules()):
        return
    assert data.train is not None
    samples = len(data.train[0])
    last = samples % data.batch_size or min(samples, data.batch_size)
    if samples % data.batch_size == 1 or (processes > 1 and last // processes < 2):
        among = f", shared by {processes} processes" if processes > 1 else ""
        raise UserError(
            f"Batch normalisation cannot train on a batch of one sample, the last of {samples} in batches "
            f"of {data.batch_size}{among}. Choose another data.batch_size or data.train_subset."
        )
    if processes > 1 and not synchronised:
        log.warning(
            "Batch normalisation sees, in each of the %d processes, its share of a batch alone: this is not the run of "
            "one process.",
            processes,
        )


def build_part(part: str, make: Callable[[], T]) -> T:
    """`make()`; a constructor's complaint about its arguments becomes one message that names the part."""
    try:
        return make()
    except (UserError, OSError):
        raise
    except (ArithmeticError, ImportError, LookupError, MisconfigurationException, RuntimeError, TypeError, ValueError,
            InstantiationException) as error:  # fmt: skip
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        if isinstance(cause, UserError | OSError):
            raise cause from None
        said = str(cause).strip().splitlines() or [type(cause).__name__]
        raise UserError(f"{part}: {' '.join(said[:2]) if said[0].endswith(':') else said[0]}") from error
