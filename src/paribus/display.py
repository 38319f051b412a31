"""What runs and studies say on the terminal, and in study.log: what is to be done, how it is going, what came of it."""

import logging
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from paribus import record
from paribus.callbacks.progress import duration
from paribus.study import LOG, Ended, Planned

log = logging.getLogger(__name__)
TO_DO = {
    record.COMPLETED: "finished",
    record.DIVERGED: "finished (diverged)",
    record.RUNNING: "being made by another process",
    record.INTERRUPTED: "to take up",
    record.UNFINISHED: "to take up",
    record.FAILED: "failed, to try again",
    record.DAMAGED: "damaged, to make again",
    record.ABSENT: "to make",
}
NOT_MADE = "not made"  # in words, an absent run of a study that has ended
STYLES = {record.COMPLETED: "green", record.DIVERGED: "yellow", record.FAILED: "red"}
SECONDS_BETWEEN_LINES = 60.0  # where there is no terminal to show a board on


def report(summary: Mapping[str, Any], directory: Path) -> None:
    """Say how the run ended and where its record is."""
    statistics = summary["statistics"]
    if summary["status"] == record.DIVERGED:
        at = summary["diverged"]
        broken, when = {
            "train/loss": ("the training loss was", "in"),
            "gradient": ("a gradient was", "in"),
            "val/loss": ("the validation loss was", "after"),
            "weights": ("the weights were", "after"),
        }[at["what"]]
        blamed = ""
        if "layer" in at and at["tensor"] == "activation":
            blamed = f"; the first activation that was not is that of {at['layer']}"
        elif "layer" in at:
            blamed = f"; activations were finite, but the gradient of {at['layer']} was not"
        log.warning(
            "Diverged: %s no longer finite %s epoch %d, step %d%s.", broken, when, at["epoch"], at["step"], blamed
        )
    if statistics.get("best_val_acc") is not None:
        log.info(
            "Best validation accuracy %.2f %%, epoch %d.", 100 * statistics["best_val_acc"], statistics["best_epoch"]
        )
    elif statistics.get("best_val_loss") is not None:
        log.info(
            "Best validation loss %.4g, epoch %d (predicting the training mean: %.4g).",
            statistics["best_val_loss"],
            statistics["best_epoch"],
            statistics["baseline_val_loss"],
        )
    shown = directory.relative_to(Path.cwd()) if directory.is_relative_to(Path.cwd()) else directory
    log.info("Took %.1f s. The record is in %s", statistics["train_seconds"], shown)


def figure(summary: dict[str, Any] | None) -> str:
    """The figure that a run is judged by, in words; empty where it has none."""
    found = (summary or {}).get("statistics", {})
    if found.get("best_val_acc") is not None:
        return f"val acc {found['best_val_acc']:.2%}"
    return f"val loss {found['best_val_loss']:.4g}" if found.get("best_val_loss") is not None else ""


