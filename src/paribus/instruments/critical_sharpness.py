"""Measure how far the optimizer could go along its last update before the loss rises."""

from collections.abc import Mapping

import torch
from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments.curvature import find_critical_scale
from paribus.instruments.probe import ProbeInstrument
from paribus.instruments.subject import Subject, list_trained


class CriticalSharpness(ProbeInstrument):
    """The sharpness of the loss along the last update of an epoch, by forward passes alone (arXiv 2601.16979).

    w' - w is the last update of the epoch (the last of a whole batch, where the last batch is smaller) and s the
    smallest multiple of it at which the loss of the probe rises: L(w + s (w' - w)) > L(w).

    Columns of metrics.csv:
        curvature/critical_sharpness: 2 / (s x learning rate), in units of loss per squared weight for gradient descent.
            On a quadratic loss it is then gᵀHg / gᵀg, at most the largest eigenvalue of H.
        curvature/stability_margin: 1 / s = learning rate x critical sharpness / 2. From 1 on, a step as long as the
            last one no longer lowers the loss.

    With momentum or Adam the direction is their own update: the margin keeps its meaning, and the sharpness is that of
    the loss in the optimizer's units (for Adam: preconditioned). Where the update does not lower the loss of the probe
    at any length, or by less than rounding, both cells stay empty. Arguments are those of ProbeInstrument.
    """

    in_stack = "together"
    option, what = "critical_sharpness", "Critical sharpness"

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        self._parameters: list[Tensor] = []
        self._before: list[Tensor] = []
        self._update: list[Tensor] = []
        self._kept_step = 0  # whose update is measured; the number is that of the former epoch until it is reached
        self._largest = 0  # number of samples in a batch
        self._rate: float | Tensor = 0.0

    def before_step(self, step: int, samples: int | Tensor) -> None:
        if not self.available:
            return
        if step == 0:
            self._parameters = [parameter.detach() for parameter in list_trained(self.learner)]
            self._before, self._update = [], []
        most = samples if isinstance(samples, int) else 0  # no whole batch, unless it is the only one
        if step >= self._kept_step and most >= self._largest:
            self._kept_step, self._largest, self._rate = step, most, self.learner.lr
            self._before = [parameter.clone() for parameter in self._parameters]

    def after_step(self, step: int) -> None:
        if self._before and step == self._kept_step:
            self._update = [new - old for old, new in zip(self._before, self._parameters, strict=True)]

    def scalars(self, epoch: int) -> Mapping[str, Tensor]:
        if not self._before:
            return {}
        before, update, self._before, self._update = self._before, self._update, [], []
        if (epoch - 1) % self.every_n_epochs:
            return {}
        now = [parameter.clone() for parameter in self._parameters]

        def loss_at(scale: Tensor) -> Tensor:
            for parameter, old, moved in zip(self._parameters, before, update, strict=True):
                own = scale.to(moved).view(-1, *(1,) * (moved.ndim - 1)) if scale.ndim else scale.to(moved)
                parameter.copy_(torch.addcmul(old, moved, own))
            return self.compute_loss().detach()

        try:
            scale = find_critical_scale(loss_at, 8 * torch.finfo(now[0].dtype).eps)
        finally:
            for parameter, old in zip(self._parameters, now, strict=True):
                parameter.copy_(old)
        self.explain_gap(scale, epoch, "the last update does not lower the loss of the probe by more than rounding.")
        rate = torch.as_tensor(self._rate).to(scale)
        return {"curvature/critical_sharpness": 2 / (scale * rate), "curvature/stability_margin": 1 / scale}
