"""Read a table from a CSV or Parquet file, with its numbers recognised."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from paribus.data import dialect, files
from paribus.data.cells import format_number, is_missing, is_numeric, join_words, simplify
from paribus.errors import UserError, summarise_error, unknown_name

MOST_NAMED = 30  # columns in a message
MEMORY_PER_BYTE = 10  # of a file while it is read


@dataclass(frozen=True)
class Sheet:
    """A table as read: what its cells say, and which of them are numbers.

    Attributes:
        raw: the cells, text for a CSV file; without an unnamed index and without empty columns. Its index counts the
            rows of the file from 0.
        numbers: the same cells as numbers, NaN for what is none.
        fingerprint: sha256 of the file.
        notes: sentences about what was recognised or left out.
    """

    path: Path
    raw: pd.DataFrame
    numbers: pd.DataFrame
    fingerprint: str
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return list(self.raw.columns)

    def find_missing(self, name: str) -> pd.Series:
        """Return whether each cell of a column is empty, or a word for that."""
        return is_missing(self.raw[name])

    def is_text(self, name: str) -> bool:
        """Return whether less than half of a column's cells, those that are not missing, are numbers."""
        if is_numeric(self.raw[name]) or self.numbers[name].notna().all():
            return False
        filled = ~self.find_missing(name)
        return bool(filled.any()) and int((self.numbers[name].notna() & filled).sum()) * 2 < int(filled.sum())

    def get_texts(self, name: str, filler: str = "") -> pd.Series:
        """Return the cells of a column as text, `filler` for a missing one."""
        missing = self.find_missing(name)
        column = self.raw[name]
        if self.numbers[name][~missing].notna().all() and not pd.api.types.is_bool_dtype(column):
            texts = self.get_numbers(name).map(format_number)
        else:
            texts = column.astype(str)
        return texts.where(~missing, filler)

    def get_numbers(self, name: str) -> pd.Series:
        """Return a column as numbers, NaN for a missing cell.

        Raises UserError where another cell is no finite number, or beyond single precision.
        """
        numbers = self.numbers[name]
        bad = np.flatnonzero(~np.isfinite(numbers) & ~self.find_missing(name))
        if len(bad):
            raise self._refuse_cells(name, bad)
        large = np.abs(numbers) > np.finfo(np.float32).max
        if large.any():
            raise UserError(
                f"{self.path}, row {large.idxmax() + 1} below the header, column {name!r} is "
                f"{numbers[large].iloc[0]:g}, beyond single precision, in which a network computes. Scale the column."
            )
        return numbers

    def select(self, names: Sequence[str], rows: pd.Series | None = None) -> "Sheet":
        """Return the sheet with some of its columns, and of its rows those where `rows` is True.

        Rows keep their numbers, so that messages name them as they are in the file.
        """
        raw, numbers = self.raw[[*names]], self.numbers[[*names]]
        if rows is not None:
            raw, numbers = raw[rows], numbers[rows]
        return replace(self, raw=raw, numbers=numbers)

    def find_column(self, typed: object, option: str) -> str:
        """Return the title of the column that `option` names: in full, or without its unit and capitals."""
        name = join_words(typed)
        if name in self.names:
            return name
        alike = [title for title in self.names if simplify(title) == simplify(name)]
        if len(alike) == 1:
            return alike[0]
        near = get_close_matches(name, self.names, 3)
        shown = self.names if len(self.names) <= MOST_NAMED else [*near, *self.names[:MOST_NAMED], "..."]
        raise unknown_name(typed, f"the columns of {self.path} ({option})", dict.fromkeys(shown))

    def _refuse_cells(self, name: str, rows: np.ndarray) -> UserError:
        first, *others = (int(self.raw.index[row]) + 1 for row in rows)
        more = ", ".join(map(str, others[:5])) + (", ..." if len(others) > 5 else "")
        also = f", also row{'s' if len(others) > 1 else ''} {more}" if more else ""
        return UserError(
            f"{self.path}, row {first} below the header, column {name!r} is {self.raw[name].iloc[rows[0]]!r}; every "
            f"cell must be a finite number ({len(rows)} of {len(self.raw)} in this column are not{also}). Correct or "
            "remove those rows."
        )