def epochs_made(directory: Path) -> int:
    """How many epochs the record in a directory has so far, whether it is being written or not."""
    try:
        return max(0, (directory / record.METRICS).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def epochs_wanted(run: Planned) -> int:
    return int(run.job.config["trainer"]["max_epochs"])


def announce(console: Console, planned: Sequence[Planned], directory: Path) -> None:
    """Say what there is to do."""
    counts = Counter(TO_DO[run.status] for run in planned)
    parts = ", ".join(f"{number} {what}" for what, number in counts.items())
    console.print(Text(f"Study {directory}: {len(planned)} run{'s' * (len(planned) != 1)}; {parts}"), soft_wrap=True)


def table(planned: Sequence[Planned], directory: Path, width: int, to_do: bool = False) -> Group:
    """For a terminal of that width: a row a run (with `to_do`, what is to be done for it), a line of totals, and what
    went wrong where it did."""
    grid = Table(box=SIMPLE_HEAD, title=f"Study {directory}", title_justify="left")
    for heading, justify in (("status", "left"), ("best", "right"), ("epochs", "right"), ("time", "right")):
        grid.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    grid.add_column("run", overflow="fold")
    for run in planned:
        made = epochs_made(run.job.directory)
        seconds = (run.summary or {}).get("statistics", {}).get("train_seconds")
        word = NOT_MADE if run.status == record.ABSENT else run.status
        status = Text(TO_DO[run.status] if to_do else word, style=STYLES.get(run.status, ""))
        took = duration(seconds) if seconds is not None else ""
        grid.add_row(status, figure(run.summary), f"{made}/{epochs_wanted(run)}", took, _folded(run.name, width))
    counts = Counter(run.status for run in planned)
    lines: list[Any] = [grid]
    if not to_do:
        parts = ", ".join(f"{number} {status}".replace(record.ABSENT, NOT_MADE) for status, number in counts.items())
        lines.append(Text(f"{len(planned)} runs: {parts}"))
        if not all(run.finished for run in planned):
            lines.append(Text("The same command goes on with what is not finished, and tries again what failed."))
    for run in planned:
        if run.status == record.FAILED and run.message:
            lines.append(Text(f"failed: {run.name}: {run.message}", style="red"))
        elif run.message and not run.finished:
            lines.append(Text(f"{run.status}: {run.name}: {run.message}"))
    return Group(*lines)


def warn_of_data(console: Console, planned: Sequence[Planned]) -> None:
    """Say so where runs that were asked for on the same data were made on different ones."""
    found: dict[str, dict[str, str]] = {}
    for run in planned:
        data = (run.summary or {}).get("data", {}).get("sha256")
        if data is not None:
            asked = {key: value for key, value in run.job.config["data"].items() if key in ("_target_", "path")}
            found.setdefault(repr(asked), {})[data] = run.name
    for names in found.values():
        if len(names) > 1:
            text = (
                f"Runs of this study were not made on the same data, which have changed: {'; '.join(names.values())}."
            )
            console.print(Text(text, style="red"))


def _folded(name: str, width: int) -> Text:
    """A run's name in the last column, broken at its commas."""
    lines = textwrap.wrap(name.replace(",", ", "), max(30, width - 50))
    return Text("\n".join(line.replace(", ", ",") for line in lines))


class Board:
    """Follows a study while it is made: a line for each run that ends, in study.log too; and where `live`, a board of
    the runs that are being made, on a terminal, or a line a minute elsewhere."""

    def __init__(self, console: Console, planned: Sequence[Planned], directory: Path, live: bool):
        self.console = console
        self.directory = directory
        self.live = live
        self.runs = {run.job.directory: run for run in planned}
        self._to_make = [run for run in planned if not run.finished]
        self._ended: set[Path] = set()
        self._before = sum(epochs_made(run.job.directory) for run in self._to_make)
        self._started = time.monotonic()

    def told(self, run: Planned, ended: Ended) -> None:
        """A run has ended."""
        self.runs[run.job.directory] = run
        self._ended.add(run.job.directory)
        statistics = (run.summary or {}).get("statistics", {})
        seconds = statistics.get("train_seconds")
        cells = [f"[{len(self._ended)}/{len(self._to_make)}]", f"{run.status:<9}", figure(run.summary)]
        cells += [duration(seconds) if seconds is not None else "", run.name, run.message or ""]
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
        return text if left is None else f"{text}; about {duration(left)} left"

    def _running(self) -> list[Planned]:
        return [run for run in self._to_make if run.job.directory not in self._ended
                and record.is_running(run.job.directory)]  # fmt: skip

    def _seconds_left(self) -> float | None:
        wanted = made = 0
        for run in self._to_make:
            epochs = epochs_wanted(run)
            wanted += epochs
            made += epochs if run.job.directory in self._ended else min(epochs, epochs_made(run.job.directory))
        passed = made - self._before
        return (time.monotonic() - self._started) / passed * (wanted - made) if passed > 0 else None

    def __rich__(self) -> Group:
        grid = Table.grid(padding=(0, 2))
        for run in self._running():
            epochs = f"epoch {epochs_made(run.job.directory)}/{epochs_wanted(run)}"
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
