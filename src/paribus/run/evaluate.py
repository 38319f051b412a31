"""Runs on the test set: figures, into the record and as tables."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torchmetrics.functional import mean_absolute_error, mean_squared_error, r2_score
from torchmetrics.functional.classification import multiclass_confusion_matrix

from paribus import record
from paribus.errors import UserError
from paribus.record.tables import write_predictions
from paribus.run.load import Run


def evaluate(run: Run, device: torch.device) -> dict[str, Any]:
    """Figures of the run on its test set, also written into its summary.json under "test"; predictions.parquet anew.

    Classification: samples, loss (cross entropy), acc, per_class_acc by class name, confusion (row: true class, column:
    predicted class). Regression: samples, mse, rmse, mae, r2, and baseline_mse of predicting the training mean.
    """
    run.data.prepare_data()
    run.data.setup("test")
    if run.data.test is None or not len(run.data.test[0]):
        raise UserError(f"{run.directory} has no test samples: data.test_fraction was 0.")
    output, targets = _outputs(run, run.data.test_dataloader(), device)
    measure = _classification if run.kind.task == "classification" else _regression
    figures = {
        "checkpoint": run.checkpoint,
        "epoch": run.epoch,
        "evaluated": datetime.now().astimezone().isoformat(timespec="seconds"),
        "samples": len(targets),
        **measure(output, targets, run),
    }
    if run.kind.task == "regression":
        # all three parts anew, so that the file speaks of one checkpoint
        run.data.setup("fit")
        parts = {"train": run.data.train, "val": run.data.val, "test": run.data.test}
        batches = {split: run.data.make_eval_batches(part) for split, part in parts.items() if part and len(part[0])}
        found = {split: _outputs(run, of_split, device) for split, of_split in batches.items()}
        write_predictions(run.directory, {split: (y.numpy(), out.numpy()) for split, (out, y) in found.items()})
    record.write_json(run.directory / record.SUMMARY, {**run.summary, "test": figures})
    return figures


def _outputs(run: Run, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> tuple[Tensor, Tensor]:
    """What the network returns of `batches`, and their targets, on the CPU."""
    run.network.to(device)
    with torch.no_grad():
        pairs = [(run.network(inputs.to(device)).float().cpu(), targets.cpu()) for inputs, targets in batches]
    run.network.to("cpu")
    return torch.cat([output for output, _ in pairs]), torch.cat([targets for _, targets in pairs])


def _classification(output: Tensor, targets: Tensor, run: Run) -> dict[str, Any]:
    classes = output.shape[1]
    confusion = multiclass_confusion_matrix(output.argmax(1), targets, classes)
    names = run.data.class_names or [str(i) for i in range(classes)]
    shares = confusion.diagonal().double() / confusion.sum(1)
    return {
        "loss": float(torch.nn.functional.cross_entropy(output, targets)),
        "acc": int(confusion.diagonal().sum()) / int(confusion.sum()),
        "per_class_acc": dict(zip(names, shares.tolist(), strict=True)),
        "confusion": confusion.tolist(),
    }


def _regression(output: Tensor, targets: Tensor, run: Run) -> dict[str, Any]:
    mse = float(mean_squared_error(output, targets))
    assert run.target_mean is not None
    baseline = torch.full_like(targets, run.target_mean)
    return {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(mean_absolute_error(output, targets)),
        "r2": float(r2_score(output, targets)),
        "baseline_mse": float(mean_squared_error(baseline, targets)),
    }


def show(console: Console, evaluated: list[tuple[Run, dict[str, Any]]]) -> None:
    """Print a table of the runs of each task, and for a single classifier its classes too."""
    for task, columns in (
        ("classification", {"acc": "accuracy", "loss": "loss"}),
        ("regression", {"mse": "MSE", "rmse": "RMSE", "mae": "MAE", "r2": "R²", "baseline_mse": "baseline MSE"}),
    ):
        chosen = [(run, figures) for run, figures in evaluated if run.kind.task == task]
        if not chosen:
            continue
        table = Table(box=SIMPLE_HEAD, title=f"Test set, {chosen[0][1]['samples']:,} samples", title_justify="left")
        for name in (*columns.values(), "epoch"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("run", overflow="fold")
        for run, figures in chosen:
            cells = [f"{figures[c]:.2%}" if c == "acc" else f"{figures[c]:.4g}" for c in columns]
            table.add_row(*cells, f"{figures['epoch']} ({figures['checkpoint']})", run_name(run))
        console.print(table)
        if task == "classification" and len(chosen) == 1:
            console.print(_classes(chosen[0][1]))


def run_name(run: Run) -> str:
    """Its directory; and its status, where that is not completed."""
    status = run.summary["status"]
    return str(run.directory) if status == record.COMPLETED else f"{run.directory} ({status})"


def _classes(figures: dict[str, Any]) -> Table:
    """Accuracy of each class beside the confusion matrix."""
    title = "Confusion: a row for each true class, a column for each predicted one, in the same order"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 0, 0, 1))
    names = list(figures["per_class_acc"])
    for heading in ("", "class", "accuracy"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    for i in range(len(names)):
        table.add_column(str(i), justify="right", no_wrap=True)
    for i, name in enumerate(names):
        row = figures["confusion"][i]
        cells = [Text(str(n), "bold" if i == j else "" if n else "dim") for j, n in enumerate(row)]
        table.add_row(str(i), name, f"{figures['per_class_acc'][name]:.1%}", *cells)
    return table
