"""torch's optimizers for many runs at once, each with a learning rate, weight decay and other values of its own.

All optimizers here move a parameter by lr times a direction that depends neither on lr nor on the parameter (but through
its gradient). So one step at a rate of 1, from 0, gives the directions of all runs with the formula of torch itself; they
are then scaled by each run's own rate. Runs whose momentum, betas and the like differ are slices of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop

KINDS = (SGD, Adam, AdamW, NAdam, Adagrad, RMSprop)
OWN = (
    "lr",
    "weight_decay",
    "initial_lr",
    "max_lr",
    "min_lr",
    "params",
    "fused",
    "foreach",
    "capturable",
    "differentiable",
)


class NotStackable(Exception):
    """Why optimizers cannot be stacked."""


@dataclass
class Slice:
    """Runs first..last that agree in all but lr and weight decay."""

    first: int
    last: int
    optimizer: Optimizer
    directions: list[Tensor]


class StackedOptimizer:
    """Steps K runs' parameters, each (K, ...), by what K optimizers of one kind would do.

    Args:
        parameters: stacked; their gradients are those of the sum of the runs' losses.
        optimizers: one a run, for a parameter of any kind: what their first group says is what counts. Runs with equal
            values should be neighbours.
    """

    def __init__(self, parameters: Sequence[Tensor], optimizers: Sequence[Optimizer]):
        self.parameters = list(parameters)
        kinds = {type(optimizer) for optimizer in optimizers}
        if len(kinds) > 1 or not kinds <= set(KINDS):
            raise NotStackable(f"optimizers of {', '.join(sorted(kind.__name__ for kind in kinds))}")
        [self.kind] = kinds
        groups = [optimizer.param_groups[0] for optimizer in optimizers]
        if any(group.get("maximize") or len(o.param_groups) > 1 for group, o in zip(groups, optimizers, strict=True)):
            raise NotStackable("an optimizer that maximizes, or has several groups")
        self.lr = torch.tensor([float(group["lr"]) for group in groups])
        self.decay = torch.tensor([float(group["weight_decay"]) for group in groups])
        self.decoupled = self.kind is AdamW or bool(groups[0].get("decoupled_weight_decay"))
        others = [{key: value for key, value in group.items() if key not in OWN} for group in groups]
        self.slices: list[Slice] = []
        start = 0
        for k in range(1, len(groups) + 1):
            if k == len(groups) or others[k] != others[start]:
                self.slices.append(self._slice(start, k, others[start]))
                start = k

    def _slice(self, first: int, last: int, values: dict[str, Any]) -> Slice:
        directions = [torch.zeros_like(p[first:last]) for p in self.parameters]
        known = {key: value for key, value in values.items() if key not in ("maximize", "decoupled_weight_decay")}
        fused = (
            {"fused": True} if self.kind in (SGD, Adam, AdamW, Adagrad) and directions[0].is_cpu else {"foreach": True}
        )
        if self.kind is NAdam:
            fused = {"foreach": True}
        return Slice(first, last, self.kind(directions, lr=1.0, weight_decay=0.0, **known, **fused), directions)

    @torch.no_grad()
    def step(self) -> None:
        """A step of all runs at the rates `lr` (K,)."""
        decays = bool(self.decay.any())
        for p in self.parameters:
            assert p.grad is not None
            if decays:
                shape = (-1, *(1,) * (p.ndim - 1))
                if self.decoupled:
                    p.mul_((1 - self.lr * self.decay).view(shape))
                else:
                    p.grad.addcmul_(p, self.decay.view(shape))
        for part in self.slices:
            for p, direction in zip(self.parameters, part.directions, strict=True):
                direction.zero_()
                direction.grad = p.grad[part.first : part.last]  # type: ignore[index]
            part.optimizer.step()
            lr = self.lr[part.first : part.last]
            for p, direction in zip(self.parameters, part.directions, strict=True):
                p[part.first : part.last].addcmul_(direction, lr.view(-1, *(1,) * (p.ndim - 1)))
