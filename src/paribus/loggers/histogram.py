"""Define the histogram of a tensor."""

from dataclasses import dataclass

import numpy as np

from paribus.models.layers import WeightLayer


@dataclass(frozen=True)
class Histogram:
    """A histogram of a layer's weights or biases. A histogram without counts is not logged.

    In a stack of K runs, every array has a first axis of K.

    Attributes:
        layer, tensor: the layer, and "weight" or "bias".
        counts: number of values in each bin, (bins,).
        edges: edges of the bins, (bins + 1,).
        total, total_squares: sum of the values and of their squares, ().
    """

    layer: WeightLayer
    tensor: str
    counts: np.ndarray
    edges: np.ndarray
    total: np.ndarray
    total_squares: np.ndarray

    def select_run(self, k: int) -> "Histogram":
        """Return the histogram of the k-th run of a stack."""
        return Histogram(self.layer, self.tensor, self.counts[k], self.edges[k], self.total[k], self.total_squares[k])
