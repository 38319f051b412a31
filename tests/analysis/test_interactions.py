"""Whether the effect of one factor depends on another."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from made_runs import comparison
from made_studies import study
from scipy import stats
from statsmodels.stats.multitest import multipletests

from multirun_analysis.compare.inference import estimate_crossed
from multirun_analysis.compare.interactions import Interaction, interactions, table


def crossed(values: np.ndarray, names: tuple[str, ...] = ("relu", "tanh", "gelu"), **more: Any) -> list[dict[str, Any]]:
    """Values (activations, optimizers, seeds)."""
    return [
        {"activation": names[i], "optim": f"o{j}", "seed": s, "val/loss": [float(v)], **more}
        for (i, j, s), v in np.ndenumerate(values)
    ]


def of(values: np.ndarray) -> Interaction:
    (found,) = interactions(comparison(crossed(values)))
    return found


def test_a_contrast_is_the_difference_of_two_differences_paired_by_seed() -> None:
    values = np.random.default_rng(0).normal(size=(2, 2, 5)) + 10 * np.eye(2)[:, :, None]
    found = of(values)
    row = found.contrasts.iloc[0]
    d = values[0, 0] - values[1, 0] - (values[0, 1] - values[1, 1])
    expected = stats.ttest_1samp(d, 0)
    assert (row["a1"], row["a2"], row["b1"], row["b2"], row["seeds"]) == ("relu", "tanh", "o0", "o1", 5)
    assert row["difference"] == pytest.approx(d.mean()) and row["p"] == row["p_adjusted"] == pytest.approx(
        expected.pvalue
    )
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.strongest is not None


def test_contrasts_are_corrected_over_all_tables_of_a_study() -> None:
    random = np.random.default_rng(1)
    runs = [
        {"activation": a, "optim": o, "given": {"data.batch_size": b}, "seed": s, "val/loss": [10 + random.normal()]}
        for a, o, b, s in product(("relu", "tanh"), ("adam", "sgd"), (32, 64), range(4))
    ]
    found = interactions(comparison(runs))
    p, adjusted = ([value for one in found for value in one.contrasts[key]] for key in ("p", "p_adjusted"))
    assert len(found) == 6 and adjusted == pytest.approx(multipletests(p, method="holm")[1])


def test_of_three_levels_and_two_there_are_three_contrasts() -> None:
    found = of(np.random.default_rng(2).normal(size=(3, 2, 4)))
    d = {(row["a1"], row["a2"]): row["difference"] for row in found.contrasts.to_dict("records")}
    assert len(d) == 3 and d["gelu", "relu"] + d["relu", "tanh"] == pytest.approx(d["gelu", "tanh"])


def test_an_interaction_that_may_be_noise_is_not_the_strongest() -> None:
    assert of(np.random.default_rng(0).normal(size=(2, 2, 5))).strongest is None


def test_a_contrast_in_which_a_run_diverged_is_no_number() -> None:
    runs = crossed(np.random.default_rng(3).normal(size=(2, 2, 4)))
    runs[0] |= {"status": "diverged", "val/loss": [float("nan")]}
    found = comparison(runs)
    (interaction,) = interactions(found)
    assert interaction.contrasts.empty and interaction.strongest is None
    cells = interaction.cells.set_index(["activation", "optim"])
    assert cells.loc[("relu", "o0"), ["seeds", "diverged"]].tolist() == [4, 1]
    assert "1/4 diverged" in table(interaction, found).loc["relu", "o0"]


def test_factors_that_are_not_crossed_have_no_table() -> None:
    runs = [run for run in crossed(np.ones((2, 2, 2))) if (run["activation"], run["optim"]) != ("tanh", "o1")]
    assert interactions(comparison(runs)) == []


def test_cells_of_crossed_seeds_and_splits_have_the_interval_of_both(tmp_path: Any) -> None:
    random = np.random.default_rng(4)
    noise = 10 + random.normal(size=(2, 2, 3, 1)) + random.normal(size=(2, 2, 3, 4))
    runs = [
        {"activation": ("relu", "tanh")[i], "optim": ("adam", "sgd")[j], "seed": s, "data__seed": 10 + d, "losses": (90.0, v)}
        for (i, j, s, d), v in np.ndenumerate(noise)
    ]  # fmt: skip
    (found,) = interactions(study(tmp_path, runs))
    cells = found.cells.set_index(["activation", "optim"])
    expected = estimate_crossed(noise[0, 1])
    assert cells.loc[("relu", "sgd"), ["mean", "low", "high"]].tolist() == pytest.approx(
        [expected.mean, *expected.interval]
    )
    d = noise[0, 0] - noise[1, 0] - (noise[0, 1] - noise[1, 1])
    row = found.contrasts.iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(estimate_crossed(d).interval)
