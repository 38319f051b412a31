"""The statistic by which runs are compared."""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multirun_analysis.compare.inference import Estimate
from multirun_analysis.records.direction import direction_of
from multirun_analysis.records.load import Study
from paribus import record
from paribus.errors import UserError

LOSSES = {"loss", "mse", "rmse", "mae", "error", "perplexity"}
STATISTICS = ("selected", "settled", "best", "final")  # of a run; see records/run_statistics.py
WORDS = {
    "selected": "at the epoch that validation selects, scored on samples that did not select it",
    "settled": "mean over the last tenth of the epochs",
    "best": "the best epoch, a maximum over noise",
    "final": "the last epoch",
}


@dataclass(frozen=True)
class Metric:
    """A column of Study.runs.

    Attributes:
        source: the column of metrics.csv that it is taken from, where the name does not say.
        direction: higher or lower, where it was given or a run's record says; else the name decides.
    """

    name: str
    source: str | None = None
    direction: str | None = None

    @property
    def sign(self) -> int:
        """1 where more of it is better, -1 where less is, 0 where neither (a gradient, a number of parameters)."""
        return {"higher": 1, "lower": -1}.get(self.direction or direction_of(self.name) or "", 0)

    @property
    def statistic(self) -> str | None:
        """Which statistic of a run it is: selected, settled, best or final; None for other columns."""
        kind = self.name.partition("_")[0]
        return kind if kind in STATISTICS else None

    @property
    def column(self) -> str | None:
        """The column of metrics.csv that it is taken from, if it is."""
        if self.source is not None:
            return self.source
        return None if self.statistic is None else self.name.partition("_")[2].replace("_", "/", 1)

    @property
    def short(self) -> str:
        """Its name without the statistic: val accuracy, val MSE."""
        words = {"acc": "accuracy", "mse": "MSE", "mae": "MAE", "rmse": "RMSE", "r2": "R2", "f1": "F1",
                 "auroc": "AUROC"}  # fmt: skip
        parts = (self.name if self.statistic is None else self.name.partition("_")[2]).split("_")
        return " ".join(words.get(part, part) for part in parts)

    @property
    def validated(self) -> bool:
        """Whether it was measured on validation samples, so that something may be chosen by it."""
        return "_val_" in self.name if self.source is None else self.source.startswith("val/")

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction that one reads in per cent."""
        return self.name.endswith("_acc")

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss or an error, of which ratios mean something."""
        return self.sign < 0 and bool(set(self.name.split("_")) & LOSSES)

    def of(self, study: Study) -> pd.Series:
        """Look up each run's statistic: infinitely bad where it diverged or recorded none that is finite, else NaN.

        A run that was not evaluated, or had no validation, says nothing of it.
        """
        runs = study.runs
        found = runs[self.name].astype(float) if self.name in runs else pd.Series(np.nan, runs.index)
        completed = runs["status"] == record.COMPLETED
        # a run that was not validated has a column of nothing but NaN
        measured = (study.curves["metric"] == self.column) & study.curves["value"].notna()
        recorded = set(study.curves.loc[measured, "run"]) if self.column else set()
        broken = completed & ~np.isfinite(found) & runs.index.isin(recorded)
        if self.statistic == "selected":  # where no folds were recorded there is nothing that could be finite
            broken &= runs["folds"].isna()
        result = found.where(completed & np.isfinite(found))
        worst = -self.sign * math.inf if self.sign else math.nan
        return result.mask(broken | (runs["status"] == record.DIVERGED), worst)

    def show(self, value: float) -> str:
        """Format a value as one reads it."""
        if math.isnan(value):
            return ""
        if math.isinf(value):
            return "not finite"
        return f"{100 * value:.2f} %" if self.is_share else f"{value:.4g}"

    def show_range(self, low: float, high: float) -> str:
        """Format two values, with their unit once. Of shares neither is below 0 or above 100 %."""
        if self.is_share:
            low, high = max(0.0, low), min(1.0, high)
        return f"{self.show(low).removesuffix(' %')} to {self.show(high)}"

    def show_difference(self, value: float, reference: float | None = None) -> str:
        """Format a difference of two values: of shares in percentage points.

        With as many decimals as `reference` (half of an interval's width, say) has in its second digit.
        """
        if math.isnan(value):
            return ""
        scaled = 100 * value if self.is_share else value
        spread = abs(100 * reference if self.is_share else reference) if reference else abs(scaled)
        digits = min(8, max(0, 1 - math.floor(math.log10(spread)))) if spread and math.isfinite(spread) else 2
        return f"{scaled:z.{digits}f}" + (" points" if self.is_share else "")

    def show_interval(self, low: float, high: float) -> str:
        """Format an interval of differences: [3.6, 5.7]."""
        half = (high - low) / 2
        ends = [self.show_difference(end, half).removesuffix(" points") for end in (low, high)]
        return f"[{ends[0]}, {ends[1]}]"

    def show_estimate(self, found: Estimate, log: bool) -> str:
        """Format a difference with its 95 % interval; a ratio where it is one of logarithms."""
        low, high = found.interval
        if log:
            mean = f"a factor of {math.exp(found.mean):.3g}"
            return mean if math.isnan(low) else f"{mean} [{math.exp(low):.3g}, {math.exp(high):.3g}]"
        if math.isnan(low):
            return self.show_difference(found.mean)
        return f"{self.show_difference(found.mean, (high - low) / 2)} {self.show_interval(low, high)}"


def parse_margin(text: str, metric: Metric) -> float:
    """Read a margin: "0.2pt" (percentage points) for shares, a number in the metric's own unit for others.

    Raises UserError where it is none.
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(pt|points?)?\s*", text, re.IGNORECASE)
    unit = "percentage points, such as 0.2pt" if metric.is_share else f"the unit of {metric.short}, such as 0.5"
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if found is None or not (0 < value < math.inf) or bool(found[2]) != metric.is_share:
        raise UserError(f"The margin {text!r} does not fit {metric.name}: give a number above 0 in {unit}.")
    return value / 100 if metric.is_share else value
