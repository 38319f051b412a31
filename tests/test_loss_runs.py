"""Each loss and each metric once through a sweep, a resumed run and a stack; their values, against other libraries."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import main, read_folds
from torch import nn

from paribus import record
from paribus.run.load import Run, load_run

pytestmark = pytest.mark.slow

SMALL = ("trainer=cpu", "threads=1", "callbacks=none", "logger=none", "trainer.max_epochs=2")
NUMBERS = ("model=regression", "model.hidden=[8]", "data.train_subset=64", "metrics=[mse,mae,rmse,r2]")
CLASSES = ("model=plain", "data=three", "metrics=[accuracy,top_k,f1,auroc,calibration_error]", "metrics.top_k.top_k=2")
TWO = (*CLASSES[:1], "data=two", "metrics=[accuracy,f1,auroc,calibration_error]")
TABLE = {
    "mse": NUMBERS,
    "mae": NUMBERS,
    "huber": (*NUMBERS, "loss.delta=5"),
    "smooth_l1": (*NUMBERS, "loss.beta=5"),
    "poisson": NUMBERS,
    "quantile": (*NUMBERS, "loss.level=0.8"),
    "cross_entropy": CLASSES,
    "cross_entropy smooth": (*CLASSES, "loss.label_smoothing=0.2"),
    "cross_entropy weighted": (*CLASSES, "loss.weight=[1,2,0.5]"),
    "nll": (*CLASSES, "model.logarithms=true"),
    "nll weighted": (*CLASSES, "model.logarithms=true", "loss.weight=[1,2,0.5]"),
    "bce": TWO,
    "bce weighted": (*TWO, "loss.pos_weight=3"),
}


@pytest.fixture
def own(tmp_path: Path) -> str:
    """--config-dir with the data sets and the network of own_losses.py."""
    data = "batch_size: 32\ntrain_subset: null\ntrain_on_validation: false\nseed: ${seed}\n"
    files = {
        "data/two": f"_target_: own_losses.Two\n{data}",
        "data/three": f"_target_: own_losses.Three\n{data}",
        "model/plain": "# @package _global_\ndefaults: [{/data@_global_.data: three}, {/loss@_global_.loss: cross_entropy},"
        " _self_]\nmodel: {_target_: own_losses.Plain, logarithms: false, init: torch}\ndefault_epochs: 2\n"
        "default_lr: {adam: 0.05}\n",
    }
    for name, text in files.items():
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"--config-dir={tmp_path / 'own'}"


def curves(directory: Path) -> pd.DataFrame:
    return pd.read_csv(directory / record.METRICS).drop(columns="epoch_seconds")


def runs_of(study: str) -> list[Path]:
    found = record.find_runs([Path("outputs") / study])
    assert {record.read_summary(directory)["status"] for directory in found} == {"completed"}
    return found


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.cases(2)
def test_a_sweep_a_resumed_run_and_a_stack_agree(case: str, own: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = (own, *TABLE[case], f"loss={case.split()[0]}", *SMALL)
    sweep = (*chosen, "seed=1,2", "--multirun")
    assert main("train.py", *sweep, "study=alone") == 0
    assert main("train.py", *sweep, "study=stacked", "hydra/launcher=stacked", "hydra.launcher.n_jobs=1") == 0
    alone, stacked = runs_of("alone"), runs_of("stacked")
    assert [record.read_summary(directory)["stacked"] for directory in stacked] == [2, 2]
    for one, other in zip(alone, stacked, strict=True):
        pd.testing.assert_frame_equal(curves(other), curves(one), rtol=1e-4)
        pd.testing.assert_frame_equal(read_folds(other), read_folds(one), rtol=1e-4)

    first = next(run for run in alone if record.read_summary(run)["seed"] == 1)
    single = ("seed=1", "hydra.run.dir=single")
    assert main("train.py", *chosen, *single, "trainer.max_epochs=1") == 0
    assert main("train.py", "resume=single", "trainer.max_epochs=2", "trust=true") == 0
    pd.testing.assert_frame_equal(curves(Path("single")), curves(first), rtol=0)
    pd.testing.assert_frame_equal(read_folds(Path("single")), read_folds(first), rtol=0)

    run = load_run("single", "last", trust=True)
    run.data.setup("fit")
    assert run.data.val is not None and run.data.validation_folds is not None
    row, folds = curves(Path("single")).iloc[-1], read_folds(Path("single"))
    check_values(run, *run.data.val, lambda name: row[f"val/{name}"])
    for fold in range(5):
        chosen_samples = run.data.validation_folds == fold
        found = folds[(folds.epoch == 2) & (folds.fold == fold + 1)].iloc[0]
        assert found["samples"] == chosen_samples.sum()
        part = [values[chosen_samples] for values in run.data.val]
        check_values(run, part[0], part[1], lambda name, found=found: found[f"val/{name}"])  # type: ignore[misc]

    assert main("evaluate.py", "run=single", "--checkpoint", "last", "--trust") == 0
    run.data.setup("test")
    assert run.data.test is not None
    tested = record.read_summary(Path("single"))["test"]
    check_values(run, *run.data.test, lambda name: tested[name])
    assert not set(run.config["metrics"]) - set(tested), "all of them are in the record"
    if run.kind.task == "classification":
        assert "auroc" in capsys.readouterr().out


def check_values(run: Run, inputs: torch.Tensor, targets: torch.Tensor, found: Callable[[str], float]) -> None:
    """Compare the loss and the metrics with those of numpy and scikit-learn, from the network's own outputs."""
    with torch.no_grad():
        output, y = run.network(inputs).double().numpy(), targets.numpy()
    predicted = run.predict(inputs).double().numpy() if run.kind.task == "classification" else output
    assert found("loss") == pytest.approx(compute_loss(run, output, y), rel=1e-4)
    for name, value in (by_class if run.kind.task == "classification" else by_number)(run, predicted, y).items():
        assert found(name) == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), name


