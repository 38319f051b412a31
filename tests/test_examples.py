"""The worked examples: each part does what it says, all of them train together, and the notebook runs."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas
import pytest
import torch
from conftest import ROOT, main, read_layers

from examples.own_data import Spirals
from examples.own_figure import draw_turned_weights
from examples.own_loss import Focal
from examples.own_model import Residual
from examples.own_optimizer import GradientDirection
from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from paribus import load_run, record

SMALL = ("trainer=cpu", "threads=1", "logger=none", "figures=false")


def test_points_lie_on_the_spiral_of_their_class() -> None:
    data = Spirals(noise=0.0, batch_size=10, seed=1, train_subset=None, train_on_validation=False)
    train, val, _ = data.load(test=False)
    points, spiral = (part.numpy() for part in train)
    assert (len(points), len(val[0])) == (600, 200)
    distance = np.hypot(*points.T)  # r = angle / 3 pi, turned by half a circle for class 1
    expected = distance * 3 * np.pi + np.pi * spiral
    assert np.cos(np.arctan2(points[:, 1], points[:, 0]) - expected) == pytest.approx(1, abs=1e-4)


def test_a_block_adds_to_what_it_gets() -> None:
    network = Residual((2,), 2, torch.nn.ReLU, width=4, depth=1)
    torch.nn.init.eye_(network.blocks[0][1].weight)
    torch.nn.init.zeros_(network.blocks[0][1].bias)
    x = torch.tensor([[0.5, -1.0]])
    between = network.first(x)
    assert torch.equal(network(x), network.last(between + between.relu()))


def test_the_focal_loss_is_the_formula() -> None:
    scores, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    p = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))]
    each = [-((1 - x) ** 2) * math.log(x) for x in p]
    assert Focal(gamma=2.0, reduction="none")(scores, targets).tolist() == pytest.approx(each, rel=1e-4)
    assert Focal(gamma=2.0)(scores, targets).item() == pytest.approx(sum(each) / 2, rel=1e-4)


def test_a_step_has_the_length_of_the_learning_rate() -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    weight.grad = torch.tensor([3.0, -4.0])
    GradientDirection([weight], lr=0.5).step()
    assert weight.tolist() == pytest.approx([1 - 0.3, 1 + 0.4])


@pytest.mark.slow
def test_all_parts_train_together(train: Callable[..., Path]) -> None:
    parts = ("model=residual", "loss=focal", "optim=gradient_direction", "scheduler=stairs", "callbacks=turn")
    run = train("--config-dir", str(ROOT / "examples" / "conf"), *parts, *SMALL, "trainer.max_epochs=4")
    metrics = pandas.read_csv(run / record.METRICS)
    assert metrics["lr"].tolist() == pytest.approx([0.03, 0.015, 0.0075, 0.00375])
    saved, cosines = np.load(run / "weights.npz"), read_layers(run).query("quantity == 'weight_cosine' and epoch == 4")
    for layer, value in zip(cosines.layer, cosines.value, strict=True):
        before, after = saved[f"before/{layer}"].ravel(), saved[f"after/{layer}"].ravel()
        assert value == pytest.approx(before @ after / np.linalg.norm(before) / np.linalg.norm(after), rel=1e-4)
    assert load_run(run, trust=True).predict([[0.0, 0.1]]).shape == (1, 2)
    drawn = draw_turned_weights(compare(load_runs(run)))
    assert drawn is not None
    (line,) = drawn.axes[0].lines
    assert line.get_ydata() == pytest.approx(cosines.sort_values("depth")["value"])


@pytest.mark.slow
def test_the_notebook_runs(
    fashion_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    matplotlib.use("Agg")
    small = ("data.val_size=60", f"data.root={fashion_root}", "trainer.max_epochs=2", "model.hidden=[8]", *SMALL)
    assert main("train.py", "--multirun", "study=demo", "activation=relu,sigmoid", "seed=1,2", *small) == 0
    Path("examples").mkdir()
    monkeypatch.chdir("examples")
    cells = json.loads((ROOT / "examples" / "first_study.ipynb").read_text(encoding="utf-8"))["cells"]
    capsys.readouterr()
    names: dict[str, object] = {}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        exec("".join(cell["source"]), names)
    assert "4 runs of 2 settings (4 completed)" in capsys.readouterr().out
    settled = names["study"].runs.pivot(index="seed", columns="activation", values="selected_val_acc")  # type: ignore[attr-defined]
    assert names["best"] == settled.mean().idxmax()
