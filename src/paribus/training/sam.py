"""Minimise the loss and its sharpness together."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from paribus.errors import UserError


class SAM(torch.optim.SGD):
    """Sharpness-aware minimisation (Foret et al., 2021) with SGD: w <- w - lr * g(w + rho * g(w) / ||g(w)||).

    A step evaluates the loss twice, so that it costs two steps of SGD.

    Args:
        rho: distance from the weights at which the gradient is taken, along the gradient over all parameters.
        others: arguments of torch.optim.SGD.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        rho: float = 0.05,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **others: Any,
    ):
        super().__init__(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, **others)
        for group in self.param_groups:
            group["rho"] = rho

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        if closure is None:
            raise UserError(
                "optim=sam evaluates the loss twice a step, which this precision cannot do. Choose "
                "trainer.precision=32-true or bf16-mixed."
            )
        with torch.enable_grad():
            loss = closure()
        moved = [
            (parameter, parameter.clone(), group["rho"])
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p, _, _ in moved])) + 1e-12  # as in the source
        for parameter, _, rho in moved:
            parameter += parameter.grad * (rho / norm)
        with torch.enable_grad():
            closure()
        for parameter, weights, _ in moved:
            parameter.copy_(weights)
        super().step()
        return loss
