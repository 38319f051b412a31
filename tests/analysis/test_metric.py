"""How figures and differences are shown: never beyond what is possible, never rounded to nothing."""

import math
import re

import numpy as np
import pytest

from multirun_analysis.compare.inference import estimate
from multirun_analysis.compare.metric import Metric, parse_margin
from paribus.errors import UserError

ACCURACY, LOSS = Metric("settled_val_acc"), Metric("settled_val_loss")


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]


@pytest.mark.parametrize("seed", range(20))
def test_an_interval_of_shares_stays_within_0_and_100_percent(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.array([0.0, 0.001, 0.02 + 0.01 * random.random()])
    values = 1 - values if seed % 2 else values
    low, high = estimate(values).interval
    assert low < 0 or high > 1  # else it would show nothing
    shown = numbers(ACCURACY.show_range(low, high))
    assert 0 <= shown[0] <= shown[1] <= 100
    assert shown == pytest.approx([100 * max(0, low), 100 * min(1, high)], abs=0.005)


@pytest.mark.parametrize("size", [1e-8, 1e-6, 0.0003, 0.02, 3.0, 400.0])
@pytest.mark.parametrize("metric", [ACCURACY, LOSS])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_keeps_two_digits_however_small(metric: Metric, size: float, sign: int) -> None:
    text = metric.show_difference(sign * size)
    scaled = sign * size * (100 if metric.is_share else 1)
    (shown,) = numbers(text)
    assert shown == pytest.approx(scaled, rel=0.05, abs=5e-9) and shown != 0
    assert text.endswith(" points") == metric.is_share


def test_a_difference_far_below_its_interval_is_no_negative_zero() -> None:
    assert LOSS.show_difference(-0.0001, 0.3) == LOSS.show_difference(0.0001, 0.3) == "0.00"
    assert ACCURACY.show_interval(-0.00001, 0.006) == "[0.00, 0.60]"


@pytest.mark.parametrize("seed", range(10))
def test_a_difference_is_shown_within_its_interval_to_the_same_digit(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(0, 10.0 ** random.integers(-5, 3), 4)
    found = estimate(values)
    shown = numbers(LOSS.show_estimate(found, log=False))
    half = (found.interval[1] - found.interval[0]) / 2
    assert shown == pytest.approx([found.mean, *found.interval], abs=0.05 * half)
    assert shown[1] <= shown[0] <= shown[2]
    as_ratio = numbers(LOSS.show_estimate(found._replace(mean=0.1, error=0.02), log=True))
    assert as_ratio[0] == pytest.approx(math.exp(0.1), rel=0.005)


def test_one_replicate_has_no_interval() -> None:
    assert LOSS.show_estimate(estimate(np.array([2.5])), log=False) == "2.5"
    assert LOSS.show_estimate(estimate(np.array([math.log(2)])), log=True) == "a factor of 2"
    assert "nan" not in ACCURACY.show_estimate(estimate(np.array([0.01])), log=False)


def test_a_margin_of_shares_is_in_points_and_one_of_a_loss_in_its_unit() -> None:
    assert parse_margin("0.2pt", ACCURACY) == pytest.approx(0.002)
    assert parse_margin(" 1.5 points", ACCURACY) == pytest.approx(0.015)
    assert parse_margin("5e-1", LOSS) == 0.5


@pytest.mark.parametrize("text", ["0.2", "0.2%", "0.2 %", "0pt", "-1pt", "nanpt", "1..2pt", "pt", ""])
def test_a_margin_that_could_be_read_twice_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"does not fit settled_val_acc: .* such as 0\.2pt"):
        parse_margin(text, ACCURACY)
