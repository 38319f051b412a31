"""Whether the effect of one factor depends on another."""

from typing import Any

import numpy as np
import pytest
from made_runs import comparison
from made_studies import study

from multirun_analysis.compare.inference import estimate_crossed
from multirun_analysis.compare.interactions import interactions
from multirun_analysis.report.tables import crossed as crossed_table


def crossed(values: np.ndarray, names: tuple[str, ...] = ("relu", "tanh", "gelu"), **more: Any) -> list[dict[str, Any]]:
    """Values (activations, optimizers, seeds)."""
    return [
        {"activation": names[i], "optim": f"o{j}", "seed": s, "val/loss": [float(v)], **more}
        for (i, j, s), v in np.ndenumerate(values)
    ]


def test_runs_that_diverged_are_counted_and_in_no_mean() -> None:
    runs = crossed(np.random.default_rng(3).normal(size=(2, 2, 4)))
    runs[0] |= {"status": "diverged", "val/loss": [float("nan")]}
    found = comparison(runs)
    (interaction,) = interactions(found)
    cells = interaction.cells.set_index(["activation", "optim"])
    assert cells.loc[("relu", "o0"), ["seeds", "diverged"]].tolist() == [4, 1]
    assert "1/4 diverged" in crossed_table(interaction, found).set_index("activation").loc["relu", "optim=o0"]


def test_factors_that_are_not_crossed_have_no_table() -> None:
    runs = [run for run in crossed(np.ones((2, 2, 2))) if (run["activation"], run["optim"]) != ("tanh", "o1")]
    assert interactions(comparison(runs)) == []


def test_cells_of_crossed_seeds_and_splits_have_the_mean_over_both(tmp_path: Any) -> None:
    random = np.random.default_rng(4)
    noise = 10 + random.normal(size=(2, 2, 3, 1)) + random.normal(size=(2, 2, 3, 4))
    runs = [
        {"activation": ("relu", "tanh")[i], "optim": ("adam", "sgd")[j], "seed": s, "data__seed": 10 + d, "losses": (90.0, v)}
        for (i, j, s, d), v in np.ndenumerate(noise)
    ]  # fmt: skip
    (found,) = interactions(study(tmp_path, runs))
    cells = found.cells.set_index(["activation", "optim"])
    expected = estimate_crossed(noise[0, 1])
    assert cells.loc[("relu", "sgd"), "mean"] == pytest.approx(expected.mean)
