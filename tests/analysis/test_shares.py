"""Shares of variance, against an analysis of variance by statsmodels and cases by hand."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import comparison
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from multirun_analysis.compare.inference import estimate
from multirun_analysis.compare.shares import Share, Shares, variance_shares

SEEDS = range(4)
GROUPS = [("activation",), ("optim",)]


def crossed(effect: float, other: float, noise: float) -> pd.DataFrame:
    random = np.random.default_rng(3)
    rows = [
        {"activation": a, "optim": o, "seed": s, "y": effect * i + other * j + noise * random.normal()}
        for i, a in enumerate(("relu", "tanh", "gelu")) for j, o in enumerate(("adam", "sgd")) for s in SEEDS
    ]  # fmt: skip
    return pd.DataFrame(rows, [f"run{i}" for i in range(len(rows))])


def find_shares(frame: pd.DataFrame) -> Shares | None:
    return variance_shares(frame[["activation", "optim"]], frame["y"].to_dict(), frame["seed"].to_dict(), GROUPS)


def shares(frame: pd.DataFrame) -> dict[tuple[str, ...], Share]:
    found = find_shares(frame)
    assert found is not None
    assert list(found.of_factors) == sorted(found.of_factors, key=lambda share: -share.value)
    return {share.factors: share for share in found.of_factors}


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_rest_is_of_the_combinations_and_of_the_seeds(noise: float) -> None:
    """A study with an interaction: the residual mean square of the analysis of variance over the total, times n - 1."""
    frame = crossed(1.0, 0.7, noise)
    frame.loc[(frame["activation"] == "gelu") & (frame["optim"] == "sgd"), "y"] -= 5.0
    table = anova_lm(ols("y ~ C(activation) * C(optim)", frame).fit())
    of_seeds = (len(frame) - 1) * table.loc["Residual", "mean_sq"] / table["sum_sq"].sum()
    both = table.loc["C(activation):C(optim)"]
    found = find_shares(frame)
    assert found is not None
    assert found.of_seeds == pytest.approx(of_seeds)
    expected = (both["sum_sq"] - both["df"] * table.loc["Residual", "mean_sq"]) / table["sum_sq"].sum()
    assert found.of_combinations == pytest.approx(expected)


def test_factors_that_go_together_overlap_and_leave_no_rest() -> None:
    """Each optimizer with an activation of its own: the difference is the share of both, and no rest is said."""
    frame = crossed(1.0, 0.7, 0.3)
    frame = frame[(frame["activation"] == "relu") == (frame["optim"] == "adam")]
    found = find_shares(frame[frame["activation"] != "gelu"])
    assert found is not None
    one, other = found.of_factors
    assert one.value == pytest.approx(other.value) == pytest.approx(1 - found.of_seeds)
    assert math.isnan(found.of_combinations)


def test_of_one_run_a_setting_nobody_knows_what_the_seeds_bring() -> None:
    found = find_shares(crossed(1.0, 0.7, 0.5).query("seed == 0"))
    assert found is not None and math.isnan(found.of_seeds) and math.isnan(found.of_combinations)


def epsilon_squared(frame: pd.DataFrame, factor: str) -> float:
    """Of Kelley (1935): noise is what remains within the settings."""
    table = anova_lm(ols("y ~ C(activation) * C(optim)", frame).fit())
    row, rest = table.loc[f"C({factor})"], table.loc["Residual"]
    return float((row["sum_sq"] - row["df"] * rest["mean_sq"]) / table["sum_sq"].sum())


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_a_share_is_epsilon_squared_of_the_analysis_of_variance(noise: float) -> None:
    frame = crossed(1.0, 0.7, noise)
    found = shares(frame)
    for factor in ("activation", "optim"):
        assert found[factor,].value == pytest.approx(max(0, epsilon_squared(frame, factor)))


def test_its_interval_is_that_of_the_jackknife_over_seeds() -> None:
    frame = crossed(1.0, 0.7, 0.5)
    n, whole = len(SEEDS), epsilon_squared(frame, "optim")
    left = np.array([epsilon_squared(frame[frame["seed"] != s], "optim") for s in SEEDS])
    half = estimate(n * whole - (n - 1) * left).half_width()
    found = shares(frame)["optim",]
    assert (found.low, found.high) == pytest.approx((max(0, whole - half), min(1, whole + half)))


def test_what_varies_with_one_factor_alone_is_all_its_share() -> None:
    found = shares(crossed(1.0, 0.0, 0.0))
    assert found["activation",].value == pytest.approx(1) and found["optim",].value == pytest.approx(0)


def test_factors_without_an_effect_have_hardly_a_share() -> None:
    assert all(share.value < 0.15 for share in shares(crossed(0.0, 0.0, 1.0)).values())


def test_of_two_seeds_there_is_no_interval_and_of_equal_figures_no_share() -> None:
    frame = crossed(1.0, 0.7, 0.5)
    assert np.isnan(shares(frame[frame["seed"] < 2])["optim",].low)
    assert find_shares(crossed(0.0, 0.0, 0.0)) is None


def test_runs_without_a_figure_take_no_part() -> None:
    frame = crossed(1.0, 0.7, 0.5)
    values = frame["y"].drop("run0").to_dict()
    found = variance_shares(frame[["activation", "optim"]], values, frame["seed"].to_dict(), GROUPS)
    kept = variance_shares(frame.drop("run0")[["activation", "optim"]], values, frame["seed"].to_dict(), GROUPS)
    assert found == kept and found is not None


def test_of_a_study_the_optimizer_and_its_rate_are_one_share_and_losses_that_span_much_are_logarithms() -> None:
    random = np.random.default_rng(0)
    runs: list[dict[str, Any]] = [
        {"activation": a, "optim": o, "given": {"optim.lr": lr}, "seed": s, "val/loss": [k * j * random.uniform(0.9, 1.1)]}
        for (a, k), (o, lr, j), s in product(
            (("relu", 1.0), ("tanh", 2.0)),
            (("adam", 0.1, 1.0), ("adam", 0.01, 50.0), ("sgd", 0.1, 7.0)), range(3)
        )
    ]  # fmt: skip
    found = comparison(runs)
    assert {share.factors for share in found.shares.of_factors} == {("optim", "optim.lr"), ("activation",)}
    logs = {f"run{i}": math.log(run["val/loss"][0]) for i, run in enumerate(runs)}
    levels = found.settings[found.factors]
    expected = variance_shares(levels, logs, {name: found.described[name].seed for name in logs}, [("activation",)])
    assert expected is not None
    (first,) = expected.of_factors
    (mine,) = [share for share in found.shares.of_factors if share.factors == ("activation",)]
    assert (mine.value, mine.low, mine.high) == pytest.approx((first.value, first.low, first.high))
