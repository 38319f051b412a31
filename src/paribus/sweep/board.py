"""Report the progress of a study."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from paribus import record
from paribus.formatting import format_duration
from paribus.run.attempt import Outcome
from paribus.run.report import format_best
from paribus.sweep.plan import PlannedRun, count_epochs
from paribus.sweep.rounds import Round
from paribus.sweep.tables import PAUSED, STYLES, get_planned_epochs, name_status

SECONDS_BETWEEN_LINES = 60.0  # used without a terminal
LOG = "study.log"


class Board:
    """A progress report of a study, with a line for each run that ends, also written to study.log.

    With `live`, it also shows the running runs on a terminal, or prints a line a minute elsewhere. `current` is the
    round of the study; the time left includes what later rounds are expected to train.
    """

    def __init__(
        self, console: Console, planned: Sequence[PlannedRun], directory: Path, live: bool, current: Round | None = None
    ):
        self.console = console
        self.directory = directory
        self.live = live
        self.current = current or Round([])
        self.runs = {run.job.directory: run for run in planned}
        self._unfinished = [run for run in planned if not run.finished]
        self._ended: set[Path] = set()
        self._epochs_before = sum(count_epochs(run.job.directory) for run in self._unfinished)
        self._started = time.monotonic()

    def report_run(self, run: PlannedRun, outcome: Outcome) -> None:
        """Report a run whose attempt has ended."""
        if run.job.directory not in self.runs:  # another command has claimed a directory for it
            kept = [run if other.composed_from == run.composed_from else other for other in self.runs.values()]
            self.runs = {other.job.directory: other for other in kept}
        self.runs[run.job.directory] = run
        self._ended.add(run.job.directory)
        statistics = (run.summary or {}).get("statistics", {})
        seconds = statistics.get("train_seconds")
        cells = [f"[{len(self._ended)}/{len(self._unfinished)}]", f"{name_status(run):<9}", format_best(run.summary)]
        cells.append(format_duration(seconds) if seconds is not None else "")
        noted = [*cells, run.name, run.message or ""]
        self.note("  ".join(filter(None, noted)) + (f"\n{outcome.traceback}" if outcome.traceback else ""))
        line = Text("  ".join(filter(None, [*cells, run.label])), style=STYLES.get(run.status, ""))
        self.console.print(line, no_wrap=True, overflow="ellipsis")
        if run.message:
            self.console.print(Text(run.message, style=STYLES.get(run.status, "")), soft_wrap=True)

    def note(self, text: str) -> None:
        """Write a line to study.log."""
        with (self.directory / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def format_line(self) -> str:
        """Summarise the progress of the study in a line."""
        counts = Counter(map(name_status, self.runs.values()))
        done = counts[record.COMPLETED]
        running = len(self._find_running())
        name = self.current.name and f"{self.current.name}: "
        text = f"{name}{len(self.runs)} runs: {done} completed, {running} running"
        text += f", {counts[record.DIVERGED]} diverged, {counts[record.FAILED]} failed"
        text += f", {counts[PAUSED]} paused" if counts[PAUSED] else ""
        seconds_left = self._estimate_seconds_left()
        return text if seconds_left is None else f"{text}; about {format_duration(seconds_left)} left"

    def _find_running(self) -> list[PlannedRun]:
        return [run for run in self._unfinished if run.job.directory not in self._ended
                and record.is_running(run.job.directory)]  # fmt: skip

    def _estimate_seconds_left(self) -> float | None:
        total, trained = self.current.later, 0
        for run in self._unfinished:
            epochs = get_planned_epochs(run)
            total += epochs
            trained += epochs if run.job.directory in self._ended else min(epochs, count_epochs(run.job.directory))
        new = trained - self._epochs_before
        return (time.monotonic() - self._started) / new * (total - trained) if new > 0 else None

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for run in self._find_running():
            epochs = f"epoch {count_epochs(run.job.directory)}/{get_planned_epochs(run)}"
            grid.add_row("", Text(epochs), Text(run.label))
        return Group(Text("\n".join([self.format_line(), *self._describe()])), grid)

    def _describe(self) -> list[str]:
        """State what the round has found so far."""
        return [] if self.current.describe is None else self.current.describe(list(self.runs.values()))

    @contextmanager
    def show(self) -> Iterator[None]:
        """Show the board while the block runs."""
        if not self.live:
            yield
        elif self.console.is_terminal:
            with Live(get_renderable=self.__rich__, console=self.console, refresh_per_second=2, transient=True):
                yield
        else:
            stopped = threading.Event()

            def print_lines() -> None:
                while not stopped.wait(SECONDS_BETWEEN_LINES):
                    self.console.print(Text("\n".join([self.format_line(), *self._describe()])))

            thread = threading.Thread(target=print_lines, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stopped.set()
                thread.join()
