"""The noise budget: shares of the variance between crossed seeds."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from records import write_run
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.noise import components, estimate_budget, find_noise_budget, mean_squares
from multirun_analysis.records.load import load_runs
from multirun_analysis.report import commands
from multirun_analysis.report.noise import noise_sentence, noise_table


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    table = np.random.default_rng(0).normal(size=(4, 3, 2)).cumsum(axis=0)
    frame = pd.DataFrame([(*place, table[place]) for place in np.ndindex(table.shape)], columns=["a", "b", "c", "y"])
    expected = anova_lm(ols("y ~ C(a) * C(b) * C(c)", frame).fit())
    found = mean_squares(table[None])
    for effect, (square, df) in found.items():
        row = expected.loc[":".join(f"C({'abc'[i]})" for i in sorted(effect))]
        assert df == row["df"] and square == pytest.approx(row["sum_sq"] / row["df"])


def test_components_of_two_sources_are_those_of_the_textbook() -> None:
    """σ²_rows = (MS_rows - MS_rest) / columns, σ²_columns = (MS_columns - MS_rest) / rows, σ²_rest = MS_rest."""
    rows, columns, rest = frozenset({0}), frozenset({1}), frozenset({0, 1})
    found = components({rows: np.array(20.0), columns: np.array(8.0), rest: np.array(2.0)}, (3, 6))
    assert (found[rows], found[columns], found[rest]) == (3.0, 2.0, 2.0)


def test_settings_are_pooled_and_their_means_do_not_count() -> None:
    table = np.random.default_rng(1).normal(size=(1, 4, 3))
    both = mean_squares(np.concatenate([table, 100 + table]))
    for effect, (square, df) in mean_squares(table).items():
        assert both[effect] == (pytest.approx(square), 2 * df)


def test_a_source_that_does_all_has_all_of_the_variance() -> None:
    table = np.broadcast_to(np.array([1.0, 2.0, 5.0, 9.0])[:, None], (4, 3))[None]
    budget = estimate_budget(table, ["split", "order"])
    assert [share.value for share in (*budget.alone, budget.combined)] == [1.0, 0.0, 0.0]
    assert budget.alone[0].low == pytest.approx(1.0) and budget.alone[1].high == 0.0
    assert budget.deviation == pytest.approx(np.std([1.0, 2.0, 5.0, 9.0], ddof=1))
    assert np.isnan(estimate_budget(np.ones((1, 3, 3)), ["a", "b"]).alone[0].value)  # nothing varies


def test_the_budget_of_recorded_runs(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("weights", "augmentation", "dropout"))
    for split, order in product(range(3), range(4)):
        loss = 10.0 + 3 * split + 0.1 * (-1) ** order + 0.01 * (split * order % 3)
        seeds = nothing | {"split": split, "order": order}
        write_run(tmp_path / f"{split}-{order}", [loss] * 3, seeds=seeds)
    comparison = compare(load_runs(tmp_path), metric="settled_val_loss")
    assert comparison.factors == []  # seeds are no factor
    budget = find_noise_budget(comparison)
    assert not isinstance(budget, str | None)
    assert budget.sources == ("split", "order") and budget.levels == (3, 4)
    assert budget.alone[0].value > 0.99 > 0.01 > budget.alone[1].value
    sentence = noise_sentence(comparison)
    assert sentence is not None and sentence.startswith("split 100 % [") and sentence.endswith("of the variance")
    assert list(noise_table(comparison)["source"]) == ["split", "order", "in combination only"]
    write_run(tmp_path / "0-0", [np.nan], status="diverged", seeds=nothing | {"split": 0, "order": 0})
    sentence = noise_sentence(compare(load_runs(tmp_path), metric="settled_val_loss"))
    assert sentence is not None and "each of the 12 combinations" in sentence


def test_seeds_of_one_source_are_replicates(tmp_path: Path) -> None:
    for optim, order in product(("adam", "sgd"), (1, 2, 3)):
        seeds = {"split": None, "weights": None, "order": order, "augmentation": None, "dropout": None}
        loss = 1.0 + (optim == "sgd") + 0.1 * order
        write_run(tmp_path / f"{optim}-{order}", [loss] * 3, optim=optim, seeds=seeds)
    study = load_runs(tmp_path)
    assert {str(seed) for seed in study.runs["seed"]} == {"1", "1, order 2", "1, order 3"}
    comparison = compare(study, metric="settled_val_loss")
    assert comparison.factors == ["optim"]
    [pair] = comparison.results[0].pairs
    assert pair.estimate.n == 3 and abs(pair.estimate.mean) == pytest.approx(1.0)  # paired by seeds.order
    assert find_noise_budget(comparison) is None  # nothing is crossed
    assert commands.seeds(comparison) == ["seed=1", "seeds.order=1,2,3"]
