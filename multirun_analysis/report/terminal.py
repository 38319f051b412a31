"""Tables on a terminal, of any width: nothing in them is cut."""

from collections.abc import Callable, Iterator
from typing import Literal

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from multirun_analysis.report.tables import numeric

# What is left out where there is no room for it, in this order; tables.md has all of it.
SPARED = (
    "5 seeds would show", "20 seeds would show", "first ahead in", "settings", "on new data [95 %]", "optimistic by",
    "95 % interval", "replicates", "parameters", "stability", "early gradient", "to 90 %", "at epoch", "time (s)",
    "steps (median)", "seconds (median)", "final train loss", "final val loss", "10 seeds would show", "p",
    "best val loss", "best val acc", "at its best",
)  # fmt: skip
LAST = ("seeds", "reached")  # to be left out, and only if they say the same in every row
KEPT = ("verdict", "mean")  # even then
LONGEST = 24  # of a cell that is not broken


def rich(frame: pd.DataFrame, title: str, width: int) -> Group:
    """Lay a table out: whole where there is room, else without what can be spared, else in several parts.

    A column that is left out since it says the same in every row is said once, below the title.
    """
    parts = fitted(frame, width)
    lines = []
    if parts[0] is not frame:
        short, shown = _short_headings(frame), {column for part in parts for column in part}
        left_out = [
            f"{c} {short[c].iloc[0]}" for c in _alike(short) if c not in shown and str(short[c].iloc[0]).strip()
        ]
        lines = [Text(f"in every row: {'; '.join(left_out)}")] if left_out else []
    return Group(Text(title, style="bold"), *lines, *(_table(part, width) for part in parts))


def _alike(frame: pd.DataFrame) -> list[str]:
    """List the columns, but the first one and KEPT, that say the same in every row of several."""
    return [str(c) for c in frame.columns[1:] if len(frame) > 1 and frame[c].nunique() == 1 and c not in KEPT]


def fitted(frame: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """Compose the parts in which a table is shown in so many columns; each begins with the first columns of it."""
    if _whole(frame, _widest) <= width:
        return [frame]
    frame = _short_headings(frame)
    same = _alike(frame)
    spare = [column for column in same if column not in LAST]
    spare += [column for column in SPARED if column in frame.columns and column not in same]
    spare += [column for column in LAST if column in same]
    for measure in (_widest, _narrowest):
        for i in range(len(spare) + 1):
            shown = frame.drop(columns=spare[:i])
            if _whole(shown, measure) <= width:
                return [shown]
    return list(_parts(frame.drop(columns=spare), width))


def _parts(frame: pd.DataFrame, width: int) -> Iterator[pd.DataFrame]:
    """Split a table by its columns; the first one, or the number of the row, stands in every part."""
    columns = list(frame.columns)
    first = columns[:1]
    if not frame[columns[0]].is_unique or (len(columns[0]) and _whole(frame[first], _narrowest) > width / 2):
        frame = frame.assign(row=[str(i) for i in range(1, len(frame) + 1)])[["row", *columns]]
        columns, first = list(frame.columns), ["row"]
    mine = list(first)
    for column in columns[len(first) :]:
        if len(mine) > len(first) and _whole(frame[[*mine, column]], _narrowest) > width:
            yield frame[mine]
            mine = list(first)
        mine.append(column)
    yield frame[mine]


def _short_headings(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the groups that values belong to (data.bins: bins), where they stay apart."""
    short = {c: str(c).rpartition(".")[2] if "=" not in str(c) and " " not in str(c) else str(c) for c in frame.columns}
    return frame.rename(columns=short) if len(set(short.values())) == len(short) else frame


def _whole(frame: pd.DataFrame, measure: Callable[[pd.DataFrame, str], int]) -> int:
    """Compute the width of a table from those of its columns, with what stands between them and at the edges."""
    return sum(measure(frame, column) + 2 for column in frame.columns)


def _widest(frame: pd.DataFrame, column: str) -> int:
    return max([len(str(column)), *(len(str(cell)) for cell in frame[column])])


def _narrowest(frame: pd.DataFrame, column: str) -> int:
    """The width at which no word is broken that need not be."""
    words = [len(word) for cell in [_heading(column), *map(_broken, frame[column])] for word in cell]
    return min(LONGEST, max(words, default=1))


def _heading(column: str) -> list[str]:
    return str(column).replace("_", " ").replace("=", "= ").split()


def _broken(cell: object) -> list[str]:
    """The parts of a cell between which its line may be broken: before an interval; of words at their spaces."""
    text = str(cell)
    if text[:1].isdigit() or text[:1] in ("-", "["):
        return text.replace(" [", "\n[").splitlines()
    return text.split()


def _widths(frame: pd.DataFrame, width: int) -> list[int]:
    """Compute the width of each column: what it needs, and what is left to those that lack least."""
    found = [_narrowest(frame, column) for column in frame.columns]
    wanted = [_widest(frame, column) for column in frame.columns]
    left = width - sum(found) - 2 * len(found)
    for i in sorted(range(len(found)), key=lambda i: wanted[i] - found[i]):
        given = max(0, min(left, wanted[i] - found[i]))
        found[i] += given
        left -= given
    return found


def _table(frame: pd.DataFrame, width: int) -> Table:
    grid = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column, space in zip(frame.columns, _widths(frame, width), strict=True):
        justify: Literal["left", "right"] = "right" if numeric(frame[column]) else "left"
        heading = str(column) if len(str(column)) <= space else " ".join(_heading(column))
        grid.add_column(Text(heading), "", overflow="fold", justify=justify, width=space)
    for row in frame.itertuples(index=False):
        grid.add_row(*(Text(_cell(cell, column.width or 0)) for cell, column in zip(row, grid.columns, strict=True)))
    return grid


def _cell(cell: object, space: int) -> str:
    """A cell, its interval on a line of its own where it is too long for one."""
    return str(cell) if len(str(cell)) <= space else " ".join(_broken(cell)).replace(" [", "\n[")
