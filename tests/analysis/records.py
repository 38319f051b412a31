"""Run records as runs leave them, made by hand: small, quick, and with figures that are chosen."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from paribus import record

LR = {"sgd": 0.002, "sgd_momentum": 0.002, "adam": 0.01, "adamw": 0.01, "nesterov": 0.002, "rmsprop": 0.01}
DATA = {"regression": "concrete", "classification": "fashion_mnist"}


def write_run(
    directory: Path,
    losses: Sequence[float] = (3.0, 2.0, 1.0),
    seed: int = 1,
    status: str = "completed",
    task: str = "regression",
    layers: bool = False,
    more: Mapping[str, Any] | None = None,
    statistics: Mapping[str, Any] | None = None,
    **tried: Any,
) -> Path:
    """A run whose validation losses (or, of a classifier, one less its accuracies) are `losses`, by epoch.

    `tried`: options by group (optim="sgd") and values, with __ for a dot (optim__lr=0.1). `more` goes into the summary.
    """
    groups = {"model": "regression" if task == "regression" else "mlp", "data": DATA[task], "activation": "relu",
              "optim": "adam", "scheduler": "none"}  # fmt: skip
    choices = {**groups, **{k: v for k, v in tried.items() if k in groups}}
    given = {k.replace("__", "."): v for k, v in tried.items() if k not in groups}
    config: dict[str, Any] = {
        "data": {"_target_": f"paribus.data.{choices['data']}", "batch_size": 64, "root": "data", "seed": seed},
        "model": {"_target_": f"paribus.models.{choices['model']}", "hidden": [128, 64], "width": None, "depth": None,
                  "loss": "mse" if task == "regression" else "cross_entropy"},
        "activation": {"_target_": f"torch.nn.{choices['activation']}"},
        "optim": {"_target_": f"torch.optim.{choices['optim']}", "lr": LR.get(choices["optim"], 0.01)},
        "scheduler": {"_target_": choices["scheduler"]},
        "trainer": {"_target_": "lightning.Trainer", "max_epochs": 300, "accelerator": "cpu"},
        "default_lr": LR, "default_epochs": 300, "callbacks": {}, "logger": {}, "seed": seed, "threads": None,
    }  # fmt: skip
    for key, value in given.items():
        node = config
        *path, last = key.split(".")
        for part in path:
            node = node[part]
        node[last] = value
    directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, loss in enumerate(losses):
        row: dict[str, float] = {"epoch": i + 1, "step": 10 * (i + 1), "lr": config["optim"]["lr"],
                                 "train/loss": 0.9 * loss, "val/loss": loss}  # fmt: skip
        row |= {"val/mse": loss, "val/mae": loss**0.5} if task == "regression" else {
            "train/acc": 1 - 0.9 * loss, "val/acc": 1 - loss}  # fmt: skip
        rows.append(row | {"epoch_seconds": 0.5})
    pandas.DataFrame(rows).to_csv(directory / record.METRICS, index=False, na_rep="nan")
    finite = [loss for loss in losses if loss == loss and abs(loss) < float("inf")]
    best = min(finite) if finite else None
    found = {"parameters": 9473, "epochs": len(losses), "final_train_loss": 0.9 * losses[-1],
             "final_val_loss": losses[-1], "stability_score": 0.5, "train_seconds": 0.5 * len(losses),
             "best_epoch": list(losses).index(best) + 1 if finite else None}  # fmt: skip
    found |= {"best_val_loss": best, "baseline_val_loss": 10.0} if task == "regression" else {
        "best_val_acc": None if best is None else 1 - best, "epochs_to_90pct": 1}  # fmt: skip
    summary = {
        "status": status, "message": None, "study": directory.parent.name, "identity": record.identify(config),
        "command": f"python train.py seed={seed}", "choices": choices, "set": given, "seed": seed, "config": config,
        "statistics": {**found, **(statistics or {})}, "data": {"sha256": "0123456789", "train": 722, "val": 154},
        "versions": {"paribus": "0.1.0", "torch": "2.6.0"}, "git": {"commit": "abc", "dirty": False}, "device": "cpu",
        **({"diverged": {"epoch": len(losses), "step": 10 * len(losses), "what": "train/loss"}}
           if status == "diverged" else {}), **(more or {}),
    }  # fmt: skip
    record.write_json(directory / record.SUMMARY, summary)
    if layers:
        write_layers(directory, len(losses))
    return directory


def write_layers(directory: Path, epochs: int, names: Sequence[str] = ("linear1", "linear2", "linear3")) -> None:
    """Gradients of 0.1 ** (layer + 1) for weights and half of that for biases, and shares of dead units."""
    rows = []
    for depth, name in enumerate(names):
        for tensor, size in (("weight", 100), ("bias", 10)):
            rows.append((0, name, depth, tensor, "size", float(size)))
            for epoch in range(1, epochs + 1):
                value = 0.1 ** (depth + 1) * (1 if tensor == "weight" else 0.5)
                rows.append((epoch, name, depth, tensor, "grad_mean_abs", value))
                rows.append((epoch, name, depth, tensor, "grad_zero_fraction", 0.25))
                rows.append((epoch, name, depth, tensor, "update_ratio", 1e-3))
        rows += [(epoch, name, depth, "activation", "dead_fraction", 0.1 * depth) for epoch in range(epochs + 1)]
    frame = pandas.DataFrame(rows, columns=["epoch", "layer", "depth", "tensor", "quantity", "value"])
    kinds = {"epoch": "int32", "depth": "int32", "layer": "category", "tensor": "category", "quantity": "category"}
    frame.astype(kinds).to_parquet(directory / record.LAYERS, index=False)


def edit_summary(directory: Path, **changes: Any) -> None:
    """Change a summary; None removes a key."""
    summary = json.loads((directory / record.SUMMARY).read_text())
    summary = {key: value for key, value in {**summary, **changes}.items() if key not in changes or value is not None}
    (directory / record.SUMMARY).write_text(json.dumps(summary))


def write_folds(
    directory: Path, folds: Sequence[Sequence[float]], samples: Sequence[int] = (10, 10, 10, 10, 10)
) -> None:
    """Validation losses by epoch and fold; of a classifier accuracies are one less them."""
    table = pandas.read_csv(directory / record.METRICS)
    rows = []
    for epoch, values in enumerate(folds, 1):
        for fold, (value, size) in enumerate(zip(values, samples, strict=True), 1):
            row = {"epoch": epoch, "fold": fold, "samples": size, "val/loss": value}
            row |= {"val/acc": 1 - value} if "val/acc" in table else {"val/mse": value, "val/mae": value**0.5}
            rows.append(row)
    pandas.DataFrame(rows).astype({"epoch": "int32", "fold": "int8", "samples": "int32"}).to_parquet(
        directory / record.FOLDS, index=False
    )
