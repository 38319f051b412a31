"""Levels of other factors at which a concluded difference turns round, against scipy's paired test there."""

import numpy as np
import pytest
from made_studies import INFINITE, Row, judged
from scipy import stats
from statsmodels.stats.multitest import multipletests

from multirun_analysis.compare.reversals import find_reversals

NOISE = [0.0, 0.3, -0.2, 0.1, -0.4]
GAPS = {"adam": 9.0, "sgd": -3.0}  # of relu less tanh


def crossed(gaps: dict[str, float]) -> list[Row]:
    """Make five seeds of two activations with two optimizers, with known gaps and noise of relu."""
    rows: list[Row] = []
    for k, (optim, gap) in enumerate(gaps.items()):
        for seed, own in enumerate(NOISE):
            shared = 5.0 * seed + 20 * k
            rows.append(({"activation": "relu", "optim": optim}, seed, shared + gap + own * (1 + k)))
            rows.append(({"activation": "tanh", "optim": optim}, seed, shared))
    return rows


def test_a_difference_that_turns_round_is_named_with_the_paired_test_there() -> None:
    result = judged(crossed(GAPS))["activation"]
    assert result.winner == "relu", "on average"
    (found,) = find_reversals([result], 1, False)
    assert (found.other, found.level, found.pair.a, found.pair.b) == ("optim", "sgd", "tanh", "relu")
    there = stats.ttest_1samp(3.0 - 2 * np.array(NOISE), 0)
    assert found.pair.estimate.mean == pytest.approx(3.0 - 2 * np.mean(NOISE))
    assert found.pair.estimate.interval == pytest.approx(tuple(there.confidence_interval(0.95)))
    elsewhere = stats.ttest_1samp(9.0 + np.array(NOISE), 0)
    assert found.pair.p_adjusted == pytest.approx(multipletests([elsewhere.pvalue, there.pvalue], method="holm")[1][1])
    assert found.coverage == 1.0


def test_lower_is_better_of_a_loss() -> None:
    (one,) = find_reversals([judged(crossed(GAPS), sign=-1)["activation"]], -1, False)
    assert (one.level, one.pair.a, one.pair.b) == ("sgd", "relu", "tanh"), "tanh is lower on average, not with sgd"


@pytest.mark.parametrize(
    "rows",
    [
        crossed({"adam": 9.0, "sgd": 3.0}),
        crossed({"adam": 9.0, "sgd": -0.2}),  # within the noise
        crossed({"adam": 1.0, "sgd": -1.0}),  # nothing is concluded on average
    ],
    ids=["smaller", "noise", "undecided"],
)
def test_nothing_turns_round(rows: list[Row]) -> None:
    assert not find_reversals([judged(rows)["activation"]], 1, False)


def test_where_a_level_diverges_there_is_nothing_to_turn() -> None:
    rows = [
        (tried, seed, -INFINITE if tried == {"activation": "tanh", "optim": "sgd"} else value)
        for tried, seed, value in crossed(GAPS)
    ]
    assert not find_reversals([judged(rows)["activation"]], 1, False)
