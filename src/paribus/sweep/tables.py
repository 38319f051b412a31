"""Tables and messages on the runs of a study, before and after they are executed."""

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
from paribus.sweep.labels import split_labels
from paribus.sweep.plan import PlannedRun, count_epochs

TO_DO = {
    record.COMPLETED: "finished",
    record.DIVERGED: "finished (diverged)",
    record.RUNNING: "being trained by another process",
    record.INTERRUPTED: "to resume",
    record.UNFINISHED: "to resume",
    record.FAILED: "failed, to retry",
    record.DAMAGED: "damaged, to train again",
    record.ABSENT: "to train",
}
MOST_REASONS = 5  # why a run stopped early, below the table
PAUSED = "paused"
NOT_TRAINED = "not trained"  # shown for an absent run of a study that has ended
STYLES = {record.COMPLETED: "green", record.DIVERGED: "yellow", record.FAILED: "red"}


def get_planned_epochs(run: PlannedRun) -> int:
    """Return the configured number of epochs of a run."""
    return int(run.job.config["trainer"]["max_epochs"])


def announce_study(
    console: Console, planned: Sequence[PlannedRun], directory: Path, shared: Sequence[str], round_name: str = ""
) -> None:
    """Print how many runs of a study are to be trained, resumed or left as they are, and what all have in common."""
    counts = Counter(map(say_what_is_to_do, planned))
    parts = ", ".join(f"{number} {what}" for what, number in counts.items())
    what = (
        f"Study {directory}{round_name and f', {round_name}'}: {len(planned)} run{'s' * (len(planned) != 1)}; {parts}"
    )
    console.print(Text(what), soft_wrap=True)
    if shared:
        console.print(Text(f"In all of them: {' '.join(shared)}"), no_wrap=True, overflow="ellipsis")


def say_what_is_to_do(run: PlannedRun) -> str:
    """Return what remains to be done for a run, as tables show it."""
    begun = run.status in (record.INTERRUPTED, record.UNFINISHED)
    if begun and not (run.job.directory / record.LAST).exists():
        return "without a checkpoint, to train again"
    return TO_DO[run.status]


def name_status(run: PlannedRun) -> str:
    """Return the word for the status of a run, as tables and progress show it."""
    return NOT_TRAINED if run.status == record.ABSENT else PAUSED if run.paused else run.status


def tabulate_study(planned: Sequence[PlannedRun], directory: Path, to_do: bool = False, again: bool = True) -> Group:
    """Tabulate a study: a row for each run, a line of totals, and error messages.

    With `to_do`, the first column states what remains to be done for a run, not its status. `again`: whether the same
    command goes on with the study.
    """
    grid = Table(box=SIMPLE_HEAD, title=f"Study {directory}", title_justify="left", padding=(0, 1, 0, 0))
    for heading, justify in (("status", "left"), ("best", "right"), ("epochs", "right"), ("time", "right")):
        grid.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    headings, rows = split_labels(planned)
    for heading in headings:
        grid.add_column(heading, no_wrap=True, overflow="fold" if headings == ["run"] else "ellipsis")
    for run, row in zip(planned, rows, strict=True):
        trained = count_epochs(run.job.directory)
        seconds = (run.summary or {}).get("statistics", {}).get("train_seconds")
        status = Text(say_what_is_to_do(run) if to_do else name_status(run), style=STYLES.get(run.status, ""))
        took = format_duration(seconds) if seconds is not None else ""
        grid.add_row(status, format_best(run.summary), f"{trained}/{get_planned_epochs(run)}", took, *map(Text, row))
    counts = Counter(map(name_status, planned))
    lines: list[Any] = [grid]
    if not to_do:
        parts = ", ".join(f"{number} {status}" for status, number in counts.items())
        lines.append(Text(f"{len(planned)} run{'s' * (len(planned) != 1)}: {parts}"))
        if again and not all(run.finished for run in planned):
            failed = " and retry those that failed" if counts[record.FAILED] else ""
            lines.append(Text(f"Run the same command again to finish the other runs{failed}."))
    troubles: dict[tuple[str, str], list[str]] = {}
    for run in planned:
        if run.message and not run.finished:
            troubles.setdefault((run.status, run.message), []).append(run.label)
    for (state, message), (label, *others) in troubles.items():
        more = f" and {len(others)} more run{'s' * (len(others) > 1)}" if others else ""
        lines.append(Text(f"{state}: {label}{more}: {message}", style="red" if state == record.FAILED else ""))
    stopped = [run for run in planned if run.finished and (run.summary or {}).get("stopped")]
    for run in stopped[:MOST_REASONS]:
        assert run.summary is not None
        epochs = f"{run.summary['stopped']['epoch']}/{get_planned_epochs(run)}"
        lines.append(Text(f"stopped after {epochs}: {run.label}: {run.summary['stopped']['by']}"))
    if len(stopped) > MOST_REASONS:
        lines.append(Text(f"{len(stopped) - MOST_REASONS} more stopped early; their summaries say why."))
    return Group(*lines)


def warn_of_changed_data(console: Console, planned: Sequence[PlannedRun]) -> None:
    """Warn where runs with the same data configuration were trained on different data."""
    names_by_data: dict[str, dict[str, str]] = {}
    for run in planned:
        data = (run.summary or {}).get("data", {}).get("sha256")
        if data is not None:
            data_config = {key: value for key, value in run.job.config["data"].items() if key in ("_target_", "path")}
            names_by_data.setdefault(repr(data_config), {})[data] = run.name
    for names in names_by_data.values():
        if len(names) > 1:
            runs = "; ".join(names.values())
            text = f"Runs of this study were not trained on the same data, which have changed: {runs}."
            console.print(Text(text, style="red"))
