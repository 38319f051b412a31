"""Show how a study is going."""

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
from paribus.sweep.plan import PlannedRun
from paribus.sweep.tables import STYLES, count_epochs, get_planned_epochs

SECONDS_BETWEEN_LINES = 60.0  # where there is no terminal to show a board on
LOG = "study.log"


class Board:
    """Follows a study while it is made: a line for each run that ends, in study.log too; and where `live`, a board of
    the runs that are being made, on a terminal, or a line a minute elsewhere."""

    def __init__(self, console: Console, planned: Sequence[PlannedRun], directory: Path, live: bool):
        self.console = console
        self.directory = directory
        self.live = live
        self.runs = {run.job.directory: run for run in planned}
        self._to_make = [run for run in planned if not run.finished]
        self._ended: set[Path] = set()
        self._before = sum(count_epochs(run.job.directory) for run in self._to_make)
        self._started = time.monotonic()

    def told(self, run: PlannedRun, ended: Outcome) -> None:
        """A run has ended."""
        self.runs[run.job.directory] = run
        self._ended.add(run.job.directory)
        statistics = (run.summary or {}).get("statistics", {})
        seconds = statistics.get("train_seconds")
        cells = [f"[{len(self._ended)}/{len(self._to_make)}]", f"{run.status:<9}", format_best(run.summary)]
        cells += [format_duration(seconds) if seconds is not None else "", run.name, run.message or ""]
        line = "  ".join(cell for cell in cells if cell)
        self.note(line + (f"\n{ended.traceback}" if ended.traceback else ""))
        self.console.print(Text(line, style=STYLES.get(run.status, "")), soft_wrap=True)

    def note(self, text: str) -> None:
        """Write into study.log."""
        with (self.directory / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def line(self) -> str:
        """How the study is going, in a line."""
        counts = Counter(run.status for run in self.runs.values())
        done = counts[record.COMPLETED]
        running = len(self._running())
        text = f"{len(self.runs)} runs: {done} completed, {running} running"
        text += f", {counts[record.DIVERGED]} diverged, {counts[record.FAILED]} failed"
        left = self._seconds_left()
        return text if left is None else f"{text}; about {format_duration(left)} left"

    def _running(self) -> list[PlannedRun]:
        return [run for run in self._to_make if run.job.directory not in self._ended
                and record.is_running(run.job.directory)]  # fmt: skip

    def _seconds_left(self) -> float | None:
        wanted = made = 0
        for run in self._to_make:
            epochs = get_planned_epochs(run)
            wanted += epochs
            made += epochs if run.job.directory in self._ended else min(epochs, count_epochs(run.job.directory))
        passed = made - self._before
        return (time.monotonic() - self._started) / passed * (wanted - made) if passed > 0 else None

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 2))
        for run in self._running():
            epochs = f"epoch {count_epochs(run.job.directory)}/{get_planned_epochs(run)}"
            grid.add_row("", Text(epochs), Text(run.name))
        return Group(Text(self.line()), grid)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the board while the block goes on."""
        if not self.live:
            yield
        elif self.console.is_terminal:
            with Live(get_renderable=self.__rich__, console=self.console, refresh_per_second=2, transient=True):
                yield
        else:
            over = threading.Event()

            def every_minute() -> None:
                while not over.wait(SECONDS_BETWEEN_LINES):
                    self.console.print(Text(self.line()))

            thread = threading.Thread(target=every_minute, daemon=True)
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
