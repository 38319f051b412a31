"""Numbers as a network sees them best."""

from collections.abc import Sequence

import numpy as np


def quantile_edges(values: np.ndarray, bins: int) -> list[float]:
    """The edges of up to `bins` bins that hold equally many of `values` (n,), rising; equal ones are one edge."""
    return [float(edge) for edge in np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))]


def piecewise_linear(values: np.ndarray, edges: Sequence[float], bins: int) -> np.ndarray:
    """Numbers (n,) as columns (n, bins): how far each has come through each bin, 0 before it and 1 after it.

    Below the first edge the first column goes on below 0, and above the last edge the last one above 1, so that no two
    numbers look alike. Where there are fewer bins than `bins`, the columns that are left over are 0.
    (Gorishniy, Rubachev & Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022, equation 1.)
    """
    columns = np.zeros((len(values), bins))
    used = len(edges) - 1
    if used > 0:
        borders = np.asarray(edges)
        lowest, highest = np.zeros(used), np.ones(used)
        lowest[0], highest[-1] = -np.inf, np.inf
        columns[:, :used] = np.clip((values[:, None] - borders[:-1]) / np.diff(borders), lowest, highest)
    return columns
