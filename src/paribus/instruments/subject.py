"""Declare the view that instruments have of a network in training."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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
        loss_hook: function of inputs, outputs and loss that is called in each training step; None by default.
        calls_loss_hook: False for a LightningModule of the user's, whose training step calls none.
        stepping: of several optimizers the parameters of the first, by id, whose steps are observed; None: all.
        lr: learning rate of the last optimizer step; (K,) in a stack.
        step_losses: training losses of the ended epoch's batches, (n,) or (n, K), float64 on the CPU; None where a
            batch is shared by several processes, or no batch has returned a loss.
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
    def lr(self) -> float | Tensor: ...

    @property
    def step_losses(self) -> Tensor | None: ...

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

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, () or (K,), in evaluation mode, in the weights' precision and with gradients.

        Only called where the data have a probe with targets. Losses of samples are averaged in double precision.
        """

    def get_moments(self, parameter: Tensor) -> Mapping[str, Tensor]:
        """Return the optimizer's state tensors that have the parameter's shape, such as exp_avg, by name.

        In a stack the rows of runs whose optimizer has no such tensor are NaN.
        """


def select_moments(optimizers: Iterable[Optimizer], parameter: Tensor) -> dict[str, Tensor]:
    """Return the state tensors of a parameter that have its shape; see Subject.get_moments."""
    states = [optimizer.state[parameter] for optimizer in optimizers if parameter in optimizer.state]
    moments = [(name, value) for state in states for name, value in state.items() if isinstance(value, Tensor)]
    return {name: value for name, value in moments if value.shape == parameter.shape}


def list_trained(subject: Subject) -> list[nn.Parameter]:
    """Return all parameters of the network that the observed steps train."""
    trained = [parameter for parameter in subject.network.parameters() if parameter.requires_grad]
    return [p for p in trained if subject.stepping is None or id(p) in subject.stepping]


def list_stepped(subject: Subject) -> list[tuple[WeightLayer, str, nn.Parameter]]:
    """Return the tensors of the layers that the observed steps train: layer, name and parameter of each."""
    found = [(layer, *pair) for layer in subject.layers for pair in layer.tensors if pair[1].requires_grad]
    return [entry for entry in found if subject.stepping is None or id(entry[2]) in subject.stepping]
