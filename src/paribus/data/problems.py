"""Find the faults of a table's columns, and name the keys that mend them."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from paribus.data.sheet import MOST_NAMED, Sheet
from paribus.errors import UserError

MOST_SHOWN = 5  # columns, values or rows in a message
MOST_VALUES = 1000  # of a column that is encoded one-hot
_DATE = re.compile(
    r"(\d{4}[-/.]\d{1,2}([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2}(\d{2})?"  # 2024-01-31, 31.1.24
    r"|\d{1,2}[ -][A-Za-z]{3,9}\.?[ ,-]+\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})"  # 31 January 2024, Jan 31, 2024
    r"([ T]+\d{1,2}:\d{2}.*)?"
)


@dataclass
class Problems:
    """The faults of a table's columns, and the keys that mend them.

    Attributes:
        lines: what is wrong and how it is mended, by column.
        drop, encode: features that would better be left out, or encoded.
        missing: other columns, also the target, with missing values that are refused.
        fills: whether one of them can be filled.
        concerned: number of rows with such a value.
        dropped, encoded: columns that data.drop and data.categorical name already; the keys in the message keep them.
        prefix: what is typed before the keys.
        of_target: what is wrong with the filled cells of the target.
    """

    sheet: Sheet
    dropped: Sequence[str]
    encoded: Sequence[str]
    prefix: str
    lines: dict[str, list[str]] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    encode: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    fills: bool = False
    concerned: int = 0
    of_target: str = ""

    def add(self, column: str, line: str) -> None:
        self.lines.setdefault(column, []).append(line)

    def drop_column(self, name: str, what: str, remedy: str = "") -> None:
        """Add a feature that would better be left out."""
        self.drop.append(name)
        self.add(name, f"{what}: {self.prefix}{write_list('data.drop', [*self.dropped, name])}{remedy}")

    def encode_column(self, name: str, what: str, effect: str) -> None:
        """Add a feature that would better be encoded."""
        self.encode.append(name)
        self.add(name, f"{what}: {self.prefix}{write_list('data.categorical', [*self.encoded, name])} {effect}")

    def check_target(self, check: Callable[[], object]) -> None:
        """Add what `check` raises."""
        try:
            check()
        except UserError as error:
            self.of_target = str(error)

    def explain(self) -> str:
        """Write the message: all keys at once, and each column with its own."""
        rows = len(self.sheet.raw)
        fill = ", data.missing=fill fills their cells" if self.fills else ""
        effect = f"data.missing=drop leaves out {self.concerned:,} of {rows:,} rows{fill}" if self.missing else ""
        columns = [f"column {name!r}: {'; '.join(lines)}" for name, lines in self.lines.items()]
        if len(columns) == 1 and not self.of_target:
            return f"{self.sheet.path}, {'. '.join(filter(None, [*columns, effect]))}."
        keys = [write_list("data.drop", [*self.dropped, *self.drop])] if self.drop else []
        encoded = [name for name in (*self.encoded, *self.encode) if name not in self.drop]
        if encoded != [*self.encoded]:
            many = len(encoded) > MOST_NAMED and not self.encoded  # then they are all columns of text that are left
            keys.append("data.categorical=one_hot" if many else write_list("data.categorical", encoded))
        if self.missing:
            keys.append(f"data.missing={'drop' if self.concerned * 2 <= rows or not self.fills else 'fill'}")
        more = name_rest(len(columns))
        bare = "no feature is left without these columns" if len(self.drop) == len(self.sheet.names) - 1 else ""
        shown = [*columns[:MOST_SHOWN], more, effect, self.of_target, bare]
        remedy = f". Try {self.prefix}{' '.join(keys)}" if keys else ""
        return "\n  ".join([f"{self.sheet.path} cannot be used as it is{remedy}", *filter(None, shown)])


def find_problems(
    sheet: Sheet,
    target: str,
    empty: pd.DataFrame,
    missing: str,
    *,
    dropped: Sequence[str],
    encoded: Sequence[str] | None,
    prefix: str,
) -> Problems:
    """Find all that is wrong with the features of a table, and with the empty cells of its target.

    Args:
        empty: whether each cell of the sheet is missing.
        missing: the value of data.missing.
        dropped, prefix: those of Problems.
        encoded: features that are encoded one-hot; None: all that are text.
    """
    found = Problems(sheet, dropped, encoded or (), prefix)
    for name in sheet.names:
        if empty[name].all() and name == target:
            found.add(name, "every cell is empty: choose another data.target")
        elif empty[name].all():
            found.drop_column(name, "every cell is empty")
        elif name != target:
            _check_feature(found, name, empty[name], sheet.is_text(name) if encoded is None else name in encoded)
    if missing == "refuse":
        used = [name for name in sheet.names if name not in found.drop and not empty[name].all()]
        found.missing = [name for name in used if empty[name].any()]
        for name in found.missing:
            rows = np.flatnonzero(empty[name])
            fill = " or data.missing=fill" if name != target else ""
            where = f"{name_rows(sheet, rows)}{_explain_words(sheet.raw[name].iloc[rows])}"
            found.add(name, f"empty in {len(rows):,} of {len(sheet.raw):,} rows ({where}): "
                            f"{prefix}data.missing=drop{fill}")  # fmt: skip
        found.fills = any(name != target for name in found.missing)
        found.concerned = int(empty[found.missing].any(axis=1).sum())
    return found


def _explain_words(cells: pd.Series) -> str:
    """Return a clause that names the words among missing cells, such as "; '?' counts as empty"."""
    words = sorted({str(cell) for cell in cells.dropna()} - {""})
    return f"; {' and '.join(map(repr, words))} count{'s' * (len(words) == 1)} as empty" if words else ""


def _check_feature(found: Problems, name: str, empty: pd.Series, encoded: bool) -> None:
    """Add what is wrong with the filled cells of a feature."""
    sheet = found.sheet
    cells, numbers = sheet.raw[name][~empty], sheet.numbers[name][~empty]
    values = numbers.unique() if numbers.notna().all() else cells.unique()
    seen = f"({', '.join(map(repr, map(str, values[:3])))}{', ...' if len(values) > 3 else ''})"
    if encoded:
        if len(values) > MOST_VALUES:
            named = " and not in data.categorical" if name in found.encoded else ""
            found.drop_column(name, f"{len(values):,} different values, of which at most {MOST_VALUES:,} can be inputs",
                              f"{named}, or group its values")  # fmt: skip
    elif not sheet.is_text(name):
        size = np.abs(sheet.numbers[name].to_numpy())
        too_large = np.isfinite(size) & (size > np.finfo(np.float32).max)
        leave_out = f"{found.prefix}{write_list('data.drop', [*found.dropped, name])}"
        for bad, what, remedy in (
            (~np.isfinite(size), "no finite number", f"correct or remove such rows, or {leave_out}"),
            (too_large, "beyond single precision, in which a network computes", "scale the column"),
        ):
            rows = np.flatnonzero(bad & ~empty.to_numpy())
            if len(rows):
                found.add(name, f"{sheet.raw[name].iloc[rows[0]]!r} is {what} ({name_rows(sheet, rows)}): {remedy}")
    elif np.mean([_DATE.fullmatch(str(value)) is not None for value in values]) > 0.9:
        found.drop_column(name, f"dates {seen}")
    elif len(values) > MOST_VALUES or len(values) * 2 > len(cells):
        found.drop_column(name, f"text, {len(values):,} different values in {len(cells):,} rows {seen}")
    else:
        found.encode_column(name, f"text {seen}", f"makes an input of each of its {len(values):,} values")


def name_rows(sheet: Sheet, places: np.ndarray) -> str:
    """Name rows by their numbers below the header, the first five."""
    numbers = [f"{sheet.raw.index[place] + 1}" for place in places[:MOST_SHOWN]]
    more = ", ..." if len(places) > MOST_SHOWN else ""
    return f"row{'s' if len(places) > 1 else ''} {', '.join(numbers)}{more} below the header"


def count_by_column(empty: pd.DataFrame) -> str:
    """Name the columns that have empty cells, with their number, those with the most first."""
    counts = empty.sum().sort_values(ascending=False, kind="stable")
    counts = counts[counts > 0]
    named = [f"{name} {count:,}" for name, count in counts[:MOST_SHOWN].items()]
    return " ".join(filter(None, [", ".join(named) or "none", name_rest(len(counts))]))


def name_rest(columns: int) -> str:
    """Say how many of so many columns are not shown; nothing where all are."""
    rest = columns - MOST_SHOWN
    return f"and {rest} more column{'s' if rest > 1 else ''}" if rest > 0 else ""


def write_list(key: str, names: Sequence[str]) -> str:
    """Write a list of titles as a key that can be pasted into a shell: data.drop=[date,id]."""
    plain = [re.fullmatch(r"[A-Za-z_][\w-]*|[1-9]\d*", name, re.ASCII) and name.casefold() not in
             ("null", "true", "false", "nan", "inf", "yes", "no", "on", "off") for name in names]  # fmt: skip
    words = [name if bare else json.dumps(name, ensure_ascii=False) for name, bare in zip(names, plain, strict=True)]
    written = f"{key}=[{','.join(words)}]"
    return written if all(plain) else shlex.quote(written)
