"""How far the optimizer moves the weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, StepMeans, require_positive, split_by_tensor


class Updates(Instrument):
    """update_ratio of each layer: ‖w after a step - w before‖ / ‖w before‖, the mean over an epoch's sampled steps.

    It is the real update, with momentum, decay and clipping, and 0 where a loss scaler skips the step; the mean is
    weighted by the samples of the batches. A guide is 1e-3: far below it a layer hardly learns, far
    above it is thrown about (Karpathy, 2015, CS231n). A tensor that was 0 before a step has no ratio: that step does
    not count for it.

    Args:
        every_n_steps: how often a step is sampled, from the first of each epoch on.
    """

    in_stack = "together"

    def __init__(self, every_n_steps: int = 50):
        require_positive("updates.every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps
        self._norms = StepMeans()
        self._before: list[Tensor] = []
        self._samples = 0

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for layer in self.learner.layers for _, parameter in layer.tensors]

    def before_step(self, step: int, samples: int) -> None:
        if step % self.every_n_steps == 0:
            self._before = [weight.clone() for weight in self._weights()]
            self._samples = samples

    def after_step(self, step: int) -> None:
        if self._before:
            self._norms.add(self._samples, quantities.update_norms(self._before, self._weights(), self.learner.lead))
            self._before = []

    def measure(self, epoch: int) -> Iterable[Measured]:
        read = self._norms.read()
        if read is None:
            return
        weights, norms = read
        moved, size = norms.unbind(1)
        counted = weights.view(-1, *(1,) * (size.ndim - 1)) * (size != 0)
        ratios = torch.where(size != 0, moved / size, 0)
        owners = [(layer, tensor) for layer in self.learner.layers for tensor, _ in layer.tensors]
        yield from split_by_tensor("update_ratio", owners, (counted * ratios).sum(0) / counted.sum(0))
