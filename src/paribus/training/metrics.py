"""Compute the metrics that need all samples at once, such as torchmetrics', from a part's outputs."""

import math
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from paribus.record import N_FOLDS
from paribus.training.losses import Loss


class WholeMetrics:
    """The metrics of a run that are no means over samples: `metrics` by name, and a loss that does not decompose.

    Attributes:
        names: names of the values that `compute` returns.
    """

    def __init__(self, loss: Loss, metrics: Mapping[str, Metric]):
        self._loss = loss
        self._metrics = dict(metrics)
        self.names = (*(() if loss.decomposes else ("loss",)), *self._metrics)

    def compute(self, output: Tensor, targets: Tensor) -> dict[str, float]:
        """Compute each metric for all samples; NaN for fewer than two, and where an output is not finite."""
        found = {} if self._loss.decomposes else {"loss": float(self._loss(output, targets))}
        if not self._metrics:
            return found
        predictions, targets = self._loss.interpret(output).cpu(), targets.cpu()  # the same digits on every device
        usable = len(targets) > 1 and bool(torch.isfinite(predictions).all())
        return found | {
            name: compute_metric(metric, predictions, targets) if usable else math.nan
            for name, metric in self._metrics.items()
        }

    def compute_by_fold(self, output: Tensor, targets: Tensor, folds: Tensor | None) -> dict[str, np.ndarray]:
        """Compute each metric for the samples of each fold, (N_FOLDS,), by column of folds.parquet."""
        if folds is None:
            return {}
        places = [(folds == fold).nonzero().squeeze(1).to(output.device) for fold in range(N_FOLDS)]
        rows = [self.compute(output[chosen], targets[chosen]) for chosen in places]
        return {f"val/{name}": np.array([row[name] for row in rows]) for name in self.names}


def compute_metric(metric: Metric, predictions: Tensor, targets: Tensor) -> float:
    """Compute a metric for samples on the CPU that are all here: other processes have the same ones."""
    metric.distributed_available_fn = lambda: False
    metric.reset()
    with warnings.catch_warnings(action="ignore"):  # of a fold without samples of some class, in each epoch
        metric.update(predictions, targets)
        value = float(metric.compute())
    metric.reset()  # it may hold copies of the samples
    return value
