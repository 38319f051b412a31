"""Hold the histogram of a tensor."""

from dataclasses import dataclass

import numpy as np

from paribus.models.layers import WeightLayer


@dataclass(frozen=True)
class Histogram:
    """`counts` (k,) of a layer's values between `edges` (k + 1,), with the sum of the values and of their squares, ().

    Of a stack of K runs each has a first axis of K. One that counts nothing is not shown.
    """

    layer: WeightLayer
    tensor: str
    counts: np.ndarray
    edges: np.ndarray
    total: np.ndarray
    total_squares: np.ndarray

    def select_run(self, k: int) -> "Histogram":
        """That of the k-th run of a stack."""
        return Histogram(self.layer, self.tensor, self.counts[k], self.edges[k], self.total[k], self.total_squares[k])
