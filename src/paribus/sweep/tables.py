"""Print what a study has to do, and what came of it."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from paribus import record
from paribus.formatting import format_duration
from paribus.run.report import format_best
from paribus.sweep.plan import PlannedRun

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


def count_epochs(directory: Path) -> int:
    """How many epochs the record in a directory has so far, whether it is being written or not."""
    try:
        return max(0, (directory / record.METRICS).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def get_planned_epochs(run: PlannedRun) -> int:
    return int(run.job.config["trainer"]["max_epochs"])


def announce_study(console: Console, planned: Sequence[PlannedRun], directory: Path) -> None:
    """Say what there is to do."""
    counts = Counter(TO_DO[run.status] for run in planned)
    parts = ", ".join(f"{number} {what}" for what, number in counts.items())
    console.print(Text(f"Study {directory}: {len(planned)} run{'s' * (len(planned) != 1)}; {parts}"), soft_wrap=True)


def tabulate_study(planned: Sequence[PlannedRun], directory: Path, width: int, to_do: bool = False) -> Group:
    """For a terminal of that width: a row a run (with `to_do`, what is to be done for it), a line of totals, and what
    went wrong where it did."""
    grid = Table(box=SIMPLE_HEAD, title=f"Study {directory}", title_justify="left")
    for heading, justify in (("status", "left"), ("best", "right"), ("epochs", "right"), ("time", "right")):
        grid.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    grid.add_column("run", overflow="fold")
    for run in planned:
        made = count_epochs(run.job.directory)
        seconds = (run.summary or {}).get("statistics", {}).get("train_seconds")
        word = NOT_MADE if run.status == record.ABSENT else run.status
        status = Text(TO_DO[run.status] if to_do else word, style=STYLES.get(run.status, ""))
        took = format_duration(seconds) if seconds is not None else ""
        grid.add_row(
            status, format_best(run.summary), f"{made}/{get_planned_epochs(run)}", took, _fold_name(run.name, width)
        )
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


def warn_of_changed_data(console: Console, planned: Sequence[PlannedRun]) -> None:
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


def _fold_name(name: str, width: int) -> Text:
    """A run's name in the last column, broken at its commas."""
    lines = textwrap.wrap(name.replace(",", ", "), max(30, width - 50))
    return Text("\n".join(line.replace(", ", ",") for line in lines))
