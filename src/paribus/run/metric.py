"""Choose the metric by which a run's epochs, and runs, are compared."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import lightning

from paribus.errors import UserError
from paribus.record import OWN_CALLBACKS, Metric, parse_metric
from paribus.run.factory import is_foreign


def find_users(callbacks: Sequence[lightning.Callback]) -> list[lightning.Callback]:
    """Return the callbacks that are none of Paribus' own, and may log something."""
    return [callback for callback in callbacks if not type(callback).__module__.startswith(OWN_CALLBACKS)]


def choose_metric(
    config: Mapping[str, Any], columns: Collection[str], callbacks: Sequence[lightning.Callback]
) -> Metric | None:
    """Return the metric that the configuration names, else val/loss of a LightningModule of its own, else None.

    Raises UserError where nobody logs it, as far as that can be told from the `columns` of the module: a user's
    callbacks may log more.
    """
    model = str(config["model"]["_target_"]).rpartition(".")[2]
    if config.get("metric") is not None:
        metric = parse_metric(config["metric"])
        if not find_users(callbacks):
            metric.require(columns, model)
        return metric
    if not is_foreign(config):
        return None
    if "val/loss" in columns:
        return Metric("val/loss", higher=False)
    raise UserError(
        f"{model} logs no val/loss by which its epochs and runs could be compared. Name what it logs by metric=NAME "
        f"(or NAME:higher, NAME:lower; in its YAML default_metric: NAME): {', '.join(columns) or 'it logs nothing'}."
    )
