"""Evaluate runs on the test set: write metrics to the record and print tables."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from paribus import record
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.record.tables import write_predictions
from paribus.run.criteria import build_metrics
from paribus.run.load import Run
from paribus.run.naming import name_runs
from paribus.run.testing import run_test_step, show_tested
from paribus.training.flips import compute_outputs
from paribus.training.losses import Loss
from paribus.training.metrics import WholeMetrics

MOST_CONFUSED = 20  # classes whose confusion fits on a terminal


def evaluate(run: Run, device: torch.device) -> dict[str, Any]:
    """Compute metrics on the run's test set; write them to summary.json ("test"), and predictions of a regression.

    Classification: samples, loss (as configured), acc, per_class_acc by class name, confusion (row: true class, column:
    predicted class). Regression: samples, loss, mse, rmse, mae, r2, and baseline_mse (predicting the training mean).
    Both: the run's own metrics, by name.
    """
    if run.kind is None or run.loss is None:
        metrics = {**_describe(run), **run_test_step(run, device)}
        record.write_json(run.directory / record.SUMMARY, {**run.summary, "test": metrics})
        return metrics
    run.data.prepare_data()
    run.data.setup("test")
    if isinstance(run.data, ForeignData):
        tested, remedy = run.data.make_loader("test") is not None, f"{run.data.name} has no test_dataloader."
    else:
        tested, remedy = bool(run.data.count("test")), "data.test_fraction was 0."
    if not tested:
        raise UserError(f"{run.directory} has no test samples: {remedy}")
    batches = run.data.iterate("test") if isinstance(run.data, ForeignData) else run.data.test_dataloader()
    output, targets = _predict(run, batches, device)
    measure = _measure_classification if run.kind.task == "classification" else _measure_regression
    metrics = {
        **_describe(run),
        "samples": len(targets),
        **({"average_flips": True} if run.data.average_flips else {}),
        "loss": float(run.loss(output, targets)),
        **measure(output, targets, run, run.loss),
        **WholeMetrics(run.loss, build_metrics(run.config, run.loss, run.data)).compute(output, targets),
    }
    if run.kind.task == "regression" and isinstance(run.data, InMemory):
        # all three parts are predicted again, so that the file belongs to one checkpoint
        run.data.setup("fit")
        parts = {"train": run.data.train, "val": run.data.val, "test": run.data.test}
        of_parts = {split: run.data.make_eval_batches(part) for split, part in parts.items() if part and len(part[0])}
        predictions = {split: _predict(run, split_batches, device) for split, split_batches in of_parts.items()}
        write_predictions(
            run.directory,
            {split: (y.numpy(), run.loss.interpret(out).numpy()) for split, (out, y) in predictions.items()},
        )
    record.write_json(run.directory / record.SUMMARY, {**run.summary, "test": metrics})
    return metrics


def _describe(run: Run) -> dict[str, Any]:
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"checkpoint": run.checkpoint, "epoch": run.epoch, "evaluated": now}


def _predict(run: Run, batches: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the network's outputs for `batches` and their targets, on the CPU."""
    run.network.to(device)
    with torch.no_grad():
        pairs = [
            (compute_outputs(run.network, inputs.to(device), run.data.average_flips).float().cpu(), targets.cpu())
            for inputs, targets in batches
        ]
    run.network.to("cpu")
    return torch.cat([output for output, _ in pairs]), torch.cat([targets for _, targets in pairs])


def _measure_classification(output: Tensor, targets: Tensor, run: Run, loss: Loss) -> dict[str, Any]:
    classes = run.data.out_features
    predicted = output.flatten() > 0 if loss.binary else output.argmax(1)
    pairs = targets * classes + predicted
    confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
    names = run.data.class_names or [str(i) for i in range(classes)]
    shares = confusion.diagonal().double() / confusion.sum(1)
    return {
        "acc": int(confusion.diagonal().sum()) / int(confusion.sum()),
        "per_class_acc": dict(zip(names, shares.tolist(), strict=True)),
        "confusion": confusion.tolist(),
    }


