"""The loss of a run: torch's or a user's own, its task, and what a network's outputs mean under it."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Task = Literal["classification", "binary", "regression"]


class QuantileLoss(nn.Module):
    """The quantile (pinball) loss, whose minimum is the quantile of `level` (Koenker & Bassett, 1978)."""

    def __init__(self, level: float, reduction: str = "mean"):
        super().__init__()
        self.level = level
        self.reduction = reduction

    def forward(self, output: Tensor, targets: Tensor) -> Tensor:
        error = targets - output
        losses = torch.maximum(self.level * error, (self.level - 1) * error)
        return losses.mean() if self.reduction == "mean" else losses


TASKS: dict[type[nn.Module], Task] = {
    nn.CrossEntropyLoss: "classification",
    nn.NLLLoss: "classification",
    nn.BCEWithLogitsLoss: "binary",
    nn.MSELoss: "regression",
    nn.L1Loss: "regression",
    nn.HuberLoss: "regression",
    nn.SmoothL1Loss: "regression",
    nn.PoissonNLLLoss: "regression",
    QuantileLoss: "regression",
}


def find_task(kind: object) -> Task | None:
    """Return the task of a class of losses, or of the class that it derives from; None if unknown."""
    bases = kind.__mro__ if isinstance(kind, type) else ()
    return next((TASKS[base] for base in bases if base in TASKS), None)


class Loss:
    """A loss as a learner uses it: called with a batch's outputs and targets, it returns a scalar.

    It is no module, so that its tensors are in no checkpoint; `to` moves them.

    Args:
        make: makes the loss, a module; if `has_samples`, also one that returns the loss of each sample, by
            reduction="none".
        task: "binary" is classification by one score, that of class 1.
        has_samples: whether `make` takes a reduction.

    Attributes:
        decomposes: whether the loss of a batch is the mean of the losses of its samples.
    """

    def __init__(self, make: Callable[..., nn.Module], task: Task, has_samples: bool):
        self.module = make(reduction="mean") if has_samples else make()
        self._samples = make(reduction="none") if has_samples else None
        self.task = task
        self.binary = task == "binary"
        self.has_samples = has_samples
        self.decomposes = has_samples and self.weights is None
        self.counts = isinstance(self.module, nn.PoissonNLLLoss) and self.module.log_input
        converts = self.binary or any(True for _ in self.module.buffers())
        self._of_batch = self._convert_and_call if converts else self.module.forward

    @property
    def weights(self) -> Tensor | None:
        """The weight of each class, by whose sum torch divides the loss of a batch; None: no weights."""
        return self.module.weight if isinstance(self.module, nn.CrossEntropyLoss | nn.NLLLoss) else None

    def __call__(self, output: Tensor, targets: Tensor) -> Tensor:
        return self._of_batch(output, targets)

    def _convert_and_call(self, output: Tensor, targets: Tensor) -> Tensor:
        return self.module(*self._convert(output, targets))

    def _convert(self, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Convert outputs to the precision of the loss's own tensors, and for a binary loss both to floats (n,)."""
        for own in self.module.buffers():
            output = output.to(own.dtype)
        return (output.flatten(), targets.to(output.dtype)) if self.binary else (output, targets)

    def of_samples(self, output: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each sample, (n,)."""
        assert self._samples is not None
        return self._samples(*self._convert(output, targets))

    def average(self, losses: Tensor, targets: Tensor, real: Tensor | None = None) -> Tensor:
        """Average losses of samples (..., n) with `targets` (..., n) as the loss of a batch does; return (...).

        `real`: which of them are samples, (..., n); None: all. The average of none is 0.
        """
        if self.weights is None and real is None:
            return losses.mean(-1)
        shares = torch.ones_like(losses) if self.weights is None else self.weights[targets]
        if real is not None:
            losses, shares = losses.masked_fill(~real, 0), shares.masked_fill(~real, 0)
        total = shares.sum(-1)
        return losses.sum(-1) / (total if real is None else total.clamp(min=torch.finfo(total.dtype).tiny))

    def to(self, device: torch.device) -> None:
        """Move the loss's own tensors to a device."""
        for module in (self.module, self._samples):
            if module is not None:
                module.to(device)

    def interpret(self, output: Tensor) -> Tensor:
        """Return what outputs mean: probabilities (n, classes), of class 1 (n,) if binary, or values (n,)."""
        if self.binary:
            return output.flatten().sigmoid()
        if self.task == "classification":
            return output.softmax(1)
        return output.exp() if self.counts else output

    def find_output(self, values: Tensor) -> Tensor:
        """Return the outputs of a regression that mean these values."""
        return values.log() if self.counts else values