def compute_loss(run: Run, output: np.ndarray, y: np.ndarray) -> float:
    """Compute the configured loss by its formula."""
    node = run.config["loss"]
    kind = node["_target_"].rpartition(".")[2]
    if run.kind.task == "regression":
        error = y - output
        size, delta, beta = np.abs(error), node.get("delta", 1), node.get("beta", 1)
        return float({
            "MSELoss": error**2,
            "L1Loss": size,
            "HuberLoss": np.where(size < delta, error**2 / 2, delta * (size - delta / 2)),
            "SmoothL1Loss": np.where(size < beta, error**2 / 2 / beta, size - beta / 2),
            "PoissonNLLLoss": np.exp(output) - y * output,
            "QuantileLoss": np.where(error > 0, node.get("level", 0) * error, (node.get("level", 0) - 1) * error),
        }[kind].mean())  # fmt: skip
    if kind == "BCEWithLogitsLoss":
        p = 1 / (1 + np.exp(-output[:, 0]))
        return float(-(y * np.log(p) * (node["pos_weight"] or 1) + (1 - y) * np.log(1 - p)).mean())
    logs = output - np.log(np.exp(output).sum(1, keepdims=True))
    smoothing, weight = node.get("label_smoothing", 0), np.array(node["weight"] or [1] * output.shape[1])
    aim = (1 - smoothing) * np.eye(output.shape[1])[y] + smoothing / output.shape[1]
    return float(-(aim * logs * weight).sum() / weight[y].sum())


def by_number(run: Run, output: np.ndarray, y: np.ndarray) -> dict[str, float]:
    values = np.exp(output) if "Poisson" in run.config["loss"]["_target_"] else output
    mse = float(((values - y) ** 2).mean())
    return {"mse": mse, "rmse": mse**0.5, "mae": float(np.abs(values - y).mean()), "r2": 1 - mse / float(y.var())}


def by_class(run: Run, p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    right, confidence = p.argmax(1) == y, p.max(1)
    classes = range(p.shape[1])
    # the area under the curve is the probability that a sample of the class has the higher score
    areas = [_rank(p[y == c, c], p[y != c, c]) for c in classes if 0 < (y == c).sum() < len(y)]
    f1 = [_f1(p.argmax(1) == c, y == c) for c in classes if ((y == c) | (p.argmax(1) == c)).any()]
    found = {"acc": float(right.mean())}
    if len(areas) == len(classes):
        found |= {"auroc": float(np.mean(areas)), "f1": float(np.mean(f1))}
    if run.loss.binary:  # confidence is then that of class 1, and f1 that of class 1 alone
        found |= {"f1": _f1(p.argmax(1) == 1, y == 1)}
        confidence, right = p[:, 1], y == 1
    else:
        found["top_k"] = float((p.argsort(1)[:, -2:] == y[:, None]).any(1).mean())
    bins = np.clip((confidence * 15).astype(int), 0, 14)
    gaps = [abs((confidence[bins == b] - right[bins == b]).sum()) for b in range(15)]
    return found | {"calibration_error": float(sum(gaps) / len(y))}


def _rank(mine: np.ndarray, others: np.ndarray) -> float:
    return float(((mine[:, None] > others) + 0.5 * (mine[:, None] == others)).mean())


def _f1(predicted: np.ndarray, true: np.ndarray) -> float:
    both = (predicted & true).sum()
    return float(2 * both / max(1, predicted.sum() + true.sum()))


@pytest.mark.cases(0)  # for make soak
def test_weights_and_metrics_are_the_same_over_two_processes(own: str, tmp_path: Path) -> None:
    chosen = (own, *CLASSES, "loss.weight=[1,2,0.5]", "threads=1", "callbacks=none", "logger=none")
    rest = ("trainer.max_epochs=2", "data.batch_size=15")
    assert main("train.py", *chosen, *rest, "trainer=cpu", "hydra.run.dir=one") == 0
    ranked = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    assert main("train.py", *chosen, *rest, *ranked, "hydra.run.dir=two") == 0
    pd.testing.assert_frame_equal(curves(Path("two")), curves(Path("one")), rtol=1e-4)
    pd.testing.assert_frame_equal(read_folds(Path("two")), read_folds(Path("one")), rtol=1e-4)


def test_torchs_losses_are_called_as_they_are() -> None:
    """The step of an unweighted loss costs what torch's own forward costs: nothing is wrapped around it."""
    from paribus.training.losses import Loss

    loss = Loss(nn.CrossEntropyLoss, "classification", has_samples=True)
    assert loss._of_batch == loss.module.forward
