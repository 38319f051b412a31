"""Which end of a metric is better: what a run's record says of its own, else what its name says."""

import re
from collections.abc import Mapping
from typing import Any

from paribus.record.metric import Metric, find_direction

OWN = {"seconds": "lower", "90pct": "lower", "stability": "higher"}  # words in the names of statistics
TOP_K = re.compile(r"(?:^|[^a-z])top[_-]?(?:k|[0-9]+)(?:$|[^a-z0-9])")


def named_metric(summary: Mapping[str, Any] | None) -> Metric | None:
    """Return the metric that a run's summary names, if it does."""
    found = (summary or {}).get("metric")
    if not isinstance(found, Mapping):
        return None
    name, direction = found.get("name"), found.get("direction")
    if isinstance(name, str) and direction in ("higher", "lower"):
        return Metric(name, direction == "higher")
    return None


def direction_of(name: str) -> str | None:
    """Return "higher" or "lower" as the words of a metric's name say; None where they do not.

    A baseline is what a statistic is held against, and better at neither end.
    """
    words = re.split(r"[^a-z0-9]+", name.lower())
    if "baseline" in words:
        return None
    own = [OWN[word] for word in words if word in OWN]
    return own[-1] if own else "higher" if TOP_K.search(name.lower()) else find_direction(name)
