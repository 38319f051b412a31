"""Apply torch's optimizers to many runs at once, each with its own learning rate, weight decay and other options.

Runs with equal options share one torch optimizer, which updates the stacked parameters directly. For other runs, note
that each optimizer here changes a parameter by lr times a direction. The direction does not depend on lr, and depends
on the parameter only through its gradient. So one step of torch's optimizer at lr 1, from parameters of 0, gives the
directions of all runs, which are then scaled by each run's own rate. Runs that differ in momentum, betas or another
option are in different slices.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop
from torch.optim.lr_scheduler import LRScheduler

from paribus.instruments.subject import select_moments
from paribus.private_names import skip_graph_check
from paribus.stacked.modules import NotStackable
from paribus.training.learner import Learner

KINDS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adagrad, RMSprop)
FUSED = (SGD, Adam, AdamW, Adagrad)  # these have a fused step on the CPU
# Options that may differ within a slice, values stored by schedulers, and switches of the implementation.
OWN = ("lr", "weight_decay", "initial_lr", "max_lr", "min_lr", "params", "fused", "foreach", "capturable",
       "differentiable", "decoupled_weight_decay", "maximize", "max_momentum", "base_momentum")  # fmt: skip


def require_stackable_optimizer(*kinds: Any) -> None:
    """Raise NotStackable unless all kinds are one of those whose step changes each number by itself."""
    if len(set(kinds)) > 1 or not set(kinds) <= set(KINDS):
        names = " and ".join(sorted({kind.__name__ for kind in kinds}))
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise NotStackable(f"the optimizer is {names}; stacks have one of {known}")


def get_shared_values(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a parameter group in which all runs of a slice agree."""
    return {key: value for key, value in group.items() if key not in OWN}


@dataclass
class Slice:
    """Runs first to last - 1, which agree in all options but lr and weight decay.

    Attributes:
        optimizer: torch's optimizer of `tensors`.
        tensors: the runs' parameters if `identical`; else the directions, which start at 0 in every step.
        source: the optimizer of the first run.
        identical: whether the runs agree in lr and weight decay too.
    """

    first: int
    last: int
    optimizer: Optimizer
    tensors: list[Tensor]
    source: Optimizer
    identical: bool


class Sources:
    """Each run's optimizer and scheduler, over one dummy parameter: the source of its learning rate and options.

    Runs with the same configuration share a pair.

    Args:
        runs: configuration and learner of each run.
        steps: number of optimizer steps of a whole run.
    """

    def __init__(self, runs: Sequence[tuple[Mapping[str, Any], Learner]], steps: int):
        built: dict[str, tuple[Optimizer, LRScheduler | None]] = {}
        self.by_run: list[tuple[Optimizer, LRScheduler | None]] = []
        for config, learner in runs:
            key = json.dumps([config["optim"], config["scheduler"], config.get("warmup")], sort_keys=True)
            if key not in built:
                optimizer = learner.build_optimizer([nn.Parameter(torch.zeros(1))])
                make_scheduler = learner.make_scheduler
                built[key] = optimizer, None if make_scheduler is None else make_scheduler(optimizer, steps)
            self.by_run.append(built[key])
        self.distinct = list(built.values())

    def advance(self) -> bool:
        """Step all schedulers. Return whether there are any."""
        for _, scheduler in self.distinct:
            if scheduler is not None:
                scheduler.step()
        return any(scheduler is not None for _, scheduler in self.distinct)

    def get_rates(self) -> list[float]:
        """Return each run's learning rate."""
        return [float(optimizer.param_groups[0]["lr"]) for optimizer, _ in self.by_run]

    def get_momenta(self) -> list[float | None]:
        """Return each run's momentum, or Adam's first beta; None for optimizers without momentum."""
        groups = [optimizer.param_groups[0] for optimizer, _ in self.by_run]
        return [group["betas"][0] if "betas" in group else group.get("momentum") for group in groups]

    def load(self, checkpoints: Sequence[Mapping[str, Any]]) -> None:
        """Load optimizer options and scheduler states from the checkpoint of each run."""
        loaded: set[int] = set()
        for (optimizer, scheduler), stored in zip(self.by_run, checkpoints, strict=True):
            if id(optimizer) in loaded:
                continue
            loaded.add(id(optimizer))
            group = dict(stored["optimizer_states"][0]["param_groups"][0])
            optimizer.param_groups[0].update({key: value for key, value in group.items() if key != "params"})
            if scheduler is not None:
                scheduler.load_state_dict(stored["lr_schedulers"][0])


