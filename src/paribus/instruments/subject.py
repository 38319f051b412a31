"""Declare what an instrument sees of the network that is trained."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from paribus.models.layers import WeightLayer

LossHook = Callable[[Tensor, Tensor, Tensor], None]


class Subject(Protocol):
    """The network of a run, or of a stack of K runs, whose tensors then have a first axis of K.

    Attributes:
        network: in training mode while it trains.
        layers: with weights, in order of depth.
        initial: each layer's weight before training, by its path, on the CPU.
        lead: axes of every tensor that count runs: 0, or 1 in a stack.
        loss_scaled: whether gradients are those of a scaled loss (16-mixed); a step that overflows is then skipped.
        loss_hook: called with inputs, outputs and loss of each training step, where an instrument asks for it.
    """

    network: nn.Module
    layers: Sequence[WeightLayer]
    initial: Mapping[str, Tensor]
    loss_hook: LossHook | None

    @property
    def lead(self) -> int: ...

    @property
    def loss_scaled(self) -> bool: ...

    @property
    def device(self) -> torch.device: ...

    def infer(self, inputs: Tensor) -> Any:
        """Return the outputs for `inputs` in evaluation mode and in the run's precision, without gradients."""
