"""Encode numbers and texts as network inputs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from paribus.errors import unknown_name


def compute_quantile_edges(values: np.ndarray, bins: int) -> list[float]:
    """Return the increasing edges of up to `bins` bins with equally many of `values` (n,); equal edges are merged."""
    return [float(edge) for edge in np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))]


def encode_piecewise_linear(values: np.ndarray, edges: Sequence[float], bins: int) -> np.ndarray:
    """Encode numbers (n,) as columns (n, bins): the position of each within each bin, 0 before it and 1 after it.

    The first column continues below 0 and the last above 1, so that different numbers have different codes. With fewer
    than `bins` bins between `edges`, the remaining columns are 0. (Equation 1 of Gorishniy, Rubachev & Babenko, On
    Embeddings for Numerical Features in Tabular Deep Learning, 2022.)
    """
    columns = np.zeros((len(values), bins))
    used = len(edges) - 1
    if used > 0:
        borders = np.asarray(edges)
        lowest, highest = np.zeros(used), np.ones(used)
        lowest[0], highest[-1] = -np.inf, np.inf
        columns[:, :used] = np.clip((values[:, None] - borders[:-1]) / np.diff(borders), lowest, highest)
    return columns


def encode_one_hot(values: pd.Series, name: str, known: Sequence[str]) -> np.ndarray:
    """Encode texts (n,) as columns (n, len(known)): 1 in the column of the value, 0 in the others.

    Raises UserError for a value of the column `name` that is none of `known`.
    """
    places = pd.Index(known).get_indexer(pd.Index(values))
    unknown = values[places < 0]
    if len(unknown):
        raise unknown_name(unknown.iloc[0], f"the values of the column {name} that the run knows", known)
    return np.eye(len(known))[places]
