"""Measure how far the optimizer moves the weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, StepMeans, require_positive, split_by_tensor


class Updates(Instrument):
    """The update ratio ‖w' - w‖ / ‖w‖ of each layer, w before and w' after an optimizer step; no unit.

    update_ratio of tensors "weight" and "bias" is the mean over an epoch's sampled steps, weighted by the samples of
    each batch. The update includes momentum, weight decay and clipping; it is 0 if a loss scaler skips the step. A
    step with ‖w‖ = 0 does not count for that tensor; without any other step the value is NaN. A healthy value is about
    1e-3: far below it a layer hardly learns, far above it training is unstable (Karpathy, CS231n, 2015).

    Args:
        every_n_steps: steps between samples, from the first step of each epoch.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_steps: int = 50):
        require_positive("updates.every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps
        self._norms = StepMeans()
        self._before: list[Tensor] = []
        self._samples: int | Tensor = 0

    def _get_weights(self) -> list[Tensor]:
        return [parameter.detach() for layer in self.learner.layers for _, parameter in layer.tensors]

    def before_step(self, step: int, samples: int | Tensor) -> None:
        if step % self.every_n_steps == 0:
            self._before = [weight.clone() for weight in self._get_weights()]
            self._samples = samples

    def after_step(self, step: int) -> None:
        if self._before:
            norms = quantities.update_norms(self._before, self._get_weights(), self.learner.lead)
            self._norms.add(self._samples, norms)
            self._before = []

    def measure(self, epoch: int) -> Iterable[Measured]:
        read = self._norms.read()
        if read is None:
            return
        weights, norms = read
        moved, size = norms.unbind(1)
        counted = weights.view(*weights.shape, *(1,) * (size.ndim - weights.ndim)) * (size != 0)
        ratios = torch.where(size != 0, moved / size, 0)
        owners = [(layer, tensor) for layer in self.learner.layers for tensor, _ in layer.tensors]
        yield from split_by_tensor("update_ratio", owners, (counted * ratios).sum(0) / counted.sum(0))
