"""Declare the view that instruments have of a network in training."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from paribus.models.layers import WeightLayer

LossHook = Callable[[Tensor, Tensor, Tensor], None]


class Subject(Protocol):
    """The network of a run, or of a stack of K runs: then all tensors have a first axis of K.

    Attributes:
        network: the network, in training mode during an epoch.
        layers: the layers with weights, in order of depth.
        initial: each layer's weight before training, by path, on the CPU.
        lead: number of leading axes that count runs: 0, or 1 in a stack.
        loss_scaled: whether a loss scaler (16-mixed) skips steps whose gradients overflow.
        device: device of the network.
        loss_hook: function of inputs, outputs and loss that is called in each training step; None by default.
        calls_loss_hook: False for a LightningModule of the user's, whose training step calls none.
        stepping: of several optimizers the parameters of the first, by id, whose steps are observed; None: all.
    """

    network: nn.Module
    layers: Sequence[WeightLayer]
    initial: Mapping[str, Tensor]
    loss_hook: LossHook | None

    @property
    def calls_loss_hook(self) -> bool: ...

    @property
    def stepping(self) -> Collection[int] | None: ...

    @property
    def lead(self) -> int: ...

    @property
    def loss_scaled(self) -> bool: ...

    @property
    def device(self) -> torch.device: ...

    def infer(self, inputs: Tensor) -> Any:
        """Return the outputs for `inputs` in evaluation mode and in the run's precision, without gradients."""

    def predict(self, inputs: Tensor) -> Tensor:
        """Return what these outputs mean, in single precision: probabilities, or values in the unit of the targets."""


def list_stepped(subject: Subject) -> list[tuple[WeightLayer, str, nn.Parameter]]:
    """Return the tensors of the layers that the observed steps train: layer, name and parameter of each."""
    found = [(layer, *pair) for layer in subject.layers for pair in layer.tensors if pair[1].requires_grad]
    return [entry for entry in found if subject.stepping is None or id(entry[2]) in subject.stepping]
