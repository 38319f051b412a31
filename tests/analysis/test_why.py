"""What goes along with a difference: quantities inside networks whose differences are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from records import edit_summary, write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.inner import clearest
from multirun_analysis.report import documents
from multirun_analysis.report.verdict import verdict
from multirun_analysis.report.verdict_json import as_json, as_object
from multirun_analysis.report.why import inner_table, why

SEEDS = range(1, 6)
NOISE = {seed: 0.02 * np.sin(seed) for seed in SEEDS}  # of logarithms


def write_layers(run: Path, values: dict[tuple[str, str], Any], layers: int = 3, epochs: int = 9) -> None:
    """Write layers.parquet; `values` has (quantity, tensor): a function of depth and epoch."""
    rows = [
        (epoch, f"linear{depth + 1}", depth, tensor, quantity, value(depth, epoch))
        for (quantity, tensor), value in values.items()
        for epoch in range(1, epochs + 1)
        for depth in range(layers)
    ]
    frame = pd.DataFrame(rows, columns=["epoch", "layer", "depth", "tensor", "quantity", "value"])
    frame.to_parquet(run / "layers.parquet", index=False)


def study(path: Path, factor: float = 0.42, gap: float = 3.0, layers: dict[str, int] | None = None) -> Comparison:
    """Sigmoid is behind by `gap`; its first layer gets `factor` of the gradient in epoch 1, 45 points of layer 2 are dead."""
    for name in ("relu", "sigmoid"):
        for seed in SEEDS:
            behind = name == "sigmoid"
            losses = [9.0, *[5.0 + gap * behind + 0.1 * np.cos(3 * seed + behind)] * 8]
            run = write_run(path / f"{name}{seed}", losses, seed=seed, activation=name)
            edit_summary(run, diagnosis=[], undiagnosed=[])

            def gradient(depth: int, epoch: int, behind: bool = behind, seed: int = seed) -> float:
                noise = np.exp(NOISE[seed] * (1 if behind else -1) * (1 + depth + epoch % 2))
                return 0.1 * noise * (factor if behind and (depth, epoch) == (0, 1) else 1.0)

            def dead(depth: int, epoch: int, behind: bool = behind, seed: int = seed) -> float:
                return (
                    0.05
                    + 0.01 * seed
                    + (0.45 + 0.005 * (seed % 3) if behind and (depth, epoch) == (1, 9) else 0.001 * seed * behind)
                )

            write_layers(run, {("grad_mean_abs", "weight"): gradient, ("dead_fraction", "activation"): dead},
                         (layers or {}).get(name, 3))  # fmt: skip
    return compare(load_runs(path))


def test_the_layer_and_epoch_are_named_with_an_interval_over_seeds(tmp_path: Path) -> None:
    found = study(tmp_path / "study")
    text = why(found)
    first = "its first layer gets 0.42 x relu's gradient [0.34, 0.52] in epoch 1"
    assert first in text
    assert "54 % of its second layer is dead in epoch 9, 8 % of relu's [+44, +47 points]" in text and text.startswith(
        "sigmoid: "
    )
    assert [one.label for one in verdict(found).lines].index("WHY") < len(verdict(found).lines) - 1
    # by hand: Student's over seeds, at 5 % / 18 places
    logs = np.log(0.42) + np.array([2 * 2 * NOISE[seed] for seed in SEEDS])
    one = next(one for one in clearest(found.inner) if one.place.quantity == "grad_mean_abs")
    half = stats.t.ppf(1 - 0.025 / 18, 4) * stats.sem(logs)
    assert one.mean == pytest.approx(np.exp(logs.mean()))
    assert (one.low, one.high) == (pytest.approx(np.exp(logs.mean() - half)), pytest.approx(np.exp(logs.mean() + half)))
    assert one.p == pytest.approx(18 * stats.ttest_1samp(logs, 0).pvalue)


def test_nothing_is_explained_where_nothing_is_concluded(tmp_path: Path) -> None:
    found = study(tmp_path / "study", gap=0.0)
    assert why(found) == "" and not any(line.label == "WHY" for line in verdict(found).lines)
    assert "yes" in set(inner_table(found)["decided"])  # the details have it all the same


def test_networks_of_different_depth_are_compared_in_their_first_and_last_layer(tmp_path: Path) -> None:
    found = study(tmp_path / "study", layers={"relu": 3, "sigmoid": 5})
    assert {one.place.depth for one in found.inner} == {0, -1}
    assert why(found) == "sigmoid: its first layer gets 0.42 x relu's gradient [0.35, 0.51] in epoch 1"


def test_findings_are_quoted_where_they_differ_between_levels(tmp_path: Path) -> None:
    study(tmp_path / "study", factor=1.0)
    finding = {"finding": "gradients_vanish", "layers": ["linear1"], "epoch": 1, "evidence": {"text": "", "value": 0.0},
               "threshold": 1e-3, "remedy": "activation=relu"}  # fmt: skip
    for seed in SEEDS:
        edit_summary(tmp_path / "study" / f"sigmoid{seed}", diagnosis=[finding])
    found = compare(load_runs(tmp_path / "study"))
    assert "gradients vanish in 100 % of its seeds, 0 % of relu's" in why(found)
    parts = dict(documents.details(found, [], None))
    assert parts["Diagnosis by setting"].to_dict("records") == [
        {"setting": "sigmoid", "finding": "gradients vanish", "runs": "5 of 5", "layers": "linear1", "from epoch": "1",
         "for example": "", "remedy": "activation=relu"}
    ]  # fmt: skip
    assert parts["Diagnosis"][0] == "5 of 10 finished runs have no finding."
    told = json.loads(as_json(as_object(found, verdict(found), None)))
    assert {one["quantity"] for one in told["why"]} == {"gradients_vanish", "dead_fraction"}
    assert told["diagnosis"]["study/sigmoid1" if "study/sigmoid1" in told["diagnosis"] else "sigmoid1"] == [
        {**finding, "step": None}  # an entry of an older version lacks it
    ]


def test_two_seeds_that_tell_nothing_have_a_finite_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one degree of freedom the corrected interval of a ratio has ends that no float holds."""
    monkeypatch.setitem(globals(), "SEEDS", (1, 2))
    monkeypatch.setitem(globals(), "NOISE", {1: 1.0, 2: -1.5})
    found = study(tmp_path)
    assert all(0 < one.low < one.mean < one.high for one in found.inner if one.place.ratio)
    assert len(inner_table(found)) == 2
