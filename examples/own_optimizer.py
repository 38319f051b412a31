"""An optimizer of your own."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class GradientDirection(torch.optim.Optimizer):
    """w <- w - lr * g / ||g||, each tensor by itself: the length of a gradient counts for nothing."""

    def __init__(self, params: Iterable[Tensor], lr: float):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step; `closure`, where there is one, computes loss and gradients again."""
        with torch.enable_grad():
            loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    length = torch.linalg.vector_norm(parameter.grad)
                    parameter -= (
                        group["lr"] * parameter.grad / length.clamp(min=1e-12)
                    )  # no branch that waits for a GPU
        return loss
