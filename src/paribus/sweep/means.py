"""Average the runs of a study over its seeds, setting by setting."""

import statistics
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from paribus.run.report import format_best
from paribus.sweep.labels import split_labels
from paribus.sweep.plan import PlannedRun

MOST_ROWS = 12


def tabulate_means(planned: Sequence[PlannedRun]) -> Group | None:
    """Tabulate the mean best value over the seeds of each setting, in the order of the runs.

    Return None where no setting has finished with two seeds, where runs are of several metrics or losses, and beyond
    MOST_ROWS.
    """
    headings, rows = split_labels(planned)
    metrics = {" ".join(format_best(run.summary).split()[:-1]) for run in planned if run.best is not None}
    if "seed" not in headings or len(metrics) != 1:
        return None
    if any(h.partition(".")[0] == "loss" for h in headings) and next(iter(metrics)).endswith("loss"):
        return None  # losses of different kinds have no common scale
    seed = headings.index("seed")
    values: dict[tuple[str, ...], list[float]] = {}
    for run, row in zip(planned, rows, strict=True):
        if run.finished and run.best is not None:
            values.setdefault(tuple(row[:seed] + row[seed + 1 :]), []).append(run.best)
    if max(map(len, values.values()), default=0) < 2 or len(values) > MOST_ROWS:
        return None
    metric = metrics.pop()
    share = any(format_best(run.summary).endswith("%") for run in planned)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in [*headings[:seed], *headings[seed + 1 :]]:
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("mean", "sd", "seeds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for setting, found in values.items():
        mean, sd = statistics.fmean(found), statistics.stdev(found) if len(found) > 1 else None
        shown = [f"{x:.2%}" if share else f"{x:.4g}" for x in (mean, *([sd] if sd is not None else []))]
        table.add_row(*map(Text, setting), shown[0], shown[1] if sd is not None else "", str(len(found)))
    return Group(Text(f"Means over seeds of the best {metric} (optimistic: it chose the epoch):"), table)
