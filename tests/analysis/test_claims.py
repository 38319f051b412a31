"""Claims about two levels, and what came of them."""

import re
from pathlib import Path

import numpy as np
import pytest
from made_studies import by_level, grid, judged, pair_of, study
from scipy import stats

from multirun_analysis.compare.claims import Answer, check_claim, judge_claim
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.metric import Metric
from paribus.errors import UserError


def claim(found: Comparison, text: str) -> Answer:
    return check_claim(found, text).answer


def test_claims_hold_are_refuted_or_undecided(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2], "gelu": [11.3, 11.8, 13.4]}))
    assert claim(found, "activation: relu <= tanh") == Answer.HOLDS
    assert claim(found, "activation: relu <= tanh - 4") == Answer.HOLDS
    assert claim(found, "activation: relu >= tanh") == Answer.REFUTED
    assert claim(found, "activation: relu <= tanh - 6") == Answer.REFUTED
    assert claim(found, "activation: relu < gelu") == Answer.UNDECIDED
    assert claim(found, "activation: relu == gelu +- 3") == Answer.HOLDS
    assert claim(found, "activation: relu == tanh +- 1") == Answer.REFUTED
    assert [answer.exit_code for answer in Answer] == [0, 1, 2]
    said = check_claim(found, "activation: relu >= tanh - 3").sentence
    assert "Less val loss is better, so >= claims that relu is no better than tanh, but for the margin." in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("activaton: relu <= tanh", "Did you mean 'activation'"), ("activation: rellu <= tanh", "Did you mean 'relu'"),
        ("activation: relu == tanh", "needs a margin"), ("activation: relu <= tanh - 0.3pt", "unit of"),
        ("relu is best", "Its form is"), ("activation: relu <= tanh +- 1", "=="), ("", "Its form is"),
    ],
)  # fmt: skip
def test_claims_that_cannot_be_read_say_how(tmp_path: Path, text: str, message: str) -> None:
    found = study(tmp_path, grid({"relu": [1.0, 2.0], "tanh": [1.5, 2.1]}))
    with pytest.raises(UserError, match=message):
        check_claim(found, text)


LEVELS_TYPED = [
    ("optim.lr: 0.001 >= 1e-05", 0.001, 1e-05), ("lr: 1e-3 >= 0.00001", 0.001, 1e-05), ("lr: 1e-05 >= 0.001 - 3", 1e-05, 0.001),
    ("optim.lr: 0.001 >= 1e-05 - 0.5", 0.001, 1e-05),
]  # fmt: skip


@pytest.mark.parametrize(("text", "first", "second"), LEVELS_TYPED)
def test_levels_are_numbers_however_they_are_written(text: str, first: float, second: float) -> None:
    rows = [({"optim.lr": lr}, s, 10 * lr + 0.01 * s * s) for lr in (1e-05, 0.001) for s in range(5)]
    results = list(judged(rows).values())
    found = judge_claim(results, Metric("score"), text)
    ahead = 10 * (first - second)
    assert found.difference[0] == pytest.approx(ahead) and found.answer == Answer.HOLDS


@pytest.mark.parametrize("claim", ["model: resnet-50 >= resnet-18", "model: resnet-50 >= resnet-18 - 0.3", "model.hidden: [64,32] <= [8, 8] + 4", "model.bias: true >= false"])  # fmt: skip
def test_levels_that_look_like_margins_lists_and_truth_values(claim: str) -> None:
    key, levels = {
        "model": ("model", ("resnet-50", "resnet-18")),
        "model.hidden": ("model.hidden", ((64, 32), (8, 8))),
        "model.bias": ("model.bias", (True, False)),
    }[claim.partition(":")[0]]
    rows = [({key: level}, s, 3.0 - i + 0.01 * s * (i + 1)) for i, level in enumerate(levels) for s in range(5)]
    assert judge_claim(list(judged(rows).values()), Metric("score"), claim).answer == Answer.HOLDS


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("activation: relu >= relu", "with itself"), ("eps: 1 >= 2", "optim.eps or scheduler.eps"),
        ("activation: relu >= tnh - 0.3", "Did you mean 'tanh'"), ("activation: relu >= tanh - 0.3 - 0.2", "tanh - 0.3"),
        ("activation: relu >= tanh - 0.3pt", "unit of"), ("activation: relu == tanh - 1", "needs a margin"),
    ],
)  # fmt: skip
def test_odd_claims_have_one_message(claim: str, message: str) -> None:
    rows = by_level({"relu": [2.0, 2.1, 2.3], "tanh": [1.0, 1.1, 1.2]})
    rows += [
        ({"activation": a, "optim.eps": e, "scheduler.eps": e}, s, 1.0)
        for a in ("elu",)
        for e in (1, 2)
        for s in range(3)
    ]
    rows += [({"activation": "elu", "optim.eps": 1, "scheduler.eps": 2}, s, 1.0) for s in range(3)]
    with pytest.raises(UserError, match=re.escape(message)):
        judge_claim(list(judged(rows).values()), Metric("settled_val_loss"), claim)


def test_no_loss_is_below_zero() -> None:
    rows = by_level({"relu": [1.0, 1.1, 1.2], "tanh": [10.0, 11.0, 12.5]})
    results = list(judged(rows, sign=-1, loss=True).values())
    assert results[0].log
    assert judge_claim(results, Metric("settled_val_loss"), "activation: relu <= tanh - 40").answer == Answer.REFUTED
    assert judge_claim(results, Metric("settled_val_loss"), "activation: relu >= tanh - 40").answer == Answer.HOLDS


def test_what_flatters_a_level_speaks_for_no_claim() -> None:
    """b takes the best of 8 noisy trials and is behind a: its optimism is taken off before its bound is computed."""
    random = np.random.default_rng(1)
    rows = [({"optim": "a", "optim.lr": 10.0**-t}, s, random.normal()) for t in range(2) for s in range(10)]
    rows += [({"optim": "b", "optim.lr": 10.0**-t}, s, 4 * random.normal() - 9) for t in range(8) for s in range(10)]
    results = judged(rows)
    pair = pair_of(results["optim"], "b", "a")
    assert pair.penalty == 0 and pair.optimism > 1 and pair.estimate.mean < 0
    bound = pair.estimate.mean - stats.t.ppf(0.95, pair.estimate.df) * pair.estimate.error
    for margin, answer in ((bound - 0.1, Answer.UNDECIDED), (bound - 1.05 * pair.optimism, Answer.HOLDS)):
        assert judge_claim([results["optim"]], Metric("score"), f"optim: b >= a - {-margin}").answer == answer
