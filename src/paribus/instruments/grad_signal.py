"""Measure on how much of the gradient the batches of an epoch agree."""

from collections.abc import Iterable

import torch
from torch import Tensor

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, StepMeans, average_steps, require_positive, split_by_tensor
from paribus.models.layers import WeightLayer


class GradSignal(Instrument):
    """The share of each layer's squared gradient on which the batches of an epoch agree.

    Quantity of tensors "weight" and "bias", without unit:
        grad_signal: ‖mean g‖² / mean ‖g‖² over the sampled steps of an epoch. g is the gradient before clipping; means
            are weighted by samples. 1: all batches have the same gradient. For n gradients of noise alone it is 1/n on
            average. It includes the change of the gradient with the weights over the epoch.

    It holds one gradient in memory and adds to it in each sampled step. Frozen layers are not measured, nor is a run
    whose loss is scaled (16-mixed), since steps that overflow would spoil the sum.

    Args:
        every_n_steps: steps between samples, from the first step of each epoch.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_steps: int = 1):
        require_positive("grad_signal.every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps
        self._norms = StepMeans()
        self._owners: list[tuple[WeightLayer, str]] = []
        self._places: list[int] = []  # of the layers' tensors among all gradients
        self._sums: list[Tensor] = []

    def before_step(self, step: int, samples: int | Tensor) -> None:
        if step % self.every_n_steps or self.learner.loss_scaled:
            return
        if step == 0:
            self._owners, self._places = self.gradients.find_layers()
            parameters = self.gradients.parameters
            self._sums = [torch.zeros_like(parameters[place], dtype=torch.float32) for place in self._places]
        if not self._places:
            return
        for total, place in zip(self._sums, self._places, strict=True):
            gradient = self.gradients.tensors[place]
            if isinstance(samples, int):
                total.add_(gradient, alpha=samples)
            else:
                total.addcmul_(gradient, samples.to(total.dtype).view(-1, *(1,) * (total.ndim - 1)))
        self._norms.add(samples, self.gradients.norms)

    def measure(self, epoch: int) -> Iterable[Measured]:
        read = self._norms.read()
        if read is None:
            return
        weights, norms = read[0], read[1][..., self._places]
        mean_square = average_steps(weights, norms.square())
        mean_norm = quantities.norm(self._sums, self.learner.lead).cpu().double() / weights.sum(0).unsqueeze(-1)
        self._sums = []
        yield from split_by_tensor("grad_signal", self._owners, mean_norm.square() / mean_square)