def read_sheet(path: Path, delimiter: str | None = None, decimal: str | None = None) -> Sheet:
    """Read a CSV file, or a Parquet file by its name. Raises UserError for a file that is none.

    Args:
        delimiter, decimal: names of marks in `dialect`; None where they are to be recognised.
    """
    for name, given, known in (("delimiter", delimiter, dialect.DELIMITERS), ("decimal", decimal, dialect.DECIMALS)):
        if given is not None and given not in known:
            raise unknown_name(given, f"data.{name}", known)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist. Name a CSV file with data.path=FILE.") from None
    return _read(path, (status.st_mtime_ns, status.st_size), delimiter, decimal)


@lru_cache(maxsize=2)  # the runs of a study read the same table
def _read(path: Path, version: tuple[int, int], delimiter: str | None, decimal: str | None) -> Sheet:
    files.require_memory(version[1] * MEMORY_PER_BYTE, f"{path}")
    content = path.read_bytes()
    read = _read_parquet(path) if path.suffix in (".parquet", ".pq") else _read_csv(content, path, delimiter, decimal)
    raw, numbers, notes = _drop_unnamed(*read, path)
    return Sheet(path, raw, numbers, files.compute_digest(content), tuple(notes))


def _read_csv(
    content: bytes, path: Path, delimiter: str | None, decimal: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    text, encoding = dialect.decode(content, path)
    text, named = dialect.split_sep_line(text)
    mark = dialect.DELIMITERS[delimiter] if delimiter else named or dialect.find_delimiter(text, path)
    header, *rows = dialect.read_rows(text, mark, path)
    titles = pd.Index([join_words(title) for title in header], dtype=object)
    columns = list(zip(*rows, strict=True)) or [()] * len(titles)
    point = dialect.DECIMALS[decimal] if decimal else dialect.find_decimal(columns, mark, path)
    raw = pd.DataFrame(rows, columns=titles, dtype=object)
    numbers = _make_frame([dialect.to_numbers(column, point) for column in columns], titles)
    notes = [f"read as {encoding}, because it is not UTF-8"] if encoding == "cp1252" else []
    if mark != "," or point != ".":
        words = [next(n for n, m in known.items() if m == given)
                 for known, given in ((dialect.DELIMITERS, mark), (dialect.DECIMALS, point))]  # fmt: skip
        notes.append("separated by {}, with a decimal {}".format(*words))
    return raw, numbers, notes


def _read_parquet(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a Parquet file: {summarise_error(error)}") from None
    if table.num_columns > dialect.MOST_COLUMNS:
        raise UserError(f"{path} has {table.num_columns:,} columns; at most {dialect.MOST_COLUMNS:,} can be read. "
                        "Keep those that matter.")  # fmt: skip
    raw = table.to_pandas(ignore_metadata=True)  # an index is a column
    raw.columns = pd.Index([join_words(name) for name in raw.columns], dtype=object)
    numbers = []
    for i in range(raw.shape[1]):
        column = raw.iloc[:, i]
        if not is_numeric(column):
            texts = column.astype("string").fillna("").str.strip().astype(object)
            raw.isetitem(i, texts.to_numpy())
            numbers.append(dialect.to_numbers(list(texts), "."))
        else:
            numbers.append(column.to_numpy(dtype=float, na_value=np.nan))
    return raw, _make_frame(numbers, raw.columns), []


def _make_frame(columns: Sequence[np.ndarray], titles: pd.Index) -> pd.DataFrame:
    """Put columns of numbers together, under titles that may be the same."""
    return pd.DataFrame(np.column_stack(columns) if columns else None, columns=titles, dtype=float)


def _drop_unnamed(
    raw: pd.DataFrame, numbers: pd.DataFrame, notes: list[str], path: Path
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Leave out an index without a title, and columns without a title and content. Raises UserError for others."""
    kept: list[int] = []
    for i, title in enumerate(raw.columns):
        unnamed = not title or title.startswith(("Unnamed: ", "__index_level_"))
        if unnamed and is_missing(raw.iloc[:, i]).all():
            notes.append(f"column {i + 1} is empty and left out")
        elif unnamed and i == len(kept) == 0 and raw.iloc[:, i].is_unique:
            notes.append("the first column, which has no title and no value twice, is an index and left out")
        elif not title:
            raise UserError(f"{path}: column {i + 1} has no title. Give it one, or remove it.")
        else:
            kept.append(i)
    raw, numbers = raw.iloc[:, kept], numbers.iloc[:, kept]
    twice = raw.columns[raw.columns.duplicated()]
    if len(twice):
        raise UserError(f"{path}: the column name {twice[0]!r} appears twice.")
    return raw, numbers, notes
