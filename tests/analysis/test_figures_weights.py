"""Weights and predictions of single runs, from records made by hand."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import compare
from multirun_analysis.figures import weights
from multirun_analysis.records.described import Described
from multirun_analysis.records.load import Study
from paribus.record import RecordError
from paribus.record.tables import write_predictions, write_weights


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    figure.savefig(io.BytesIO())
    return figure


def test_weights_are_drawn_before_and_after_with_the_bound_of_their_initialisation(tmp_path: Path) -> None:
    before = {"first": np.linspace(-0.5, 0.5, 64).reshape(16, 4), "conv": np.ones((2, 3, 5, 5))}
    write_weights(tmp_path, before, {name: 2 * array for name, array in before.items()})
    first, conv = drawn(weights.histograms(tmp_path, {})).axes
    assert [axes.get_title() for axes in (first, conv)] == ["first", "conv"]
    assert [line.get_xdata()[0] for line in first.lines] == [-0.5, 0.5]  # 1 / sqrt(4)
    assert conv.lines[1].get_xdata()[0] == pytest.approx(75**-0.5)
    untrained, trained = (patch.get_data() for patch in first.patches)
    shown = untrained.edges[:-1][untrained.values > 0]
    assert shown.min() > -0.55 and trained.edges[:-1][trained.values > 0].min() < -0.95
    left, right, _ = drawn(weights.first_heat_map(tmp_path)).axes
    assert np.array_equal(left.images[0].get_array(), before["first"])
    assert np.array_equal(right.images[0].get_array(), 2 * before["first"])


def test_of_a_deep_network_sixteen_layers_are_drawn_both_ends_among_them(tmp_path: Path) -> None:
    arrays = {f"layers.{i}.linear_$": np.ones((2, 2)) * i for i in range(40)}
    write_weights(tmp_path, arrays, arrays)
    figure = drawn(weights.histograms(tmp_path, {}))
    names = [axes.get_title() for axes in figure.axes]
    assert (len(names), names[0], names[-1]) == (16, r"layers.0.linear_\$", r"layers.39.linear_\$")
    assert "16 of 40 layers" in figure.get_suptitle()


def test_records_without_files_have_no_statistics(tmp_path: Path) -> None:
    assert weights.histograms(tmp_path, {}) is None
    assert weights.first_heat_map(tmp_path) is None
    assert weights.predicted(tmp_path, {}) is None
    assert weights.predicted_side_by_side({"a": tmp_path}) is None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_damaged_files_are_told(tmp_path: Path, content: bytes) -> None:
    for name in ("weights.npz", "predictions.parquet"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordError, match=r"weights\.npz is damaged"):
        weights.histograms(tmp_path, {})
    with pytest.raises(RecordError, match=r"predictions\.parquet is damaged"):
        weights.predicted(tmp_path, {})


def test_predictions_are_beside_what_the_training_mean_predicts(tmp_path: Path) -> None:
    train = np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 4.0])
    val = np.array([2.0, 5.0]), np.array([3.0, 4.0])
    write_predictions(tmp_path, {"train": train, "val": val})
    summary = {
        "status": "diverged",
        "diverged": {"epoch": 7},
        "seed": 3,
        "choices": {"optim": "sgd"},
        "set": {"optim.lr": 0.1},
    }
    figure = drawn(weights.predicted(tmp_path, summary))
    # means of squares: (0 + 0 + 4) / 3; (4 + 1 + 9) / 3 of the mean 3; (1 + 1) / 2; (1 + 4) / 2
    assert [axes.get_title() for axes in figure.axes] == [
        "train: MSE 1.333\n(of the mean: 4.667)",
        "val: MSE 1\n(of the mean: 2.5)",
    ]
    assert figure.get_suptitle() == "sgd, optim.lr=0.1, seed 3, diverged in epoch 7"
    assert np.array_equal(figure.axes[1].lines[0].get_xydata(), np.transpose(val))


def test_side_by_side_each_run_has_the_mean_of_its_own_training_part(tmp_path: Path) -> None:
    for name, mean in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        part = np.array([mean, mean]), np.zeros(2)
        write_predictions(tmp_path / name, {"train": part, "val": (np.array([0.0, 4.0]), np.array([0.0, 4.0]))})
    (tmp_path / "c").mkdir()
    figure = drawn(
        weights.predicted_side_by_side({"depth=$1": tmp_path / "a", "deep": tmp_path / "b", "gone": tmp_path / "c"})
    )
    assert [axes.lines[2].get_ydata()[0] for axes in figure.axes] == [1.0, 3.0]
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == [r"depth=\$1", "deep"]
    many = {f"run {i}": tmp_path / "a" for i in range(9)}
    figure = drawn(weights.predicted_side_by_side(many))
    assert len(figure.axes) == 4 and "4 of 9 runs" in figure.get_suptitle()


def study(*rows: tuple[str, float, str, float]) -> Study:
    """Runs, as optimizer, learning rate, status, best validation loss; three seeds in turn."""
    names = [f"run{i:02}" for i in range(len(rows))]
    described = {
        name: Described({"model": "m", "optim": optim}, {"optim.lr": lr}, {"optim.lr": lr}, i % 3)
        for i, (name, (optim, lr, _, _)) in enumerate(zip(names, rows, strict=True))
    }
    runs = pd.DataFrame(
        {
            "status": [row[2] for row in rows],
            "seed": 1,
            "best_val_loss": [row[3] for row in rows],
            "task": "regression",
        },
        index=names,
    )
    curves = pd.DataFrame(columns=["run", "epoch", "step", "metric", "value"])
    return Study(runs, curves, described, {name: {} for name in names})


def test_the_representative_is_the_median_of_the_best_setting() -> None:
    made = study(
        *(("adam", 0.1, "completed", loss) for loss in (1.0, 1.0, 30.0)),
        *(("adam", 0.01, "completed", loss) for loss in (5.0, 3.0, 4.0)),  # the best mean; its median is run05
        # one that diverged of three leaves the setting usable; the run in the middle is that of 0.2
        *(("sgd", 0.1, "completed" if loss else "diverged", loss or np.nan) for loss in (0.1, None, 0.2)),
        *(("sgd", 0.01, "completed", loss) for loss in (9.0, 8.0)),  # of two the better one
        *(("rmsprop", 0.1, "diverged", np.nan) for _ in range(2)),
        ("nadam", 0.1, "failed", np.nan),
    )
    comparison = compare(made, metric="best_val_loss")
    expected = {"adam": "run05", "rmsprop": "run11", "sgd": "run08"}
    assert weights.representatives(comparison, "optim") == expected
    twice = dataclasses.replace(comparison, duplicates={"run05": "run00"})
    assert weights.representatives(twice, "optim")["adam"] == "run04"
