"""Differences whose size depends on another factor, against scipy's paired test of the two differences."""

import numpy as np
import pytest
from made_studies import Row, judged
from scipy import stats
from statsmodels.stats.multitest import multipletests

from multirun_analysis.compare.varying_effects import find_varying_effects

NOISE = np.array([[0.0, 0.3, -0.2, 0.1, -0.4], [0.2, -0.1, 0.4, -0.3, 0.1], [-0.3, 0.2, 0.1, 0.0, 0.3]])


def crossed(gaps: dict[str, float]) -> list[Row]:
    """Make five seeds of two activations with some optimizers, with known gaps and noise of relu."""
    rows: list[Row] = []
    for k, (optim, gap) in enumerate(gaps.items()):
        for seed in range(5):
            shared = 10.0 + 5.0 * seed + 20 * k
            rows.append(({"activation": "relu", "optim": optim}, seed, shared + gap + NOISE[k, seed]))
            rows.append(({"activation": "tanh", "optim": optim}, seed, shared))
    return rows


def test_the_two_differences_are_compared_by_seed() -> None:
    gaps = {"adam": 9.0, "sgd": 3.0, "rmsprop": 3.2}
    (found,) = find_varying_effects([judged(crossed(gaps))["activation"]], 1)
    assert (found.a, found.b, found.other, found.most) == ("relu", "tanh", "optim", "adam")
    tests = [stats.ttest_1samp(NOISE[i] - NOISE[j] + a - b, 0)
             for i, j, a, b in ((0, 1, 9.0, 3.0), (0, 2, 9.0, 3.2), (1, 2, 3.0, 3.2))]  # fmt: skip
    corrected = multipletests([test.pvalue for test in tests], method="holm")[1]
    clearest = int(np.argmin(corrected))
    assert found.least == ("sgd", "rmsprop")[clearest]
    assert found.p_adjusted == pytest.approx(corrected[clearest])
    at_most = stats.ttest_1samp(9.0 + NOISE[0], 0)
    assert found.at_most.mean == pytest.approx(9.0 + NOISE[0].mean())
    assert found.at_most.interval == pytest.approx(tuple(at_most.confidence_interval(0.95)))


def test_less_of_a_loss_is_better() -> None:
    (found,) = find_varying_effects([judged(crossed({"adam": -9.0, "sgd": -3.0}), sign=-1)["activation"]], -1)
    assert (found.a, found.most, found.least) == ("relu", "adam", "sgd")
    assert found.at_most.mean < found.at_least.mean < 0, "relu less tanh"


@pytest.mark.parametrize(
    "rows",
    [
        crossed({"adam": 9.0, "sgd": 9.1, "rmsprop": 8.9}),  # within the noise
        crossed({"adam": 1.0, "sgd": -1.0}),  # nothing is concluded on average
    ],
    ids=["alike", "undecided"],
)
def test_nothing_varies(rows: list[Row]) -> None:
    assert find_varying_effects([judged(rows)["activation"]], 1) == []


def test_ratios_of_losses_that_span_much_are_compared_as_ratios() -> None:
    rows: list[Row] = []
    for k, optim in enumerate(("adam", "sgd")):
        for seed in range(5):
            for activation, ratio in (("relu", 0.25), ("tanh", 1.0)):
                value = 10.0**k * (1 + seed / 10) * ratio * (1 + 0.01 * NOISE[k, seed] * (activation == "relu"))
                rows.append(({"activation": activation, "optim": optim}, seed, value))
    result = judged(rows, sign=-1, loss=True)["activation"]
    assert result.log and result.winner == "relu"
    assert find_varying_effects([result], -1) == [], "a quarter at either, though the losses differ tenfold"
