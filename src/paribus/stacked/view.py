"""Views of a stack for the instruments: like a learner and its data, with a first axis of runs in every tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from paribus.data.module import InMemory, Part
from paribus.models.layers import WeightLayer, evaluation_mode
from paribus.stacked.modules import get_member_state, stack_modules
from paribus.stacked.optimizer import StackedOptimizer
from paribus.stacked.sizes import stack_padded
from paribus.training.learner import Learner
from paribus.training.observed import average_loss
from paribus.training.sums import EpochSums


class StackView:
    """The stack in a learner's place, for the instruments: every tensor has a first axis of runs."""

    lead = 1
    loss_scaled = False
    loss_hook = None
    calls_loss_hook = True
    stepping = None

    def __init__(self, learners: Sequence[Learner]):
        self.network = stack_modules([learner.network for learner in learners])
        first = learners[0]
        self.device = first.device
        self.layers = [_make_stacked_layer(layer, first.network, self.network) for layer in first.layers]
        # not the weights of the networks, which are those of the checkpoint in a resumed stack
        self.initial = {layer.path: torch.stack([one.initial[layer.path] for one in learners]) for layer in self.layers}
        self.training_sums, self.validation_sums = EpochSums(), EpochSums()
        self.lr: list[float] = []  # learning rate of each run in the next step
        self.momentum: list[float | None] = []  # or Adam's beta1
        self.loss = first.loss
        self.optimizer: StackedOptimizer | None = None  # the stack sets it

    @property
    def step_losses(self) -> Tensor | None:
        return self.training_sums.ended

    def infer(self, inputs: Tensor) -> Tensor:
        """Return the networks' outputs (K, n, ...) in evaluation mode."""
        with evaluation_mode(self.network):
            return self.network(inputs)

    def compute_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean losses (K,) of inputs (K, n, ...) in evaluation mode, with gradients."""
        with evaluation_mode(self.network), torch.enable_grad():
            return average_loss(self.loss, self.network(inputs), targets, lead=1)

    def get_moments(self, parameter: Tensor) -> Mapping[str, Tensor]:
        """Return the optimizer's state tensors (K, ...) of the parameter's shape."""
        assert self.optimizer is not None
        return self.optimizer.get_moments(parameter)


def _make_stacked_layer(layer: WeightLayer, network: nn.Module, stacked: nn.Module) -> WeightLayer:
    """Return the layer of the stack that stands for a layer of the first network."""
    modules = {module: stacked.get_submodule(path) for path, module in network.named_modules()}
    parameters = {parameter: stacked.get_parameter(path) for path, parameter in network.named_parameters()}
    return replace(
        layer,
        module=modules[layer.module],
        weight=parameters[layer.weight],
        bias=None if layer.bias is None else parameters[layer.bias],
        route=tuple(modules[passed] for passed in layer.route),
    )


def share_memory(network: nn.Module, stacked: nn.Module, k: int) -> None:
    """Replace the tensors of a network by views of the k-th network in the stack."""
    state = get_member_state(stacked, k)
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        for name, parameter in module.named_parameters(recurse=False):
            parameter.data = state[prefix + name]
        for name in [name for name, _ in module.named_buffers(recurse=False)]:
            setattr(module, name, state[prefix + name])


@dataclass(frozen=True)
class StackProbes:
    """The data modules of a stack, as far as instruments use them."""

    modules: Sequence[InMemory]

    @property
    def val(self) -> Part | None:
        return self.modules[0].val

    def get_first_inputs(self, split: Literal["train", "val"], n: int) -> Tensor:
        """Return the first n inputs of every run, (K, n, ...); its last stands in places that a run has none for."""
        return stack_padded([module.get_first_inputs(split, n) for module in self.modules])

    def get_training_probe(self, n: int) -> Part | None:
        """Return the first n training samples of every run: inputs (K, n, ...) and targets (K, n, ...)."""
        parts = [module.get_training_probe(n) for module in self.modules]
        return torch.stack([inputs for inputs, _ in parts]), torch.stack([targets for _, targets in parts])

    def count_probe(self, n: int) -> list[int]:
        """Return how many of the first n validation samples each run has."""
        return [min(n, module.count("val")) for module in self.modules]

    def get_probe(self, n: int) -> Tensor | None:
        """Return the first n validation inputs of every run, (K, n, ...); None without validation."""
        return self.get_first_inputs("val", n) if self.modules[0].count("val") else None
