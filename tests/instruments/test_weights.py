"""Histograms of weights."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from paribus.instruments.weights import BINS, Weights
from paribus.loggers.histogram import Histogram

# On a grid, so that where a number falls does not depend on rounding.
NUMBERS = st.integers(0, 63).map(lambda n: n - 17.0) | st.sampled_from([np.nan, np.inf, -np.inf])


def histogram(weight: torch.Tensor, lead: int) -> Histogram:
    weights: Any = Weights()
    weights.learner = SimpleNamespace(lead=lead, layers=[SimpleNamespace(tensors=[("weight", nn.Parameter(weight))])])
    [found] = weights.histograms(0, last=False)
    return found


@given(st.lists(st.lists(NUMBERS, min_size=6, max_size=6), min_size=1, max_size=4))
def test_a_histogram_counts_what_numpys_does_of_each_run(rows: list[list[float]]) -> None:
    together = histogram(torch.tensor(rows, dtype=torch.float64).view(-1, 2, 3), lead=1)
    for k, row in enumerate(rows):
        values = np.array([0.0, 64.0, *row])  # the range is that of the bins
        alone, of_run = histogram(torch.tensor(values), lead=0), together.select_run(k)
        finite = np.array([value for value in row if np.isfinite(value)])
        counts, edges = np.histogram([0, 64, *finite], BINS)
        assert alone.counts.tolist() == counts.tolist()
        assert alone.edges == pytest.approx(edges)
        assert (alone.total, alone.total_squares) == (64 + finite.sum(), 64**2 + np.square(finite).sum())
        assert of_run.counts.sum() == len(finite)
        if len(set(finite)) > 1:
            assert (of_run.edges[0], of_run.edges[-1]) == (finite.min(), finite.max())
            assert (of_run.counts[0] > 0, of_run.counts[-1] > 0) == (True, True)
        assert (of_run.total, of_run.total_squares) == (finite.sum(), np.square(finite).sum())


@pytest.mark.parametrize("value", [0.0, 0.5, -3e30, 1e-40])
def test_equal_weights_are_in_one_bin_with_others_around_it(value: float) -> None:
    found = histogram(torch.full((4,), value), lead=0)
    assert found.counts.sum() == 4
    assert sorted(found.counts)[-1] == 4
    assert found.edges[0] < value < found.edges[-1]


def test_what_has_no_range_is_left_out_and_loses_nothing() -> None:
    found = histogram(torch.tensor([1e308, -1e308, 2.0, 3.0], dtype=torch.float64), lead=0)
    assert (found.counts.sum(), found.edges[0], found.edges[-1]) == (2, 2, 3)
    torch.set_flush_denormal(True)  # as while a run trains: the difference is 0 then
    try:
        assert histogram(torch.tensor([2.3e-308, 2.2e-308], dtype=torch.float64), lead=0).counts.sum() == 2
    finally:
        torch.set_flush_denormal(False)
    weights: Any = Weights()
    weights.learner = SimpleNamespace(lead=0, layers=[SimpleNamespace(tensors=[("weight", torch.zeros(0, 3))])])
    assert list(weights.histograms(0, last=False)) == []
