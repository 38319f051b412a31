"""Levels of which each takes its best learning rate: what is compared, and what is not."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from records import write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.inner import clearest
from multirun_analysis.report.verdict import verdict

SEEDS = (1, 2, 3, 4, 5)
NOISE = (0.03, -0.02, 0.05, -0.04, 0.01)
LOSS = {("adam", 0.001): 1.0, ("adam", 0.01): 2.0, ("sgd", 0.001): 3.0, ("sgd", 0.01): 1.5}


def searched(root: Path, **more: float) -> Comparison:
    """Two optimizers at the same two rates: sgd is better at 0.01, and worse at its best."""
    for (optim, rate), loss in LOSS.items():
        for seed, noise in zip(SEEDS, NOISE, strict=True):
            loss_ = loss + 0.1 * seed + noise * (optim == "adam")
            write_run(root / f"{optim}{rate}{seed}", (9.0, loss_), seed, optim=optim, optim__lr=rate)
    for optim, loss in more.items():
        write_run(root / f"{optim}more", (9.0, loss), 1, optim=optim, optim__lr=0.1)
    return compare(load_runs(root))


def test_tuned_levels_are_compared_once_at_their_best_and_not_at_single_rates(tmp_path: Path) -> None:
    (result,) = searched(tmp_path).of("optim")
    assert result.contest.kind == Kind.TUNED and result.winner == "adam"
    assert {level.level: list(level.settings.values()) for level in result.levels} == {
        "adam": [(0.001,)],
        "sgd": [(0.01,)],
    }
    (pair,) = result.pairs
    best = [-0.5 + noise for noise in NOISE]
    assert pair.differences == pytest.approx(best)
    # trials that are far behind make the best one no luckier
    assert pair.penalty == 0 and pair.estimate.mean == pytest.approx(np.mean(best))


def test_a_rate_that_was_tried_with_one_seed_does_not_change_the_choice(tmp_path: Path) -> None:
    result = searched(tmp_path, sgd=0.1).of("optim")[0]
    settings = {level.level: list(level.settings.values()) for level in result.levels}
    assert settings["sgd"] == [(0.01,)] and result.winner == "adam"
    assert [entry.excluded for entry in result.contest.of_level("sgd")] == [[(0.1,)]]


def test_rates_tuned_for_each_level_have_no_lead_and_no_reason(tmp_path: Path) -> None:
    """A rate that is ahead with one optimizer and behind with the other is ahead of nothing by itself."""
    steep = {("adam", 0.001): 1.0, ("adam", 0.01): 9.0, ("sgd", 0.001): 3.0, ("sgd", 0.01): 2.0}
    for (optim, rate), loss in steep.items():
        for seed, noise in zip(SEEDS, NOISE, strict=True):
            noisy = loss + 0.1 * seed + noise * (optim == "adam")
            run = write_run(tmp_path / f"{optim}{rate}{seed}", (9.0, noisy), seed, optim=optim, optim__lr=rate)
            rows = [
                (1, f"linear{d}", d, "weight", "grad_mean_abs", 10 * (1 + noise) if rate == 0.01 else 1 - noise)
                for d in (1, 2)
            ]
            columns = ["epoch", "layer", "depth", "tensor", "quantity", "value"]
            pd.DataFrame(rows, columns=columns).to_parquet(run / "layers.parquet", index=False)
    found = compare(load_runs(tmp_path))
    assert any(one.factor == "optim.lr" and one.concluded for one in clearest(found.inner)), (
        "else the test shows nothing"
    )
    lines = {one.label: " ".join(one.sentences) for one in verdict(found).lines}
    assert "best at an EDGE: adam 0.001 (lowest), sgd 0.01 (highest)" in lines["LR"]
    assert "lead" not in lines["LR"] and "lr 0.01" not in lines.get("WHY", "")


def test_the_best_value_of_a_level_that_is_a_number_itself(tmp_path: Path) -> None:
    best_at = {16: 0.01, 256: 0.1}
    for size, rate in product(best_at, (0.001, 0.01, 0.1)):
        for seed in SEEDS:
            loss = 1.0 + 0.1 * seed + 5.0 * (rate != best_at[size])
            write_run(tmp_path / f"{size}{rate}{seed}", (9.0, loss), seed, data__batch_size=size, optim__lr=rate)
    lines = {one.label: one.sentences for one in verdict(compare(load_runs(tmp_path))).lines}
    assert lines["LR"] == ["best at an EDGE: 0.1 (highest) for 256", "best within: 0.01 for 16"]
