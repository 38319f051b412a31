"""Stack a layer that is not known here: one call of it, mapped over the networks by torch.func.vmap."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Mapped(nn.Module):
    """K layers of one class: parameters under their own names with a first axis of K.

    vmap raises RuntimeError where a layer draws random numbers, or branches on a value. That its outputs are those of
    each layer alone, `checks.py` tests.

    Args:
        layers: layers without children and buffers, whose parameters agree in names and shapes.
    """

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        first = layers[0]
        for name, _ in first.named_parameters(recurse=False):
            stacked = torch.stack([layer.get_parameter(name).detach() for layer in layers])
            self.register_parameter(name, nn.Parameter(stacked))
        if isinstance(getattr(first, "kernel_size", None), tuple):
            self.kernel_size = first.kernel_size  # by which instruments know the axis of units
        self._layer = [copy.deepcopy(first)]  # in a list, so that its tensors are none of the stack's

    def forward(self, inputs: Tensor) -> Tensor:
        self._layer[0].train(self.training)  # here, since the mode is also set as a mere attribute (evaluation_mode)

        def call(own: dict[str, Tensor], own_inputs: Tensor) -> Any:
            return torch.func.functional_call(self._layer[0], own, (own_inputs,))

        outputs: Tensor = torch.func.vmap(call)(dict(self.named_parameters(recurse=False)), inputs)
        return outputs