def _measure_regression(output: Tensor, targets: Tensor, run: Run, loss: Loss) -> dict[str, Any]:
    """Measure a regression; without torchmetrics, which takes 1.3 s to import, and errors below 1e-4 for none."""
    predictions, targets = loss.interpret(output).double(), targets.double()
    mse = float(mse_loss(predictions, targets))
    variance = float(targets.var(correction=0))
    found = {
        "mse": mse,
        "rmse": mse**0.5,
        "mae": float(l1_loss(predictions, targets)),
        "r2": 1 - mse / variance if variance else float(mse == 0),  # as sklearn has it for constant targets
    }
    if run.target_mean is not None:  # not known of data that are not in memory
        found["baseline_mse"] = float(mse_loss(torch.full_like(targets, run.target_mean), targets))
    return found


def show(console: Console, evaluated: list[tuple[Run, dict[str, Any]]]) -> None:
    """Print a table of runs for each task; for a single classifier, also a table of classes."""
    tested = [(run, metrics) for run, metrics in evaluated if run.kind is None]
    if tested:
        show_tested(console, tested)
    for task, columns in (
        ("classification", {"acc": "accuracy", "loss": "loss"}),
        ("regression", {"mse": "MSE", "rmse": "RMSE", "mae": "MAE", "r2": "R²", "baseline_mse": "baseline MSE"}),
    ):
        chosen = [(run, metrics) for run, metrics in evaluated if run.kind is not None and run.kind.task == task]
        if not chosen:
            continue
        columns |= {name: name for run, _ in chosen for name in run.config["metrics"] if name not in columns}
        where, names = name_runs([run for run, _ in chosen])
        title = f"Test set, {chosen[0][1]['samples']:,} samples{where and f', {where}'}"
        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0))
        for heading in (*columns.values(), "epoch"):
            table.add_column(heading, justify="right", no_wrap=True)
        several = len(chosen) > 1
        if several:
            table.add_column("seed", justify="right", no_wrap=True)
        table.add_column("run", overflow="fold")
        for name, (run, metrics) in zip(names, chosen, strict=True):
            cells = ["" if c not in metrics else format(metrics[c], ".2%" if c == "acc" else ".4g") for c in columns]
            seed = [str(run.summary.get("seed"))] if several else []
            table.add_row(*cells, f"{metrics['epoch']} ({metrics['checkpoint']})", *seed, Text(name))
        console.print(table)
        averaged = sum(metrics.get("average_flips", False) for _, metrics in chosen)
        if averaged:
            whose = "" if averaged == len(chosen) else f" of {averaged} of the {len(chosen)} runs"
            console.print(f"Outputs{whose} are means over each image and its mirror image (data.average_flips).")
        if task == "classification" and len(chosen) == 1:
            console.print(_tabulate_classes(chosen[0][1]))


def _tabulate_classes(metrics: dict[str, Any]) -> Table:
    """Return a table with the accuracy of each class beside the confusion matrix."""
    names = list(metrics["per_class_acc"])
    confused = range(len(names) if len(names) <= MOST_CONFUSED else 0)
    title = "Confusion: a row for each true class, a column for each predicted one, in the same order"
    if not confused:
        title = f"Accuracy of each class; which ones are confused is in {record.SUMMARY}"
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 0, 0, 1))
    for heading in ("", "class", "accuracy"):
        table.add_column(heading, justify="left" if heading == "class" else "right", no_wrap=True)
    for i in confused:
        table.add_column(str(i), justify="right", no_wrap=True)
    for i, name in enumerate(names):
        row, share = metrics["confusion"][i], metrics["per_class_acc"][name]
        cells = [Text(str(n), "bold" if i == j else "" if n else "dim") for j, n in enumerate(row)]
        cells = cells[: len(confused)]
        table.add_row(str(i), Text(name), f"{share:.1%}" if sum(row) else "none", *cells)
    return table
