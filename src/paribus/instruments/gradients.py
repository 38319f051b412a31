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
from paribus.instruments.measurement import Measured, StepMeans, average_steps, require_positive, split_by_tensor
from paribus.instruments.subject import Subject
from paribus.models.layers import WeightLayer

log = logging.getLogger(__name__)


class Gradients(Instrument):
    """Statistics of each layer's gradient g, before clipping and unscaled under mixed precision.

    Quantities of tensors "weight" and "bias", in units of loss per weight, as means over an epoch's steps, weighted by
    the samples of each batch:
        grad_norm: 2-norm of g; every step.
        grad_mean_abs: mean |g| of the elements.
        grad_std: population standard deviation of the elements.
        grad_zero_fraction: fraction of elements that are exactly 0 (no unit).

    The last three are measured in the first `every_n_steps` steps of an epoch, and then in every n-th one, which counts
    for those up to the next. Where steps are left out, grad_mean_abs and grad_std are estimates: grad_norm times the
    ratio of their mean to that of ‖g‖ in the sampled steps (a ratio estimator: Cochran, Sampling Techniques, 1977,
    chapter 6). docs/instruments.md has their errors. Where all sampled gradients are 0, both are 0.

    A layer without influence on the loss has gradients of 0; frozen layers are not measured. Steps that a loss scaler
    skips do not count.

    Args:
        every_n_steps: steps between samples.

    Raises UserError for an argument below 1.
    """

    in_stack = "together"

    def __init__(self, every_n_steps: int = 10):
        require_positive("gradients.every_n_steps", every_n_steps)
        self.every_n_steps = every_n_steps
        self._norms, self._sampled = StepMeans(), StepMeans()
        self._steps: list[int] = []  # the sampled ones
        self._owners: list[tuple[WeightLayer, str]] = []
        self._places: list[int] = []  # of the layers' tensors among all gradients
        self._finite = torch.empty(0, 0, dtype=torch.bool)
        self._first_bad: list[float] = []  # step of the epoch, by run; infinity for none

    def attach(self, learner: Subject, data: InMemory | ForeignData) -> None:
        super().attach(learner, data)
        frozen = [layer.path for layer in learner.layers if not layer.weight.requires_grad]
        if frozen:
            log.info("Gradients are not recorded of frozen layers: %s", ", ".join(frozen))

    def before_step(self, step: int, samples: int | Tensor) -> None:
        if step == 0:  # a user's callback may have unfrozen some
            self._owners, self._places = self.gradients.find_layers()
            parameters, lead = self.gradients.parameters, self.learner.lead
            sizes = [parameters[place].shape[lead:].numel() for place in self._places]
            self._sizes = torch.tensor(sizes, dtype=torch.float64)
        if not self._places:
            return
        self._norms.add(samples, self.gradients.norms)
        if step < self.every_n_steps or step % self.every_n_steps == 0:
            gradients, lead = [self.gradients.tensors[place] for place in self._places], self.learner.lead
            norms = self.gradients.norms[..., self._places]
            summary = quantities.summarise(gradients, lead, norms)
            self._sampled.add(samples, torch.cat([norms.unsqueeze(0), summary]))
            self._steps.append(step)

    def measure(self, epoch: int) -> Iterable[Measured]:
        every, sampled = self._norms.read(), self._sampled.read()
        self._finite, self._first_bad = torch.empty(0, 0, dtype=torch.bool), []
        if every is None or sampled is None:
            return
        weights, norms = every[0], every[1][..., self._places]
        self._finite = torch.isfinite(norms)
        broken = ~self._finite.all(-1)
        first = torch.where(broken.any(0), broken.byte().argmax(0), math.inf)
        self._first_bad = first.flatten().tolist()
        norm = self._average(weights, norms)
        n, steps = self.every_n_steps, torch.tensor(self._steps)
        counts = torch.where(steps < n, 1, (len(norms) - steps).clamp(max=n))  # the steps that each stands for
        weights, vectors = sampled
        stands_for = counts.view(-1, *(1,) * (weights.ndim - 1))
        sampled_norm, sums, std, zero_fraction = self._average(weights * stands_for, vectors)
        self._steps = []
        as_sampled = (norm == sampled_norm) | ((sampled_norm == 0) & norm.isfinite())  # also where both are infinite
        ratio = torch.where(as_sampled, 1, norm / sampled_norm)
        values = {"grad_mean_abs": sums / self._sizes * ratio, "grad_norm": norm, "grad_std": std * ratio}
        for name, value in {**values, "grad_zero_fraction": zero_fraction}.items():
            yield from split_by_tensor(name, self._owners, value)

    def _average(self, weights: Tensor, vectors: Tensor) -> Tensor:
        """Average vectors (steps, ...) over the steps."""
        if self.learner.loss_scaled:
            kept = torch.isfinite(vectors).flatten(1).all(1)
            weights, vectors = weights[kept], vectors[kept]
        return average_steps(weights, vectors)

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
