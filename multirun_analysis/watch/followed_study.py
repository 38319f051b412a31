"""Follow a study by its records: its plan, its runs, and how long it will take."""

import secrets
import shlex
import threading
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from multirun_analysis.records.files import has_record, is_running
from multirun_analysis.watch.followed_run import FollowedRun
from multirun_analysis.watch.metrics_file import Stamp, read_stamp
from multirun_analysis.watch.verdict import VerdictCommand
from paribus import record
from paribus.errors import UserError
from paribus.formatting import format_duration
from paribus.installation import name_commands
from paribus.paths import suggest_path

BETWEEN_LOOKS_S = 1.0  # seconds; several pages share a look
NOT_METRICS = ("epoch", "step", "epoch_seconds")
DEFAULTS = ("val/acc", "val/loss", "train/loss")  # the first of them that there is


class FollowedStudy:
    """A study, as its records say at the last look. Nothing is written but requests to stop.

    A look reads the files that have changed since the one before. Looks are numbered, so that a page can ask for what
    is new since the look that it knows.

    Args:
        path: the directory of the study, of single runs, or of one run.

    Raises UserError where there is no run, and none is planned.
    """

    def __init__(self, path: Path):
        if not path.is_dir():
            raise UserError(
                f"{path} is no directory. Name the directory of a study that has begun: outputs/STUDY."
                f"{suggest_path(path)}"
            )
        self.path = path
        self.alone = has_record(path)
        self.root = path.absolute().parent if self.alone else path.absolute()
        self.runs: dict[str, FollowedRun] = {}
        self.plan: record.StudyPlan | None = None
        self.trouble = ""  # with the plan
        self.gone = False
        self.busy = False  # whether a command trains the study
        self.stop: record.StopRequest | None = None
        self.verdict = VerdictCommand(path)
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._version = 0
        self._generation = secrets.token_hex(4)  # another one whenever a page has to forget what it knows
        self._plan_stamp: Stamp | None = None
        self.look()
        if not self.runs:
            raise UserError(
                f"{path} holds no run. Name the directory of a study, of a day of single runs, or of a run."
            )

    def look(self) -> None:
        """Read what has changed, unless the last look is younger than BETWEEN_LOOKS_S."""
        with self._lock:
            if time.monotonic() - self._looked < BETWEEN_LOOKS_S:
                return
            self._look()
            self._looked = time.monotonic()

    def _look(self) -> None:
        self._version += 1
        try:
            children = {child.name for child in self.root.iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            self.gone, self.busy = True, False
            return
        self.gone = False
        if not self.alone:
            self._read_plan()
            self.busy = is_running(self.root)
            self.stop = record.find_stop([self.root])
        self._find_runs(children)
        for run in self.runs.values():
            run.refresh(self._version)
        self.verdict.update(self._find_verdict_key())

    def _read_plan(self) -> None:
        stamp = read_stamp(self.root / record.PLAN)
        if stamp == self._plan_stamp:
            return
        self._plan_stamp = stamp
        try:
            self.plan, self.trouble = record.read_study_plan(self.root), ""
        except record.RecordError as error:
            self.plan, self.trouble = None, str(error)

    def _find_runs(self, children: Collection[str]) -> None:
        """Keep the runs that are planned or among the children, in the order of the plan, then of their names."""
        entries = {} if self.plan is None else {entry.path: entry for entry in self.plan.runs}
        if self.alone:
            found = [self.path.absolute().name]
        else:
            others = sorted(name for name in children if name not in entries)
            found = [*entries, *(name for name in others if name in self.runs or has_record(self.root / name))]
        if found[: len(self.runs)] != [*self.runs]:
            self.runs = {}
            self._generation = secrets.token_hex(4)
        for name in found:
            if name not in self.runs:
                self.runs[name] = FollowedRun(self.root / name, name, len(self.runs), self._version)
            self.runs[name].plan(entries.get(name), self._version)

    def _find_verdict_key(self) -> object:
        """Return what the verdict depends on, once all planned runs are there; None before."""
        runs = self.runs.values()
        ended = all(run.finished for run in runs if run.entry) and not any(run.status == record.RUNNING for run in runs)
        if self.plan is None or not self.plan.whole or not ended or len(self.runs) < 2:
            return None
        return tuple((run.name, run.status, run.ended) for run in runs)

    def describe(self, version: int, generation: str, column: str | None) -> dict[str, Any]:
        """Describe for a page what is new since the look number `version` of the `generation` that it knows.

        Args:
            column: whose curves the page shows; None: those of the metric of the runs.
        """
        self.look()
        with self._lock:
            if generation != self._generation:
                version = 0
            columns = dict.fromkeys(name for run in self.runs.values() for name in run.metrics.columns)
            columns = {name: None for name in columns if name not in NOT_METRICS}
            shown = column if column in columns else self._choose_column(columns)
            changed = [run for run in self.runs.values() if run.version > version]
            return {
                "version": self._version,
                "generation": self._generation,
                "study": self._describe_study(),
                "columns": sorted(columns),
                "column": shown,
                "runs": [run.describe(shown, version) for run in changed],
                "verdict": self.verdict.describe(),
            }

    def _choose_column(self, columns: dict[str, None]) -> str:
        named = [run.metric for run in self.runs.values() if run.metric in columns]
        return next((name for name in (*named, *DEFAULTS) if name in columns), next(iter(columns), ""))

    def _describe_study(self) -> dict[str, Any]:
        runs = self.runs.values()
        finished = sum(run.finished for run in runs)
        trained, total = self._count_epochs()
        return {
            "name": self.path.absolute().name,
            "path": str(self.path),
            "alone": self.alone,
            "gone": self.gone,
            "busy": self.busy,
            "counts": dict(Counter(run.status for run in runs)),
            "finished": finished,
            "runs": len(runs),
            "epochs": trained,
            "of_epochs": total,
            "later": self.plan.later if self.plan else 0,
            "left": self._estimate_time_left(trained, total),
            "stop": None if self.stop is None else f"{self.stop.by} asked at {self.stop.at}",
            "command": self.plan.command if self.plan else None,
            "verdict": self._explain_verdict(),
            "trouble": self.trouble,
        }

    def _count_epochs(self) -> tuple[int, int]:
        """Count the epochs that are trained or will not be, and all; of a run that ended early the rest counts."""
        trained = total = 0
        started = self.plan.started if self.plan else 0.0
        for run in self.runs.values():
            epochs = run.entry.epochs if run.entry else run.metrics.epochs
            ended = run.ended is not None and run.ended >= started and run.status != record.RUNNING
            total += epochs
            trained += epochs if run.finished or ended else min(epochs, run.metrics.epochs)
        return trained, total + (self.plan.later if self.plan else 0)

    def _estimate_time_left(self, trained: int, total: int) -> str | None:
        """Estimate the time left at the pace since the round began, as the command's own board does."""
        if self.plan is None or not self.busy or self.gone:
            return None
        new = trained - self.plan.epochs_before
        if new <= 0 or total <= trained:
            return None
        return format_duration((time.time() - self.plan.started) / new * (total - trained))

    def _explain_verdict(self) -> str:
        """Say why there is no verdict yet; an empty text where there is one."""
        compare = name_commands(f"python -m multirun_analysis {shlex.quote(str(self.path))}")
        if self.verdict.key is not None or self.alone:
            return ""
        if self.plan is None:
            return (
                "No verdict here: the plan of these runs is not recorded, so runs may be missing. To judge those that "
                f"are there: {compare}"
            )
        left = sum(not run.finished for run in self.runs.values() if run.entry)
        planned = len(self.plan.runs)
        if left:
            return (
                f"No verdict before all planned runs are finished: {left:,} of {planned:,} are not. Until then "
                "another setting may come ahead, and looking after each run finds winners where there are none."
            )
        if not self.plan.whole:
            return "No verdict yet: the study may add runs in a further round."
        if planned < 2:
            return f"A single run is compared with nothing. What it says of itself: {compare}"
        return "No verdict while a run is being trained."

    def ask_to_stop(self, name: str | None, by: str) -> str:
        """Ask a run to stop, or the study where `name` is None; return what then happens.

        Raises UserError where nothing is being trained, the request cannot be written, or somebody has asked before.
        """
        with self._lock:
            self._look()
            if self.gone:
                raise UserError(f"{self.path} is not there any more.")
            if name is not None and name not in self.runs:
                raise UserError(f"There is no run {name}.")
            run = None if name is None else self.runs[name]
            if run is None and (self.alone or not (self.busy or self._count_running())):
                raise UserError("Nothing is being trained, so there is nothing to stop.")
            if run is not None and run.status != record.RUNNING:
                raise UserError(f"The run is not being trained: it is {run.status}.")
            directory = self.root if run is None else run.directory
            try:
                record.request_stop(directory, by)
            except OSError as error:
                raise UserError(
                    f"{directory} cannot be written ({error.strerror}). Ask who may write there."
                ) from error
            self._look()
        if run is None:
            return "The study begins no further run. Each run that is being trained stops at the end of its epoch."
        return "The run stops at the end of its epoch. The command of the study resumes it."

    def _count_running(self) -> int:
        return sum(run.status == record.RUNNING for run in self.runs.values())
