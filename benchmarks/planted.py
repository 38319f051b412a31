"""Networks with a fault: a layer that is wrong from the start, or a batch of a wrong scale."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from paribus.models.mlp import MLP


class Planted(MLP):
    """A regression MLP of `depth` layers of `width` units, one or all of whose hidden layers begin badly.

    Args:
        layer: the hidden layer, from 1; 0: all of them.
        scale: what its weights are multiplied by.
        shift: what is added to its biases.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        activation: Callable[[], nn.Module],
        width: int,
        depth: int,
        layer: int,
        scale: float,
        shift: float,
    ):
        super().__init__(in_shape, out_features, activation, width=width, depth=depth)
        for i in range(1, depth + 1):
            module = self.get_submodule(f"linear{i}")
            assert isinstance(module, nn.Linear)
            if layer in (0, i):
                with torch.no_grad():
                    module.weight.mul_(scale)
                    module.bias.add_(shift)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).squeeze(-1)


class Jolted(MLP):
    """A regression MLP one of whose training batches has a wrong scale.

    Args:
        at: the number of the batch, from 1.
        scale: what its inputs are multiplied by.
    """

    passes: Tensor

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        activation: Callable[[], nn.Module],
        width: int,
        depth: int,
        at: int,
        scale: float,
    ):
        super().__init__(in_shape, out_features, activation, width=width, depth=depth)
        self.at, self.scale = at, scale
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            self.passes += 1
            input = input * torch.where(self.passes == self.at, self.scale, 1.0)
        return super().forward(input).squeeze(-1)
