"""The metric by which epochs and runs are compared: its column, and its direction; imports no torch."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paribus.errors import UserError, unknown_name

# Words in the names of metrics. The last one of a name that is known here says the direction.
LOWER = {
    *("loss", "losses", "mse", "mae", "rmse", "mape", "rmsle", "error", "err", "perplexity", "ppl", "nll", "bce"),
    *("ece", "fid", "wer", "cer", "brier", "hinge", "kl"),
}
HIGHER = {
    *("acc", "accuracy", "f1", "fbeta", "auroc", "auc", "ap", "map", "r2", "precision", "recall", "iou", "jaccard"),
    *("dice", "bleu", "rouge", "psnr", "ssim", "specificity", "sensitivity", "kappa", "mcc", "top1", "top5", "topk"),
    *("score", "reward"),
}
PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}


@dataclass(frozen=True)
class Metric:
    """A column of metrics.csv; `higher` is True where more of it is better."""

    column: str
    higher: bool

    @property
    def direction(self) -> str:
        return "higher" if self.higher else "lower"

    def score(self, row: Mapping[str, float | None]) -> float | None:
        """Return the score of an epoch, higher is better; None where the metric or val/loss is not finite."""
        value, loss = row.get(self.column), row.get("val/loss")
        if value is None or not math.isfinite(value) or (loss is not None and not math.isfinite(loss)):
            return None
        return value if self.higher else -value

    def value(self, score: float) -> float:
        """Return the value that has this score."""
        return score if self.higher else -score

    def require(self, columns: Iterable[str], whose: str) -> None:
        """Raise UserError unless it is one of the columns that `whose` run has."""
        found = [column for column in columns if column is not None]
        if self.column not in found:
            raise unknown_name(self.column, f"what {whose} logs by epoch (metric=)", found)


def read_best(summary: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Read by which column of metrics.csv a run's best epoch was chosen, and its value then.

    Both are None for a run that has trained no epoch, the value alone for one without a validated epoch.
    """
    statistics = summary.get("statistics", {})  # none of a run that failed before its network was built
    if "best_metric" in statistics:
        return summary.get("metric", {}).get("name"), statistics["best_metric"]
    columns = {"best_val_acc": "val/acc", "best_val_loss": "val/loss"}
    return next(((columns[name], statistics[name]) for name in columns if name in statistics), (None, None))


def find_direction(name: str) -> str | None:
    """Return "higher" or "lower" as the words of a metric's name say; None where they say nothing."""
    for word in reversed(re.split(r"[^a-z0-9]+", name.lower())):
        if word in LOWER:
            return "lower"
        if word in HIGHER:
            return "higher"
    return None


def parse_metric(text: str) -> Metric:
    """Read NAME, NAME:higher or NAME:lower. Raises UserError where the direction is not known."""
    name, colon, direction = str(text).rpartition(":")
    if not colon:
        name, direction = str(text), find_direction(str(text)) or ""
    if not name or (direction not in ("higher", "lower") and colon):
        raise UserError(f"metric={text}: write metric=NAME:higher or metric=NAME:lower.")
    if "\n" in str(text):
        raise UserError(f"metric={text!r}: a name has one line.")
    if not direction:
        raise UserError(
            f"metric={text}: its name does not say whether more or less of it is better. Write metric={text}:higher or "
            f"metric={text}:lower."
        )
    return Metric(to_column(name), direction == "higher")


def to_column(name: str) -> str:
    """Return the column of a logged name: val_f1, valid/f1 and val/f1 are val/f1. Other names stay as they are."""
    part, separator, rest = re.fullmatch(r"([a-z]+)([_/])(.+)|.*", name).groups()  # type: ignore[union-attr]
    return f"{PARTS[part]}/{rest}" if separator and part in PARTS else name


def to_columns(names: Collection[str]) -> dict[str, str]:
    """Return the column of each name. A name whose column another name has already is its own column."""
    columns: dict[str, str] = {}
    for name in sorted(names, key=lambda name: to_column(name) != name):
        column = to_column(name)
        columns[name] = name if column in columns.values() else column
    return columns