class StackedOptimizer:
    """One optimizer of K runs, whose step equals the steps of K optimizers of one class.

    Args:
        parameters: stacked parameters, (K, ...); their gradients are those of the sum of the runs' losses.
        sources: an optimizer for each run, over any parameter. Its first group gives the run's learning rate and
            options. After a scheduler has changed them, `refresh` must be called. Runs may share one; runs with equal
            options must be neighbours.
    """

    def __init__(self, parameters: Sequence[Tensor], sources: Sequence[Optimizer]):
        self.parameters = list(parameters)
        self.sources = list(sources)
        require_stackable_optimizer(*(type(source) for source in sources))
        self.kind = type(sources[0])
        for source in {id(source): source for source in sources}.values():
            source.step()  # without gradients, since a scheduler warns if its optimizer has made no step before it
        groups = [source.param_groups[0] for source in sources]
        if any(len(source.param_groups) > 1 for source in sources):
            raise NotStackable("the optimizer has several groups of parameters")
        if any(group.get("maximize") or group.get("differentiable") for group in groups):
            raise NotStackable("the optimizer maximizes, or is differentiable")
        decoupled = {self.kind is AdamW or bool(group.get("decoupled_weight_decay")) for group in groups}
        if len(decoupled) > 1:
            raise NotStackable("the weight decay of some optimizers is decoupled")
        [self.decoupled] = decoupled
        device = self.parameters[0].device
        self.decay = torch.tensor([float(group["weight_decay"]) for group in groups], device=device)
        self.slices: list[Slice] = []
        start = 0
        for k in range(1, len(groups) + 1):
            if k == len(groups) or self._need_separate_slices(start, k):
                self.slices.append(self._make_slice(start, k))
                start = k
        for part in self.slices:
            if part.identical:
                self.decay[part.first : part.last] = 0  # its optimizer applies the decay
        self._decays = bool(self.decay.any())
        self.refresh()

    def _need_separate_slices(self, a: int, b: int) -> bool:
        one, other = self.sources[a], self.sources[b]
        # a scheduler that cycles momentum changes it for the runs of its own optimizer alone
        cycled = "max_momentum" in one.param_groups[0] and one is not other
        return cycled or get_shared_values(one.param_groups[0]) != get_shared_values(other.param_groups[0])

    def _make_slice(self, first: int, last: int) -> Slice:
        source = self.sources[first]
        identical = all(other is source for other in self.sources[first:last])
        group = source.param_groups[0]
        options = get_shared_values(group)
        if identical:
            tensors = [p.detach()[first:last] for p in self.parameters]
            options |= {key: group[key] for key in ("lr", "weight_decay", "decoupled_weight_decay") if key in group}
            if self.kind is AdamW:
                options.pop("decoupled_weight_decay", None)
        else:
            tensors = [torch.zeros_like(p[first:last]) for p in self.parameters]
            options |= {"lr": 1.0, "weight_decay": 0.0}
        options |= {"fused": True} if self.kind in FUSED and tensors[0].is_cpu else {"foreach": True}
        kind: Any = self.kind
        optimizer = kind(tensors, **options)
        if tensors[0].is_cpu:
            skip_graph_check(optimizer)
        return Slice(first, last, optimizer, tensors, source, identical)

    def refresh(self) -> None:
        """Copy learning rates and options, such as momentum, from the sources."""
        rates = [float(source.param_groups[0]["lr"]) for source in self.sources]
        self.lr = torch.tensor(rates, device=self.decay.device)
        self._rates = [self.lr.view(-1, *(1,) * (p.ndim - 1)) for p in self.parameters]
        self._decays_by = [self.decay.view_as(rate) for rate in self._rates]
        for part in self.slices:
            group = part.source.param_groups[0]
            options = get_shared_values(group) | ({"lr": group["lr"]} if part.identical else {})
            part.optimizer.param_groups[0].update(options)

    @torch.no_grad()
    def step(self) -> None:
        """Step all runs. Weight decay changes the gradients in place, unless it is decoupled."""
        if self._decays:
            for p, rate, decay in zip(self.parameters, self._rates, self._decays_by, strict=True):
                if self.decoupled:
                    p.mul_(1 - rate * decay)
                else:
                    assert p.grad is not None
                    p.grad.addcmul_(p, decay)
        for part in self.slices:
            runs, is_only = slice(part.first, part.last), len(self.slices) == 1
            for p, tensor in zip(self.parameters, part.tensors, strict=True):
                assert p.grad is not None
                tensor.grad = p.grad if is_only else p.grad[runs]
            if part.identical:
                part.optimizer.step()
                continue
            for direction in part.tensors:
                direction.zero_()
            part.optimizer.step()
            for p, direction, rate in zip(self.parameters, part.tensors, self._rates, strict=True):
                p[runs].addcmul_(direction, rate[runs])

    def get_state(self, k: int) -> dict[str, Any]:
        """Return the state_dict of the k-th run, in the form of its own optimizer alone."""
        [part] = [part for part in self.slices if part.first <= k < part.last]
        state = {
            i: {key: value[k - part.first].clone() if value.ndim else value.clone() for key, value in values.items()}
            for i, tensor in enumerate(part.tensors)
            if (values := part.optimizer.state[tensor])
        }
        group = {key: value for key, value in self.sources[k].param_groups[0].items() if key != "params"}
        return {"state": state, "param_groups": [{**group, "params": list(range(len(self.parameters)))}]}

    def get_moments(self, parameter: Tensor) -> dict[str, Tensor]:
        """Return the state tensors (K, ...) of a stacked parameter that have its shape; NaN for runs without them."""
        [i] = [i for i, own in enumerate(self.parameters) if own is parameter]
        moments: dict[str, Tensor] = {}
        for part in self.slices:
            for name, value in select_moments([part.optimizer], part.tensors[i]).items():
                moments.setdefault(name, torch.full_like(parameter, torch.nan))[part.first : part.last] = value
        return moments

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Load the state of each run's optimizer. Learning rates and options still come from the sources."""
        for part in self.slices:
            run_states = [states[k]["state"] for k in range(part.first, part.last)]
            for i, tensor in enumerate(part.tensors):
                if i not in run_states[0]:
                    continue
                part.optimizer.state[tensor] = {
                    key: value.clone() if not value.ndim else torch.stack([state[i][key] for state in run_states])
                    for key, value in run_states[0][i].items()
                }
