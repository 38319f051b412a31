"""Follow one run by its record."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from multirun_analysis.records.files import is_running
from multirun_analysis.records.run_statistics import settled
from multirun_analysis.watch.metrics_file import MetricsFile, Stamp, read_stamp
from paribus import record

MOST_POINTS = 200  # of a curve that is sent; of longer ones every k-th epoch


class FollowedRun:
    """A run, as its record says at the last look.

    Args:
        directory: that of the run, which need not exist yet.
        name: its path below the study.
        number: its place in the list of runs.
        version: the look at which it was found.

    Attributes:
        entry: its entry in the plan of the study; None: it is not planned by the last command.
        status: as in summary.json, or running, paused, unfinished, damaged or absent.
        message: why it ended as it did.
        ended: when its summary was written, in seconds since 1970; None: it has none.
        metric: the column of the metric that it names as its own.
        stop: the request to stop it.
        version: the look at which anything of it was new last.
    """

    def __init__(self, directory: Path, name: str, number: int, version: int):
        self.directory = directory
        self.name = name
        self.number = number
        self.entry: record.PlanEntry | None = None
        self.status = record.ABSENT
        self.message = ""
        self.ended: float | None = None
        self.metric: str | None = None
        self.stop: record.StopRequest | None = None
        self.version = version
        self.metrics = MetricsFile(directory / record.METRICS)
        self._summary_stamp: Stamp | None = None
        self._recorded = record.ABSENT  # the status that the files say, whoever holds the lock

    @property
    def finished(self) -> bool:
        """Return whether nothing of the plan is left to do."""
        if self.status == record.PAUSED:
            return self.entry is not None and self.metrics.epochs >= self.entry.epochs
        return self.status in record.FINISHED

    def plan(self, entry: record.PlanEntry | None, version: int) -> None:
        """Take over the run's entry in a plan that has changed."""
        if entry != self.entry:
            self.entry, self.version = entry, version

    def refresh(self, version: int) -> None:
        """Read what has changed, at the look number `version`."""
        before = (self.status, self.message, self.stop)
        stamp = read_stamp(self.directory / record.SUMMARY)
        over = self._recorded in record.FINISHED and stamp == self._summary_stamp
        running = not over and is_running(self.directory)  # before the summary, which a run writes last
        grown = self.metrics.refresh(version)
        stamp = read_stamp(self.directory / record.SUMMARY)
        if stamp != self._summary_stamp or (stamp is None and (grown or self._recorded == record.ABSENT)):
            self._read_summary(stamp)
        self.status = record.RUNNING if running and self._recorded not in record.FINISHED else self._recorded
        self.stop = record.find_stop([self.directory]) if running else None
        if grown or before != (self.status, self.message, self.stop):
            self.version = version

    def _read_summary(self, stamp: Stamp | None) -> None:
        self._summary_stamp = stamp
        self.ended = None if stamp is None else stamp[2] / 1e9
        self._recorded, summary = record.read_status(self.directory)
        summary = summary or {}
        named = summary.get("metric", {}).get("name")
        self.metric = named if isinstance(named, str) else None
        self.message = _explain(self._recorded, summary)
        if self._recorded == record.INTERRUPTED and summary.get("paused"):
            self._recorded = record.PAUSED

    def describe(self, column: str, version: int) -> dict[str, Any]:
        """Describe the run for the page: its state, and of a column the latest and the settled value, and new points.

        Args:
            column: a column of metrics.csv.
            version: the look up to which the page knows the run.
        """
        values = self.metrics.columns.get(column, [])
        entry, known = self.entry, self.metrics.count_known(version)
        complete = self.status == record.COMPLETED and values
        planned = max(self.metrics.epochs, entry.epochs if entry else 0)
        every = max(1, math.ceil(planned / MOST_POINTS))  # from what is planned: the same at each look
        kept = [i for i in range(known, len(values)) if (i + 1) % every == 0 or i == 0]
        return {
            "id": self.number,
            "name": self.name,
            "setting": list(entry.setting) if entry else None,
            "seed": entry.seed if entry else None,
            "planned": entry is not None,
            "status": self.status,
            "finished": self.finished,
            "message": self.message or self.metrics.damage or "",
            "stop": None if self.stop is None else f"{self.stop.by} asked at {self.stop.at}",
            "epoch": self.metrics.epochs,
            "epochs": entry.epochs if entry else None,
            "latest": to_json(values[-1]) if values else None,
            "settled": to_json(settled(np.array(values))) if complete else None,
            "anew": known == 0,
            "x": [i + 1 for i in kept],
            "y": [to_json(values[i]) for i in kept],
        }


def to_json(value: float) -> float | None:
    """Return a number with as many digits as a page shows; None for what JSON has no number for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _explain(status: str, summary: dict[str, Any]) -> str:
    """Say why a run ended as it did."""
    if status == record.DIVERGED:
        found = summary.get("diverged", {})
        return f"{found.get('what', 'a value')} was not finite in epoch {found.get('epoch', '?')}"
    if summary.get("stopped"):
        return f"stopped after epoch {summary['stopped'].get('epoch')} by {summary['stopped'].get('by')}"
    return str(summary.get("message") or "")
