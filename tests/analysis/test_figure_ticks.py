"""Ticks have round labels and room for them."""

import math

import numpy as np
import pytest

from multirun_analysis.figures.axes import Scale, choose_scale
from multirun_analysis.figures.outcomes import ratio_ticks


@pytest.mark.parametrize("lowest", [1e-3, 1e-9, 1e-33, 1e-120])
def test_the_label_of_zeros_has_room(lowest: float) -> None:
    """Labels are 7 % of the axis high."""
    scale = choose_scale([[1.0, lowest, 0.0]], log=True, room=np.inf)
    assert scale.ticks[scale.floor] == "0"
    places = np.log10(sorted(scale.ticks)) / np.log10(scale.high / scale.low)
    assert len(places) > 2 and np.diff(places).min() > 0.065


def test_an_axis_without_zeros_keeps_its_ticks() -> None:
    assert list(Scale(1.0, 1e4, log=True).ticks.values()) == ["1", "10", "100", "1000", "10000"]


@pytest.mark.parametrize("reach", [1e-4, 0.003, 0.05, 0.2, 0.7, 1.5, 3.3, 8.0])
def test_ratios_are_round_and_inside(reach: float) -> None:
    ticks = ratio_ticks(reach)
    assert list(ticks) == sorted(ticks) and 3 <= len(ticks) <= 7
    assert max(ticks) <= reach and min(ticks) == -max(ticks)
    for place, label in ticks.items():
        ratio = float(label.rstrip("x")) if label.endswith("x") else 1 / float(label.removeprefix("1/"))
        assert math.isclose(math.log(ratio), place, abs_tol=1e-9)
        assert len(label) <= 9
