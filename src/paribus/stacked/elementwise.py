"""Apply an optimizer whose step changes each number by itself to many runs at once.

Runs with equal options share one optimizer, which updates the stacked parameters directly. For other runs, note that
each optimizer here changes a parameter by lr times a direction. The direction does not depend on lr, and depends on the
parameter only through its gradient. So one step of the optimizer at lr 1, from parameters of 0, gives the directions of
all runs, which are then scaled by each run's own rate. Runs that differ in momentum, betas or another option are in
different slices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from paribus.private_names import skip_graph_check
from paribus.stacked.modules import NotStackable

KINDS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adagrad, RMSprop)
EXTRA_KINDS = ("Lion", "ADOPT", "AdEMAMix")  # of pytorch_optimizer
FUSED = (SGD, Adam, AdamW, Adagrad)  # these have a fused step on the CPU
# Options that may differ within a slice, values stored by schedulers, and switches of the implementation.
OWN = ("lr", "weight_decay", "initial_lr", "max_lr", "min_lr", "params", "fused", "foreach", "capturable", "step",
       "differentiable", "decoupled_weight_decay", "maximize", "max_momentum", "base_momentum")  # fmt: skip
WHOLE = ("adanorm", "cautious", "stable_adamw", "use_gc", "fixed_decay")  # by these a step is another one


def is_elementwise(kind: Callable[..., Any]) -> bool:
    """Return whether steps of this class change each number by itself, by lr times a direction."""
    return kind in KINDS or (kind.__module__.startswith("pytorch_optimizer.") and kind.__name__ in EXTRA_KINDS)


def get_shared_values(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a parameter group in which all runs of a slice agree."""
    return {key: value for key, value in group.items() if key not in OWN}


def find_slices(groups: Sequence[Mapping[str, Any]], sources: Sequence[Optimizer]) -> list[tuple[int, int]]:
    """Return the first run, and the one after the last, of each row of neighbours that agree in their options."""
    slices: list[tuple[int, int]] = []
    first = 0
    for k in range(1, len(groups) + 1):
        if k < len(groups):
            # a scheduler that cycles momentum changes it for the runs of its own optimizer alone
            cycled = "max_momentum" in groups[first] and sources[first] is not sources[k]
            if not cycled and get_shared_values(groups[first]) == get_shared_values(groups[k]):
                continue
        slices.append((first, k))
        first = k
    return slices


@dataclass
class Slice:
    """Runs first to last - 1, which agree in all options but lr and weight decay.

    Attributes:
        optimizer: the optimizer of `tensors`.
        tensors: the runs' parameters if `identical`; else the directions, which start at 0 in every step.
        identical: whether the runs agree in lr and weight decay too.
    """

    first: int
    last: int
    optimizer: Optimizer
    tensors: list[Tensor]
    identical: bool


class ElementwiseSteps:
    """The steps of K runs for one group of their parameters.

    Args:
        kind: the class of the optimizer.
        parameters: stacked parameters of the group, (K, ...).
        sources: an optimizer for each run, whose group number `group` has the run's learning rate and options.
    """

    def __init__(
        self, kind: type[Optimizer], parameters: Sequence[Tensor], sources: Sequence[Optimizer], group: int = 0
    ):
        self.kind: Any = kind
        self.parameters = list(parameters)
        self.sources = list(sources)
        self.number = group
        groups = [source.param_groups[group] for source in sources]
        if any(values.get("maximize") or values.get("differentiable") for values in groups):
            raise NotStackable("the optimizer maximizes, or is differentiable")
        for option in WHOLE:
            if any(values.get(option) for values in groups):
                raise NotStackable(f"optim.{option} is set")
        decoupled = {self._is_decoupled(values) for values in groups}
        if len(decoupled) > 1:
            raise NotStackable("the weight decay of some optimizers is decoupled")
        [self.decoupled] = decoupled
        device = self.parameters[0].device
        self.decay = torch.tensor([float(values["weight_decay"]) for values in groups], device=device)
        self.slices = [self._make_slice(*bounds) for bounds in find_slices(groups, sources)]
        for part in self.slices:
            if part.identical:
                self.decay[part.first : part.last] = 0  # its optimizer applies the decay
        self._decays = any(
            not part.identical and any(values["weight_decay"] for values in groups[part.first : part.last])
            for part in self.slices
        )

    def _is_decoupled(self, group: Mapping[str, Any]) -> bool:
        return self.kind is AdamW or bool(group.get("decoupled_weight_decay") or group.get("weight_decouple"))

    def _get_group(self, k: int) -> dict[str, Any]:
        return self.sources[k].param_groups[self.number]

    def _make_slice(self, first: int, last: int) -> Slice:
        source = self.sources[first]
        identical = all(other is source for other in self.sources[first:last])
        group = self._get_group(first)
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
        optimizer = self.kind(tensors, **options)
        if tensors[0].is_cpu:
            skip_graph_check(optimizer)
        return Slice(first, last, optimizer, tensors, identical)

    def refresh(self, rates: Tensor) -> None:
        """Take over the learning rates (K,), on the device, and copy options, such as momentum, from the sources."""
        self._rates = [rates.view(-1, *(1,) * (p.ndim - 1)) for p in self.parameters]
        self._decays_by = [self.decay.view_as(rate) for rate in self._rates]
        for part in self.slices:
            group = self._get_group(part.first)
            options = get_shared_values(group) | ({"lr": group["lr"]} if part.identical else {})
            part.optimizer.param_groups[0].update(options)

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

    def get_state(self, k: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the state of each parameter of the k-th run, and its group without parameters."""
        [part] = [part for part in self.slices if part.first <= k < part.last]
        states = [
            {key: value[k - part.first].clone() if value.ndim else value.clone() for key, value in values.items()}
            for values in (part.optimizer.state[tensor] for tensor in part.tensors)
        ]
        group = {key: value for key, value in self._get_group(k).items() if key != "params"}
        stepped = part.optimizer.param_groups[0]
        return states, group | ({"step": stepped["step"]} if "step" in stepped else {})

    def get_moments(self, parameter: Tensor) -> list[tuple[slice, Optimizer, Tensor]]:
        """Return for each slice its runs, its optimizer, and the tensor of it that stands for a stacked parameter."""
        [i] = [i for i, own in enumerate(self.parameters) if own is parameter]
        return [(slice(part.first, part.last), part.optimizer, part.tensors[i]) for part in self.slices]

    def load(self, states: Sequence[Sequence[Mapping[str, Any]]], groups: Sequence[Mapping[str, Any]]) -> None:
        """Load the states of each run's parameters, and its group, as `get_state` returns them."""
        for part in self.slices:
            for i, tensor in enumerate(part.tensors):
                if not states[part.first][i]:
                    continue
                own = [run_states[i] for run_states in states[part.first : part.last]]
                part.optimizer.state[tensor] = {
                    key: torch.stack([state[key] for state in own]).to(tensor.device) if value.ndim else value.clone()
                    for key, value in own[0].items()
                }
            if "step" in groups[part.first]:
                part.optimizer.param_groups[0]["step"] = groups[part.first]["step"]
