"""What each run reached by a metric, and the smallest difference of it that means anything."""

import math
from collections.abc import Mapping

import numpy as np

from multirun_analysis.compare.design import Outcome
from multirun_analysis.compare.metric import Metric
from multirun_analysis.records.described import Described
from multirun_analysis.records.load import Study

RESOLUTION = 1e-4  # of a loss, relative: a smaller difference is not measured


def measure_outcomes(
    study: Study, runs: Mapping[str, Described], metric: Metric, selection: Metric
) -> dict[str, Outcome]:
    """Collect what each run reached, and by which value its setting is selected."""
    values, selected_on = metric.of(study).to_dict(), selection.of(study).to_dict()
    return {
        name: Outcome(name, run.replicate, float(values[name]), float(selected_on[name])) for name, run in runs.items()
    }


def find_resolution(study: Study, metric: Metric, outcomes: Mapping[str, Outcome]) -> float:
    """Return the smallest difference that counts as one: a validation sample of an accuracy, 1e-4 of a loss."""
    if metric.is_share:
        sizes = [s.get("data", {}).get("val") for s in study.summaries.values()]
        known = [size for size in sizes if isinstance(size, int) and size > 0]
        return 1 / max(known) if known else 1e-4
    finite = [abs(o.value) for o in outcomes.values() if math.isfinite(o.value)]
    return RESOLUTION * float(np.median(finite)) if finite and metric.sign else 0.0
