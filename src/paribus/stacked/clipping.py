"""Clip the gradients of a stack, those of each run by its own limit."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

EPS = 1e-6  # of torch.nn.utils.clip_grad_norm_


class Clipping:
    """The clipping of K runs' gradients, as Lightning clips those of a run alone.

    Args:
        trainers: node `trainer` of each run: its gradient_clip_val (None: no clipping), by the norm of all gradients of
            the run or, with gradient_clip_algorithm=value, by the size of each of them.
        parameters: stacked parameters, (K, ...).
    """

    def __init__(self, trainers: Sequence[Mapping[str, Any]], parameters: Sequence[Tensor]):
        limits = [trainer["gradient_clip_val"] for trainer in trainers]
        self.active = any(limit is not None for limit in limits)
        algorithm = trainers[0].get("gradient_clip_algorithm")
        self.by_value = str(algorithm).lower() == "value"  # Lightning takes VALUE, too
        self.parameters = list(parameters)
        values = [math.inf if limit is None else float(limit) for limit in limits]
        self.limits = torch.tensor(values, device=self.parameters[0].device)

    @torch.no_grad()
    def clip(self) -> None:
        """Clip the gradients in place."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.by_value:
            for gradient in gradients:
                limit = self.limits.view(-1, *(1,) * (gradient.ndim - 1))
                gradient.clamp_(-limit, limit)
            return
        norms = torch.stack([torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients])
        factors = (self.limits / (torch.linalg.vector_norm(norms, dim=0) + EPS)).clamp(max=1.0)
        factors = torch.where(self.limits.isinf(), 1.0, factors)  # a run without a limit keeps infinite gradients
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *(1,) * (gradient.ndim - 1)))
