"""Measure the gradients of the loss."""

import logging
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.instruments import quantities
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, StepMeans, require_positive, split_by_tensor
from paribus.instruments.subject import Subject, list_stepped
from paribus.models.layers import WeightLayer

log = logging.getLogger(__name__)


class Gradients(Instrument):
    """Statistics of each layer's gradient g, before clipping and unscaled under mixed precision.

    Quantities of tensors "weight" and "bias", in units of loss per weight, as means over an epoch's steps, weighted by
    the samples of each batch:
        grad_mean_abs: mean |g| of the elements; every step.
        grad_norm: 2-norm of g; sampled steps.
        grad_std: population standard deviation of the elements; sampled steps.
        grad_zero_fraction: fraction of elements that are exactly 0 (no unit); sampled steps.

    A layer without influence on the loss has gradients of 0; frozen layers are not measured. Steps that a loss scaler
    skips do not count.

    Args:
        every_n_steps: steps between samples, from the first step of each epoch.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_steps: int = 50):
        require_positive("gradients.every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps
        self._sums, self._sampled = StepMeans(), StepMeans()
        self._finite = torch.empty(0, 0, dtype=torch.bool)
        self._first_bad: list[float] = []  # step of the epoch, by run; infinity for none

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        self._find_parameters()
        frozen = [layer.path for layer in learner.layers if not layer.weight.requires_grad]
        if frozen:
            log.info("Gradients are not recorded of frozen layers: %s", ", ".join(frozen))

    def _find_parameters(self) -> None:
        found = list_stepped(self.learner)
        self._owners = [(layer, tensor) for layer, tensor, _ in found]
        self._parameters = [parameter for _, _, parameter in found]
        lead = self.learner.lead
        self._sizes = torch.tensor([p.shape[lead:].numel() for p in self._parameters], dtype=torch.float64)

    def before_step(self, step: int, samples: int) -> None:
        if step == 0:
            self._find_parameters()  # a user's callback may have unfrozen some
        if not self._parameters:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        if any(g.is_sparse for g in gradients):
            gradients = [g.to_dense() if g.is_sparse else g for g in gradients]
        lead = self.learner.lead
        self._sums.add(samples, quantities.sum_abs(gradients, lead))
        if step % self.every_n_steps == 0:
            norms = quantities.norm(gradients, lead)
            others = quantities.std(gradients, lead), quantities.zero_fraction(gradients, lead)
            self._sampled.add(samples, torch.stack([norms, *(other.to(norms.dtype) for other in others)]))

    def measure(self, epoch: int) -> Iterable[Measured]:
        sums, sampled = self._sums.read(), self._sampled.read()
        self._finite, self._first_bad = torch.empty(0, 0, dtype=torch.bool), []
        if sums is not None and sampled is not None:
            weights, vectors = sums
            self._finite = torch.isfinite(vectors)
            broken = ~self._finite.all(-1)
            first = torch.where(broken.any(0), broken.byte().argmax(0), math.inf)
            self._first_bad = first.flatten().tolist()
            yield from self._average(("grad_mean_abs",), weights, (vectors / self._sizes).unsqueeze(1))
            yield from self._average(("grad_norm", "grad_std", "grad_zero_fraction"), *sampled)

    def _average(self, names: tuple[str, ...], weights: Tensor, vectors: Tensor) -> Iterable[Measured]:
        """Average vectors (steps, names, ..., tensors) over the steps and yield each name's values."""
        if self.learner.loss_scaled:
            kept = torch.isfinite(vectors).flatten(1).all(1)
            weights, vectors = weights[kept], vectors[kept]
        averages = torch.tensordot(weights, vectors, dims=1) / weights.sum()
        for name, values in zip(names, averages, strict=True):
            yield from split_by_tensor(name, self._owners, values)

    def find_nonfinite_step(self, *run: int) -> int | None:
        """Return the first step with a non-finite gradient; None under a loss scaler, which skips such steps."""
        if self.learner.loss_scaled:
            return None
        bad = self._first_bad[run[0] if run else 0] if self._first_bad else math.inf
        return int(bad) if math.isfinite(bad) else None

    def find_nonfinite_layer(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """Return the layer nearest the output with a non-finite gradient: the first one in the backward pass."""
        if step >= len(self._finite):
            return None
        finite = self._finite[step, run[0]] if run else self._finite[step]
        bad = (~finite).nonzero().flatten().tolist()
        return (self._owners[bad[-1]][0], "gradient") if bad else None
