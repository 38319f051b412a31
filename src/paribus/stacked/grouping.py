"""Group the runs that can be trained as one stack, and split a group into stacks that fit into memory."""

import json
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import lightning
import torch
from torch.optim import Optimizer

from paribus.config.targets import find_kind, find_target
from paribus.data.module import InMemory
from paribus.instruments.divergence import Divergence
from paribus.models.layers import CONVOLUTIONS, Call
from paribus.run.build import build_callbacks, build_data, build_initial
from paribus.run.factory import is_foreign
from paribus.run.spec import Job
from paribus.stacked.checks import check_outputs, check_step
from paribus.stacked.device import choose_device, count_free_bytes
from paribus.stacked.modules import NotStackable
from paribus.stacked.optimizer import StackedOptimizer, require_stackable_optimizer
from paribus.stacked.sources import Sources
from paribus.stacked.view import StackView
from paribus.training.learner import Learner
from paribus.training.progress import Progress

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

COPIES = 12  # copies of a parameter in memory
WIDEST = 16  # channels of a convolution; grouped, wider ones take longer than alone (docs/sweeps.md has the times)
OUTPUT_COPIES = 2  # of a layer's output: its gradient too
TRAINER = {"_target_", "accelerator", "devices", "precision", "max_epochs", "gradient_clip_val", "deterministic",
           "gradient_clip_algorithm"}  # fmt: skip


def find_reason_alone(config: Mapping[str, Any]) -> str | None:
    """Find in a configuration the reason to execute its run alone; None if there is none."""
    trainer = config["trainer"]
    if trainer["_target_"] != "lightning.Trainer":
        return f"its trainer is {trainer['_target_']}"
    if choose_device(trainer) is None:
        return f"it trains on {trainer['accelerator']}, and a stack on the CPU or a GPU of CUDA that is there"
    if is_foreign(config):
        return "it trains a LightningModule of its own"
    if not issubclass(find_kind(config["data"]["_target_"], "data", (lightning.LightningDataModule,)), InMemory):
        return "its data have loaders of their own"
    if any(node["_target_"] != "paribus.loggers.tensorboard.TensorBoard" for node in config["logger"].values()):
        return "its logger is not TensorBoard"
    unsupported = sorted(set(trainer) - TRAINER)
    if unsupported:
        return f"trainer.{unsupported[0]} is set"
    if trainer["devices"] != 1 and not (isinstance(trainer["devices"], list) and len(trainer["devices"]) == 1):
        return "it uses several devices"
    if trainer["precision"] not in ("32-true", 32, "32"):
        return f"its precision is {trainer['precision']}"
    if config.get("averaging") is not None:
        return "its weights are averaged"
    if config["figures"]:
        return "it draws figures"
    return None


def make_stack_key(config: Mapping[str, Any]) -> str:
    """Return as text the part of a configuration that runs of a stack share: all but seeds and run-specific values."""
    shared_keys = {"optim": ("_target_",), "scheduler": ("_target_", "interval")}
    shared: dict[str, Any] = {part: {key: config[part].get(key) for key in keys} for part, keys in shared_keys.items()}
    shared["warmup"] = config.get("warmup") is not None
    model = {key: value for key, value in config["model"].items() if key != "init"}
    model["dropout"] = bool(model.get("dropout"))
    data = {key: value for key, value in config["data"].items() if key not in ("seed", "log_age")}
    trainer = {key: value for key, value in config["trainer"].items() if key != "gradient_clip_val"}
    rest = {key: config[key] for key in ("activation", "loss", "metrics", "callbacks", "logger", "threads")}
    return json.dumps([shared, model, data, trainer, rest], sort_keys=True, default=str)


def _build(job: Job) -> tuple[InMemory, Learner, list[Call]]:
    data = build_data(job.config)
    assert isinstance(data, InMemory)
    data.prepare_data()
    data.setup("fit")
    return data, *build_initial(job.config, data)


