"""A figure never fails a run: what goes wrong in one is a warning that names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from paribus import plots, record
from paribus.loggers.tensorboard import TensorBoard

pytestmark = pytest.mark.slow


def fail(*arguments: Any, **keywords: Any) -> None:
    raise ValueError("Axis limits cannot be NaN or Inf")


@pytest.mark.parametrize(("place", "name", "warning"), [
    (plots, "plot_predictions", "A figure of callbacks.predictions could not be drawn: ValueError: Axis limits"),
    (plots, "plot_weight_histograms", "A figure of callbacks.weights could not be drawn: ValueError: Axis limits"),
    (TensorBoard, "log_figure", "The figure predictions could not be drawn: ValueError: Axis limits"),
    (matplotlib.figure.Figure, "savefig", "The figure predictions could not be drawn: ValueError: Axis limits"),
])  # fmt: skip
def test_a_run_is_completed_without_its_figure(
    train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, place: Any, name: str, warning: str
) -> None:
    monkeypatch.setattr(place, name, fail)
    run = train("model=regression", "trainer.max_epochs=2", "threads=1", "figures=true")
    assert record.read_summary(run)["status"] == "completed"
    assert warning in (run / "train.log").read_text()
    assert (run / record.PREDICTIONS).exists()


@pytest.mark.parametrize("size", [1e15, 3e38])
def test_targets_of_any_size_are_drawn(train: Callable[..., Path], tmp_path: Path, size: float) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=60), "y": size * (0.5 + random.random(60) / 2.01)})
    frame.to_csv(tmp_path / "large.csv", index=False)
    run = train(
        "model=regression",
        "data=table",
        f"data.path={tmp_path / 'large.csv'}",
        "data.target=y",
        "trainer.max_epochs=1",
        "threads=1",
        "figures=true",
    )
    assert record.read_summary(run)["status"] in ("completed", "diverged"), "the loss may overflow, the figure may not"
    assert "could not be drawn" not in (run / "train.log").read_text()
