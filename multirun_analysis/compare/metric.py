"""The figure by which runs are compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multirun_analysis.records.load import Study, higher_is_better
from paribus import record
from paribus.errors import unknown

DIRECTED = {"loss", "mse", "rmse", "mae", "seconds", "90pct", "acc", "accuracy", "r2", "stability"}


@dataclass(frozen=True)
class Metric:
    """A column of Study.runs."""

    name: str

    @property
    def sign(self) -> int:
        """1 where more of it is better, -1 where less is, 0 where neither (a gradient, a number of parameters)."""
        parts = set(self.name.split("_"))
        if "baseline" in parts or not parts & DIRECTED:
            return 0
        return 1 if higher_is_better(self.name) else -1

    @property
    def column(self) -> str | None:
        """The column of metrics.csv that it is taken from, if it is."""
        kind, _, rest = self.name.partition("_")
        return rest.replace("_", "/", 1) if kind in ("best", "final") else None

    @property
    def validated(self) -> bool:
        """Whether it was measured on validation samples, so that something may be chosen by it."""
        return "_val_" in self.name

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction that one reads in per cent."""
        return self.name.endswith("_acc")

    def of(self, study: Study) -> pd.Series:
        """Each run's figure: infinitely bad where it diverged or recorded none that is finite, NaN without any.

        A run that was not evaluated, or had no validation, says nothing of it.
        """
        runs = study.runs
        found = runs[self.name].astype(float) if self.name in runs else pd.Series(np.nan, runs.index)
        completed = runs["status"] == record.COMPLETED
        recorded = set(study.curves.loc[study.curves["metric"] == self.column, "run"]) if self.column else set()
        broken = completed & ~np.isfinite(found) & runs.index.isin(recorded)
        result = found.where(completed & np.isfinite(found))
        worst = -self.sign * math.inf if self.sign else math.nan
        return result.mask(broken | (runs["status"] == record.DIVERGED), worst)

    def require(self, study: Study) -> None:
        """Raises UserError where the runs have no such figure."""
        columns = list(study.runs)
        tried = columns[: columns.index("seed") + 1]
        numeric = [c for c in map(str, study.runs) if c not in tried and pd.api.types.is_numeric_dtype(study.runs[c])]
        if self.name not in numeric:
            raise unknown(self.name, "the figures of these runs (--metric)", numeric)

    def show(self, value: float) -> str:
        """The value as one reads it."""
        if math.isnan(value):
            return ""
        if math.isinf(value):
            return "not finite"
        return f"{100 * value:.2f} %" if self.is_share else f"{value:.4g}"

    def show_range(self, low: float, high: float) -> str:
        """Two values, with their unit once."""
        return f"{self.show(low).removesuffix(' %')} to {self.show(high)}"

    def show_difference(self, value: float) -> str:
        """A difference of two values: of shares in percentage points."""
        if math.isnan(value):
            return ""
        return f"{100 * value:.2f} points" if self.is_share else f"{value:.3g}"

    def show_interval(self, low: float, high: float) -> str:
        """An interval of differences."""
        return f"{self.show_difference(low).removesuffix(' points')} to {self.show_difference(high)}"


def default_metric(task: str, factors: Sequence[str]) -> Metric:
    """By what validation judges a run: accuracy, or the loss; where the loss itself is varied, the squared error."""
    if task == "classification":
        return Metric("best_val_acc")
    return Metric("best_val_mse" if "model.loss" in factors else "best_val_loss")
