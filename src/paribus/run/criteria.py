"""Build the loss and the metrics of a run, and check that they fit its data."""

import inspect
import re
from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import nn
from torchmetrics import Metric

from paribus.config.targets import find_target
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError, summarise_error, unknown_name
from paribus.record import NAMED_LOSSES
from paribus.run.factory import make_factory
from paribus.training.losses import Loss, Task, find_task
from paribus.training.metrics import compute_metric

RECORDED = {  # metrics that are recorded anyway, as sums over the samples of each batch
    "acc": {"_target_": "torchmetrics.Accuracy", "average": "micro"},
    "mse": {"_target_": "torchmetrics.MeanSquaredError"},
    "mae": {"_target_": "torchmetrics.MeanAbsoluteError"},
}
TAKEN = ("loss", "samples", "checkpoint", "epoch", "evaluated", "per_class_acc", "confusion", "baseline_mse")


def build_loss(config: Mapping[str, Any], data: InMemory | ForeignData) -> Loss:
    """Build the loss of `config`. Raises UserError where it does not fit the task and the classes of the data."""
    if config.get("loss") is None:
        if config["model"].get("loss") is not None:
            raise unknown_name(config["model"]["loss"], "model.loss", NAMED_LOSSES)
        raise UserError(
            "The model's YAML names no loss: add `- /loss@_global_.loss: mse` to its defaults, before _self_."
        )
    loss = _make_loss(dict(config["loss"]))
    name = f"loss ({type(loss.module).__name__})"
    kind = data.name if isinstance(data, ForeignData) else type(data).__name__
    if (loss.task == "regression") != (data.task == "regression"):
        task = "regression" if loss.task == "regression" else "classification"
        raise UserError(
            f"{name} is for {task}, but {kind} is data for {data.task}. Choose the loss for the task (loss=mse for "
            "numbers, loss=cross_entropy for classes) and a model for it (model=regression; mlp or vgg6), or other "
            "data."
        )
    if loss.binary and data.out_features != 2:
        raise UserError(f"{name} is for two classes; {kind} has {data.out_features}. Choose loss=cross_entropy.")
    if loss.weights is not None and len(loss.weights) != data.out_features:
        raise UserError(
            f"loss.weight has {len(loss.weights)} values; {kind} has {data.out_features} classes, and each needs one."
        )
    if list(loss.module.parameters()):
        raise UserError(f"{name} has parameters, which nothing would train. Put them into the network.")
    _try_loss(name, loss, data.out_features)
    return loss


def _try_loss(name: str, loss: Loss, classes: int) -> None:
    """Raise UserError unless a loss returns a number, which is the average of what it returns for each sample."""
    output, targets = torch.linspace(-1, 1, 8), torch.linspace(1, 2, 8)
    if loss.task != "regression":
        targets = torch.arange(8) % classes
        output = output.unsqueeze(1) if loss.binary else output.unsqueeze(1) * torch.linspace(0, 1, classes)
    try:
        value = loss(output, targets)
        samples = loss.of_samples(output, targets) if loss.has_samples else None
    except Exception as error:  # noqa: BLE001  a user's own loss can raise anything
        raise UserError(
            f"{name} does not take outputs of shape {tuple(output.shape)} and targets of shape {tuple(targets.shape)}: "
            f"{summarise_error(error)}"
        ) from None
    if not isinstance(value, torch.Tensor) or value.shape != ():
        raise UserError(f"{name} does not return a tensor with one number for a batch.")
    if samples is None:
        return
    if samples.shape != (8,) or not torch.allclose(loss.average(samples, targets), value, rtol=1e-4, equal_nan=True):
        raise UserError(
            f"{name}: with reduction=none a loss has to return that of each sample, of which its value is the mean. "
            "Leave the argument out of its class if it has none."
        )


def _make_loss(node: dict[str, Any]) -> Loss:
    task: Task | None = node.pop("task", None)
    if task not in (*get_args(Task), None):
        raise unknown_name(task, "loss.task", get_args(Task))
    target = find_target(node.get("_target_"), "loss", (nn.Module,))
    task = task or find_task(target)
    if task is None:
        raise UserError(
            f"loss.task is missing: say in the YAML of {node['_target_']} whether it is for classification (a score "
            "for each class), binary (one score) or regression."
        )
    given = [key for key in ("weight", "pos_weight") if node.get(key) is not None]
    tensors = {key: torch.tensor(node.pop(key), dtype=torch.get_default_dtype()) for key in given}
    factory = make_factory("loss", node, nn.Module)
    has_samples = "reduction" in inspect.signature(target).parameters
    return Loss(lambda **more: factory(**tensors, **more), task, has_samples)


def build_metrics(config: Mapping[str, Any], loss: Loss, data: InMemory | ForeignData) -> dict[str, Metric]:
    """Build the metrics of `config` that are not recorded anyway, by name, and try each on two samples a class.

    Raises UserError where a metric does not fit the task, or does not return a number.
    """
    built: dict[str, Metric] = {}
    for name, node in config["metrics"].items():
        part = f"metrics.{name}"
        if not re.fullmatch(r"[A-Za-z]\w*", name) or name in TAKEN:
            raise UserError(f"{part}: a metric cannot have this name, of which val/{name} would be the column.")
        target = find_target(node.get("_target_"), part, (Metric,))
        _require_task(part, target, loss.task)
        if name in RECORDED:
            if dict(node) != RECORDED[name]:
                raise UserError(f"{part} is recorded as it is for every run. Give another metric another name.")
            continue
        built[name] = _make_metric(part, target, node, loss, data)
    return built


def _require_task(part: str, target: Any, task: Task) -> None:
    """Raise UserError for a metric of torchmetrics that is for the other task."""
    module = getattr(target, "__module__", "")
    wrong = "classification" if task == "regression" else "regression"
    if module.startswith(f"torchmetrics.{wrong}"):
        given = "regression" if task == "regression" else "classification"
        raise UserError(f"{part} is a metric of {wrong}, but the loss is for {given}. Leave it out of metrics=.")


def _make_metric(part: str, target: Any, node: Mapping[str, Any], loss: Loss, data: InMemory | ForeignData) -> Metric:
    parameters = inspect.signature(target).parameters
    values: dict[str, Any] = {}
    if "task" in parameters and target.__module__.startswith("torchmetrics."):
        values["task"] = "binary" if loss.binary else "multiclass"
    if loss.task == "classification" and "num_classes" in parameters:
        values["num_classes"] = data.out_features
    make_metric = make_factory(part, node, Metric)  # type: ignore[type-abstract]
    metric = make_metric(**{key: value for key, value in values.items() if key not in node})
    _try_metric(part, metric, loss, data.out_features)
    return metric


def _try_metric(part: str, metric: Metric, loss: Loss, classes: int) -> None:
    """Raise UserError unless the metric takes predictions and targets of this task and returns one number."""
    if loss.task == "regression":
        targets, predictions = torch.linspace(1.0, 2.0, 8), torch.linspace(1.0, 2.5, 8)
    else:
        targets = torch.arange(2 * classes) % classes
        predictions = torch.full((2 * classes, classes), 1 / classes)
        predictions = predictions[:, 1] if loss.binary else predictions
    try:
        compute_metric(metric, predictions, targets)
    except Exception as error:  # noqa: BLE001  a user's own metric can raise anything
        raise UserError(
            f"{part}: {type(metric).__name__} does not return one number for predictions of shape "
            f"{tuple(predictions.shape)} and targets of shape {tuple(targets.shape)}: {summarise_error(error)}"
        ) from None
