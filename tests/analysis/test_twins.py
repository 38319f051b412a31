"""Where twins part: pairs of runs with equal seeds that differ in one factor."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from made_runs import drawn
from records import write_run

from multirun_analysis.compare.comparison import compare
from multirun_analysis.compare.twins import find_partings, measure_disagreement
from multirun_analysis.figures.twins import by_factor, draw_partings
from multirun_analysis.records.load import load_runs
from paribus import record
from paribus.errors import UserError
from paribus.record.twins import TwinsWriter


def write_twins(directory: Path, predictions: list[list[float]], weights: list[float], dtype: type) -> None:
    writer = TwinsWriter(directory / record.TWINS)
    for epoch, (prediction, weight) in enumerate(zip(predictions, weights, strict=True), 1):
        sketch = np.zeros(record.SKETCH_SIZE, np.float32)
        sketch[5] = weight
        writer.add(epoch, (np.array(prediction, dtype), sketch))
    writer.write()


def test_disagreement_by_hand() -> None:
    classes = np.array([[0, 1, 2, 3], [0, 0, 0, 0]], np.int16), np.array([[0, 1, 2, 2], [1, 1, 0, 0]], np.int16)
    assert measure_disagreement(*classes).tolist() == [0.25, 0.5]
    values = np.array([[1.0, 2.0]], np.float32), np.array([[4.0, 6.0]], np.float32)
    assert measure_disagreement(*values).tolist() == pytest.approx([12.5**0.5])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two optimizers, each with two seeds of the order and one split."""
    nothing = dict.fromkeys(("split", "weights", "augmentation", "dropout"))
    for optim, seed in product(("adam", "sgd"), (1, 2)):
        run = write_run(tmp_path / f"{optim}-{seed}", [2.0, 1.0 + (optim == "sgd")], optim=optim, task="classification",
                        seeds=nothing | {"order": seed})  # fmt: skip
        second = [1, 1, 0, 0] if optim == "sgd" else [0, 0, 0, 0]
        write_twins(run, [[0, 0, 0, 0], [*second[:3], seed]], [0.0, seed + 3.0 * (optim == "sgd")], np.int16)
    return tmp_path


def test_pairs_of_equal_seeds_are_held_against_each_other(study: Path) -> None:
    comparison = compare(load_runs(study))
    found = find_partings(comparison, "optim")
    assert found is not None and found.classes and found.base == "adam"
    [parting] = found.levels
    assert parting.level == "sgd" and parting.epochs.tolist() == [1, 2]
    assert parting.disagreement.tolist() == [[0.0, 0.5], [0.0, 0.5]]
    assert parting.distance.tolist() == [[0.0, 3.0], [0.0, 3.0]]
    assert found.reference is not None  # the two seeds of each optimizer
    assert found.reference.disagreement.tolist() == [[0.0, 0.25]] * 2
    assert found.reference.distance.tolist() == [[0.0, 1.0]] * 2


def test_the_figure_has_a_line_a_level_and_the_reference(study: Path) -> None:
    comparison = compare(load_runs(study))
    assert [name for name, _ in by_factor(comparison)] == ["twins_by_optim"]
    figure = drawn(draw_partings(comparison, "optim"))
    lines = [[line.get_ydata().tolist() for line in axes.lines] for axes in figure.axes]
    assert lines == [[[0.0, 50.0], [0.0, 25.0]], [[0.0, 3.0], [0.0, 1.0]]]


def test_runs_of_several_splits_have_no_reference_and_runs_without_a_file_no_statistic(study: Path) -> None:
    other = study.parent / "other"
    for optim, seed in product(("adam", "sgd"), (1, 2)):
        run = write_run(other / f"{optim}-{seed}", [2.0, 1.0 + (optim == "sgd")], seed, optim=optim)
        write_twins(run, [[0.0, 1.0]] * 2, [0.0, 1.0], np.float32)
    found = find_partings(compare(load_runs(other)), "optim")
    assert found is not None and found.reference is None and not found.classes
    assert "share no split" in drawn(draw_partings(compare(load_runs(other)), "optim"))._supxlabel.get_text()
    for path in other.glob(f"*/{record.TWINS}"):
        path.unlink()
    assert draw_partings(compare(load_runs(other)), "optim") is None
    (study / "adam-1" / record.TWINS).write_bytes(b"half")
    with pytest.raises(UserError, match="damaged"):
        draw_partings(compare(load_runs(study)), "optim")