def require_stackable(job: Job) -> None:
    """Raise NotStackable where the run cannot be stacked with any other."""
    config = job.config
    require_stackable_optimizer(find_target(config["optim"]["_target_"], "optim", (Optimizer,)))
    data, learner, _ = _build(job)
    if learner.monitor is not None:
        raise NotStackable("the schedule depends on the run's own metrics")
    if not learner.loss.has_samples:
        raise NotStackable("its loss gives no value for each sample (it takes no reduction)")
    widest = max((m.out_channels for m in learner.network.modules() if isinstance(m, CONVOLUTIONS)), default=0)
    device = choose_device(config["trainer"])
    if widest > WIDEST and device is not None and device.type == "cpu":
        raise NotStackable(f"it has a convolution of {widest} channels; on the CPU a stack gains up to {WIDEST}")
    view = StackView([learner, learner])
    inputs = data.get_first_inputs("train", 4)
    inputs = torch.stack([inputs, inputs])
    check_outputs([learner, learner], view, inputs)
    check_step(view, inputs)
    sources = Sources([(config, learner)] * 2, 1)
    StackedOptimizer(list(view.network.parameters()), sources.optimizers, sources.groups, sources.build)
    instruments, others = build_callbacks(config)
    # in_stack counts only where the class itself sets it: a subclass may do what a stack does not support
    alone = [name for name, instrument in instruments.items() if vars(type(instrument)).get("in_stack") is None]
    alone += [name for name, i in instruments.items() if isinstance(i, Divergence) and i.look is False]
    alone += [type(other).__name__ for other in others if not isinstance(other, Progress)]
    if alone:
        raise NotStackable(f"callbacks.{alone[0]} does not support stacks")


def group_runs(jobs: Sequence[Job]) -> tuple[list[list[Job]], dict[str, list[Job]]]:
    """Return the groups of runs that can be trained as one, and by reason the runs that are executed alone."""
    alone: dict[str, list[Job]] = {}
    by_key: dict[str, list[Job]] = {}
    for job in jobs:
        reason = find_reason_alone(job.config)
        if reason is None:
            by_key.setdefault(make_stack_key(job.config), []).append(job)
        else:
            alone.setdefault(reason, []).append(job)
    groups: list[list[Job]] = []
    for group in by_key.values():
        if len(group) == 1:
            alone.setdefault("no other run is like it", []).extend(group)
            continue
        try:
            require_stackable(group[0])
        except NotStackable as error:
            alone.setdefault(str(error), []).extend(group)
        except Exception:  # noqa: BLE001  executing the run alone reports what is wrong with it
            alone.setdefault("it cannot be built", []).extend(group)
        else:
            groups.append(group)
    return groups, alone


def split_group(group: Sequence[Job], at_once: int, most: int | None) -> list[list[Job]]:
    """Split a group into stacks of about equal size: at least one a process, none larger than `most` or than memory."""
    size = -(-len(group) // at_once)
    size = max(1, min(size, most or size, count_fitting(group[0], at_once), count_openable()))
    number = -(-len(group) // size)
    return [list(group[i::number]) for i in range(number)]


def count_openable() -> int:
    """Return how many runs may have their files open in this process at once."""
    if resource is None:
        return 100
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, (soft - 100) // 5) if soft != resource.RLIM_INFINITY else 10_000


def count_fitting(job: Job, at_once: int) -> int:
    """Return how many runs like this one fit into a process's share of half of the device's free memory."""
    data, learner, calls = _build(job)
    tensors = [
        *(data.train or ()),
        *(data.val or ()),
        *(part[1] for part in (data.train, data.val) if part is not None),
    ]
    # The data, and a copy of the targets; the outputs of an epoch, and their concatenation; the parameters with their
    # gradients, directions, optimizer states and copies; the outputs of all layers for a batch.
    needed = sum(t.numel() * t.element_size() for t in tensors)
    needed += 2 * 4 * data.out_features * sum(len(part[0]) for part in (data.train, data.val) if part is not None)
    needed += COPIES * sum(p.numel() * p.element_size() for p in learner.network.parameters())
    outputs = sum(prod(call.output_shape) for call in calls)
    needed += 4 * OUTPUT_COPIES * outputs * min(data.batch_size, data.count("train"))
    device = choose_device(job.config["trainer"])
    assert device is not None
    sharing = at_once if device.type == "cpu" else -(-at_once // torch.cuda.device_count())  # processes
    return max(1, int(count_free_bytes(device) / 2 / sharing / max(needed, 1)))
