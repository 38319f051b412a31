"""A network in one of whose layers something is wrong from the start."""

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
