"""Search spaces, and the scores by which trials are ranked."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from paribus.errors import UserError
from paribus.sweep.scores import average, is_alike
from paribus.sweep.search import Level, Trial
from paribus.sweep.search_methods import choose_confirmed
from paribus.sweep.space import Dimension, read_space


def test_values_of_a_place() -> None:
    (rate, decay, share, count, choice) = read_space(
        {
            "optim.lr": {"around": 10},
            "optim.weight_decay": {"low": 1e-4, "high": 1e-2, "log": True},
            "model.dropout": {"low": 0.1, "high": 0.5},
            "data.batch_size": {"low": 32, "high": 128, "step": 32},
            "scheduler": {"choices": ["none", "cosine", "step"]},
        },
        16,
    )
    rate = rate.near(0.02)
    assert [rate.pick(u) for u in (0.0, 0.5, 1.0)] == pytest.approx([0.002, 0.02, 0.2])
    assert [decay.near(0.0).pick(u) for u in (0.0, 0.5, 1.5)] == pytest.approx([1e-4, 1e-3, 1e-1])
    assert share.pick(0.25) == pytest.approx(0.2)
    assert [count.pick(u) for u in (0.0, 0.24, 0.26, 0.99)] == [32, 32, 64, 128]
    assert [choice.pick(u) for u in (0.0, 0.34, 0.99)] == ["none", "cosine", "step"]
    assert rate.allows(5.0) and not Dimension("optim.momentum", low=0.1, high=0.9, log=True).allows(1.5)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({}, "names keys"),
        ({"study": {"choices": ["a", "b"]}}, "how a run is executed"),
        ({"tune.trials": {"low": 2, "high": 9, "step": 1}}, "how a run is executed"),
        ({"seeds.weights": {"choices": [1, 2]}}, "a seed is not tuned"),
        ({"optim.lr": 0.1}, "must be one of"),
        ({"optim.lr": {"low": 0.1, "high": 0.1}}, "range is empty"),
        ({"optim.lr": {"low": 0, "high": 0.1, "log": True}}, "begins above 0"),
        ({"optim.lr": {"low": 0.1}}, "must be one of"),
        ({"optim.lr": {"low": "a", "high": 1}}, "must be a number"),
        ({"optim.lr": {"around": 1}}, "above 1"),
        ({"optim.lr": {"near": 3}}, "around"),
        ({"optim.lr": {"choices": [0.1]}}, "two values or more"),
        ({"optim.lr": {"choices": [0.1, 0.2, 0.3, 0.4, 0.5]}}, "tune.trials=4 is fewer than the 5 choices"),
        ({"optim.lr": {"low": 1, "high": 2, "step": 3}}, "step"),
        ({"seed": {"choices": [1, 2]}}, "not tuned"),
    ],
)
def test_refused_spaces(space: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_space(space, 4)


def test_around_needs_a_positive_default() -> None:
    (dimension,) = read_space({"optim.weight_decay": {"around": 10}}, 4)
    with pytest.raises(UserError, match=r"default is 0\.0"):
        dimension.near(0.0)


def test_average_over_seeds() -> None:
    assert average([1.0, 3.0, -math.inf]) == 2.0  # one of three diverged
    assert average([1.0, -math.inf, -math.inf]) == -math.inf


def test_levels_without_a_usable_trial_are_named(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = (
        Level((), f"optim={name}", 1, [], [Trial((0.5,), (f"optim={name}",), [score])])
        for name, score in (("adam", 1.0), ("sgd", -math.inf))
    )
    search: Any = SimpleNamespace(levels=[bad, good])
    assert choose_confirmed(search) == [(good, good.trials[0])]
    assert "optim=sgd: no trial is usable" in caplog.text and "adam" not in caplog.text


def test_alike_by_paired_differences() -> None:
    """By hand: differences of the best to the others, seed by seed, and the mean of their squared standard errors."""
    scores = {0: [0.0, 10.0, 20.0], 1: [-1.0, 8.0, 19.0], 2: [-3.0, 7.0, 15.0], 3: [-90.0, -80.0, -73.0]}
    best = np.array(scores[0])
    squares = [np.var(best - np.array(scores[k]), ddof=1) / 3 for k in (1, 2, 3)]
    limit = 2 * math.sqrt(np.mean(squares))
    for k in (1, 2, 3):
        assert is_alike(scores, 0, k) == (best.mean() - np.mean(scores[k]) <= limit)
    assert is_alike(scores, 0, 1) and not is_alike(scores, 0, 3)
    assert is_alike({0: [1.0], 1: [0.0]}, 0, 1)  # with one seed nothing tells them apart
