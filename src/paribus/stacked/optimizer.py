"""torch's optimizers for many runs at once, each with a learning rate, weight decay and other values of its own.

Runs that agree in everything are moved by torch's own optimizer, over the parameters of them all. Else: the optimizers
here move a parameter by lr times a direction that depends neither on lr nor, but through its gradient, on the
parameter. So one step at a rate of 1, from 0, gives the directions of all runs with the formula of torch itself; they
are then scaled by each run's own rate. Runs whose momentum, betas and the like differ are slices apart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from paribus.private_names import skip_graph_check
from paribus.stacked.modules import NotStackable
from paribus.training.learner import Learner

KINDS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, NAdam, Adagrad, RMSprop)
FUSED = (SGD, Adam, AdamW, Adagrad)  # those that have a fused step on the CPU
# What a run has of its own, what a scheduler notes, and how a step is computed.
OWN = ("lr", "weight_decay", "initial_lr", "max_lr", "min_lr", "params", "fused", "foreach", "capturable",
       "differentiable", "decoupled_weight_decay", "maximize", "max_momentum", "base_momentum")  # fmt: skip


def get_shared_values(group: Mapping[str, Any]) -> dict[str, Any]:
    """What runs of one slice have to agree in."""
    return {key: value for key, value in group.items() if key not in OWN}


@dataclass
class Slice:
    """Runs first..last - 1, which agree in all but lr and weight decay.

    Attributes:
        moved: what the optimizer moves: the runs' parameters, where they agree in these too; else, from 0, directions.
    """

    first: int
    last: int
    optimizer: Optimizer
    moved: list[Tensor]
    source: Optimizer
    agree: bool


class Sources:
    """Each run's optimizer and scheduler, of a parameter that stands for all of its own; runs that agree share one.

    Args:
        runs: the configuration and the learner of each.
        steps: that each takes in all.
    """

    def __init__(self, runs: Sequence[tuple[Mapping[str, Any], Learner]], steps: int):
        made: dict[str, tuple[Optimizer, LRScheduler | None]] = {}
        self.by_run: list[tuple[Optimizer, LRScheduler | None]] = []
        for config, learner in runs:
            key = json.dumps([config["optim"], config["scheduler"]], sort_keys=True)
            if key not in made:
                optimizer = learner.build_optimizer([nn.Parameter(torch.zeros(1))])
                make_scheduler = learner.make_scheduler
                made[key] = optimizer, None if make_scheduler is None else make_scheduler(optimizer, steps)
            self.by_run.append(made[key])
        self.distinct = list(made.values())
        if any(isinstance(scheduler, ReduceLROnPlateau) for _, scheduler in self.distinct):
            raise NotStackable("the schedule depends on the run's own metrics")

    def advance(self) -> bool:
        """Move all schedules on; whether there are any."""
        for _, scheduler in self.distinct:
            if scheduler is not None:
                scheduler.step()
        return any(scheduler is not None for _, scheduler in self.distinct)

    def get_rates(self) -> list[float]:
        return [float(optimizer.param_groups[0]["lr"]) for optimizer, _ in self.by_run]

    def get_momenta(self) -> list[float | None]:
        """Each run's momentum, or Adam's first beta; None for optimizers without."""
        groups = [optimizer.param_groups[0] for optimizer, _ in self.by_run]
        return [group["betas"][0] if "betas" in group else group.get("momentum") for group in groups]

    def load(self, checkpoints: Sequence[Mapping[str, Any]]) -> None:
        """Go on from the checkpoint of each run."""
        done: set[int] = set()
        for (optimizer, scheduler), stored in zip(self.by_run, checkpoints, strict=True):
            if id(optimizer) in done:
                continue
            done.add(id(optimizer))
            group = dict(stored["optimizer_states"][0]["param_groups"][0])
            optimizer.param_groups[0].update({key: value for key, value in group.items() if key != "params"})
            if scheduler is not None:
                scheduler.load_state_dict(stored["lr_schedulers"][0])


class StackedOptimizer:
    """Steps K runs' parameters, each (K, ...), by what K optimizers of one kind would do.

    Args:
        parameters: stacked; their gradients are those of the sum of the runs' losses.
        sources: an optimizer a run, of any parameter, whose first group says what its rate and values are; a scheduler
            may change them, then `refresh` has to be called. Runs may share one; runs with equal values are neighbours.
    """

    def __init__(self, parameters: Sequence[Tensor], sources: Sequence[Optimizer]):
        self.parameters = list(parameters)
        self.sources = list(sources)
        kinds = {type(source) for source in sources}
        if len(kinds) > 1 or not kinds <= set(KINDS):
            raise NotStackable(f"the optimizer is {' and '.join(sorted(kind.__name__ for kind in kinds))}")
        [self.kind] = kinds
        for source in {id(source): source for source in sources}.values():
            source.step()  # of no gradient: a scheduler warns where its optimizer has made no step
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
            if part.agree:
                self.decay[part.first : part.last] = 0  # is its optimizer's
        self._decays = bool(self.decay.any())
        self.refresh()

    def _need_separate_slices(self, a: int, b: int) -> bool:
        one, other = self.sources[a], self.sources[b]
        cycled = "max_momentum" in one.param_groups[0] and one is not other  # by a scheduler of its own
        return cycled or get_shared_values(one.param_groups[0]) != get_shared_values(other.param_groups[0])

    def _make_slice(self, first: int, last: int) -> Slice:
        source = self.sources[first]
        agree = all(other is source for other in self.sources[first:last])
        group = source.param_groups[0]
        known = get_shared_values(group)
        if agree:
            moved = [p.detach()[first:last] for p in self.parameters]
            known |= {key: group[key] for key in ("lr", "weight_decay", "decoupled_weight_decay") if key in group}
            if self.kind is AdamW:
                known.pop("decoupled_weight_decay", None)
        else:
            moved = [torch.zeros_like(p[first:last]) for p in self.parameters]
            known |= {"lr": 1.0, "weight_decay": 0.0}
        how = {"fused": True} if self.kind in FUSED and moved[0].is_cpu else {"foreach": True}
        make: Any = self.kind
        optimizer = make(moved, **known, **how)
        if moved[0].is_cpu:
            skip_graph_check(optimizer)
        return Slice(first, last, optimizer, moved, source, agree)

    def refresh(self) -> None:
        """Take rates and momenta from the sources."""
        rates = [float(source.param_groups[0]["lr"]) for source in self.sources]
        self.lr = torch.tensor(rates, device=self.decay.device)
        self._rates = [self.lr.view(-1, *(1,) * (p.ndim - 1)) for p in self.parameters]
        self._decays_by = [self.decay.view_as(rate) for rate in self._rates]
        for part in self.slices:
            known = part.source.param_groups[0]
            part.optimizer.param_groups[0].update(get_shared_values(known) | ({"lr": known["lr"]} if part.agree else {}))

    @torch.no_grad()
    def step(self) -> None:
        """A step of all runs. Gradients are changed where there is weight decay."""
        if self._decays:
            for p, rate, decay in zip(self.parameters, self._rates, self._decays_by, strict=True):
                if self.decoupled:
                    p.mul_(1 - rate * decay)
                else:
                    assert p.grad is not None
                    p.grad.addcmul_(p, decay)
        for part in self.slices:
            runs, whole = slice(part.first, part.last), len(self.slices) == 1
            for p, moved in zip(self.parameters, part.moved, strict=True):
                assert p.grad is not None
                moved.grad = p.grad if whole else p.grad[runs]
            if part.agree:
                part.optimizer.step()
                continue
            for moved in part.moved:
                moved.zero_()
            part.optimizer.step()
            for p, direction, rate in zip(self.parameters, part.moved, self._rates, strict=True):
                p[runs].addcmul_(direction, rate[runs])

    def get_state(self, k: int) -> dict[str, Any]:
        """The state_dict that the k-th run's own optimizer would have."""
        [part] = [part for part in self.slices if part.first <= k < part.last]
        state = {
            i: {key: value[k - part.first].clone() if value.ndim else value.clone() for key, value in known.items()}
            for i, moved in enumerate(part.moved)
            if (known := part.optimizer.state[moved])
        }
        group = {key: value for key, value in self.sources[k].param_groups[0].items() if key != "params"}
        return {"state": state, "param_groups": [{**group, "params": list(range(len(self.parameters)))}]}

    def load(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Go on from the state of each run's optimizer. Rates and momenta are those of the sources."""
        for part in self.slices:
            mine = [states[k]["state"] for k in range(part.first, part.last)]
            for i, moved in enumerate(part.moved):
                if i not in mine[0]:
                    continue
                part.optimizer.state[moved] = {
                    key: value.clone() if not value.ndim else torch.stack([state[i][key] for state in mine])
                    for key, value in mine[0][i].items()
                }
