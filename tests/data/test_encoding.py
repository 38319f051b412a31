"""Piecewise-linear encoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paribus.data.encoding import compute_quantile_edges, encode_piecewise_linear


def test_by_hand() -> None:
    encoded = encode_piecewise_linear(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 7.0]), [0.0, 1.0, 4.0], bins=2)
    third = 1 / 3
    assert encoded == pytest.approx(
        np.array([[-1, 0], [0, 0], [0.5, 0], [1, 0], [1, third], [1, 1], [1, 2]]),
    )


def test_edges_hold_equally_many_and_are_told_apart() -> None:
    assert compute_quantile_edges(np.arange(101.0), 4) == [0, 25, 50, 75, 100]
    # more than half of the values are 0, as with slag and fly ash: two of the four bins would be empty
    assert compute_quantile_edges(np.array([0.0, 0, 0, 0, 0, 0, 8, 16]), 4) == [0, 2, 16]
    assert compute_quantile_edges(np.full(5, 3.0), 4) == [3]


def test_bins_that_there_are_not_stay_zero() -> None:
    encoded = encode_piecewise_linear(np.array([1.0, 5.0]), [0.0, 2.0], bins=3)
    assert encoded == pytest.approx(np.array([[0.5, 0, 0], [2.5, 0, 0]]))
    assert (encode_piecewise_linear(np.array([1.0, 3.0]), [3.0], bins=3) == 0).all(), "a column that never changes"


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), min_size=2, unique=True),
    st.integers(1, 8),
    st.floats(-2e3, 2e3),
)
def test_a_number_is_found_again_in_its_columns(values: list[float], bins: int, number: float) -> None:
    edges = compute_quantile_edges(np.array(values), bins)
    columns = encode_piecewise_linear(np.array([number]), edges, bins)[0, : len(edges) - 1]
    assert edges[0] + columns @ np.diff(edges) == pytest.approx(number, abs=1e-6)
    assert (columns[:-1] <= 1).all() and (columns[1:] >= 0).all()
