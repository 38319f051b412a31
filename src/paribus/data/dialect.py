"""Recognise how a CSV file is written: its encoding, its delimiter, its decimal mark."""

import bz2
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from paribus.errors import UserError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
DECIMALS = {"point": ".", "comma": ","}
MOST_COLUMNS = 10_000
SAMPLE = 50  # lines from which the delimiter is recognised

_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}
_REFUSED = {
    b"PK\x03\x04": "a zip archive or an Excel workbook. Unpack it, or save the workbook as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook. Save it as CSV",
    b"%PDF": "a PDF document. Save its table as CSV",
    b"PAR1": "a Parquet file. Let its name end in .parquet",
    b"SQLite": "a database. Export the table as CSV",
}
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_NUMBER = r"[+-]?(?:\d[\d.,]*|[.,]\d+)(?:[eE][+-]?\d+)?"
# A number with two marks or more: 1.040,5, but not the date 31.1.2024.
_GROUPED = r"[+-]?\d{1,3}([.,])\d{3}(?:\1\d{3})*(?:[.,]\d*)?"
_BLANKS = " '\u2019\u00a0\u2009\u202f"  # between groups of digits


def decode(content: bytes, path: Path) -> tuple[str, str]:
    """Return the text of a file and its encoding. Raises UserError for what is no text."""
    unpack = next((unpack for mark, unpack in _UNPACK.items() if content.startswith(mark)), None)
    if unpack is not None:
        try:
            content = unpack(content)
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise UserError(f"{path} is compressed, and truncated or altered: {error}.") from None
    what = next((what for mark, what in _REFUSED.items() if content.startswith(mark)), None)
    if what is not None:
        raise UserError(f"{path} is not a CSV file but {what}.")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    if encoding != "utf-16" and b"\0" in content:
        raise UserError(f"{path} is not a CSV file: it holds bytes that no text has.")
    try:
        return content.decode(encoding), encoding
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise UserError(f"{path} is truncated or altered: it is not the {encoding} that it says it is.") from None
    return content.decode("cp1252", errors="replace"), "cp1252"  # what Windows programs write without a mark


def find_delimiter(text: str, path: Path) -> str:
    """Return the one delimiter with which every line has as many fields as the header.

    Where several do, it is the one that leaves the most numbers. Raises UserError where that cannot be told.
    """
    samples = {mark: list(islice(_read(text, mark, path), SAMPLE)) for mark in DELIMITERS.values()}
    bare = next((mark for mark, rows in samples.items() if not rows), None)
    if bare:  # nothing, or nothing but one of the marks, which is said by whoever reads all of it
        return bare
    shares = {mark: _count_numbers(rows) for mark, rows in samples.items() if find_uneven_row(rows) is None}
    shares = {mark: share for mark, share in shares.items() if len(samples[mark][0]) > 1}
    if len(shares) > 1:
        shares.pop(" ", None)  # blanks also stand within titles and texts
    best = [mark for mark in shares if shares[mark] == max(shares.values())]
    if len(best) == 1:
        return best[0]
    if not best:  # a line is too long or too short, which is said by whoever reads all of them
        widths = {mark: len(rows[0]) for mark, rows in samples.items() if mark != " "}
        return max(widths, key=lambda mark: widths[mark])
    names = [name for name, mark in DELIMITERS.items() if mark in best]
    raise UserError(f"{path} can be read as separated by {' or '.join(names)}. Say which: data.delimiter={names[0]}.")


def read_rows(text: str, delimiter: str, path: Path) -> list[list[str]]:
    """Return the rows of a CSV file without blank ones, each as long as the header; cells without outer blanks."""
    rows = list(_read(text, delimiter, path))
    if not rows:
        raise UserError(f"{path} is not a CSV file: it is empty.")
    uneven = find_uneven_row(rows)
    if uneven is not None:
        name = next(name for name, mark in DELIMITERS.items() if mark == delimiter)
        raise UserError(
            f"{path} is not a CSV file with a header and rows of equal length: separated by {name}, row {uneven} below "
            f"the header has {len(rows[uneven])} fields, the header {len(rows[0])}. Correct the row, or say how the "
            "file is written: data.delimiter=comma, semicolon, tab, pipe or space."
        )
    width = len(rows[0])
    return [row[:width] for row in rows]


def find_uneven_row(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the number of the first row that the header (row 0) does not fit; empty fields at its end do no harm."""
    width = len(rows[0]) if rows else 0
    return next((i for i, row in enumerate(rows) if len(row) < width or any(row[width:])), None)


def split_sep_line(text: str) -> tuple[str, str | None]:
    """Return the text without the line `sep=;` with which Excel names the delimiter, and that delimiter or None."""
    found = re.match(r'"?sep=([,;\t| ])"?\r?\n', text, re.IGNORECASE)
    return (text[found.end() :], found[1]) if found else (text, None)


def find_decimal(columns: Iterable[Sequence[str]], delimiter: str, path: Path) -> str:
    """Return the decimal mark of the numbers in columns of text. Raises UserError where it cannot be told.

    A mark that does not stand before exactly three digits (2,5), or that follows another one (1.040,5), tells. 1.040
    may be a decimal or a thousand: without anything that tells, a point is the decimal mark, except in a file
    separated by semicolons, as they are written where the decimal mark is a comma.
    """
    examples: dict[str, str] = {}  # by decimal mark
    doubtful: dict[str, str] = {}  # by the mark that may be either
    for column in columns:
        for cell in column:
            if ("," in cell or "." in cell) and re.fullmatch(_NUMBER, cell):
                marks = [mark for mark in cell if mark in ".,"]
                if len(marks) > 1 and not re.fullmatch(_GROUPED, cell):
                    continue
                if len(marks) == 1 and re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", cell):
                    doubtful.setdefault(marks[0], cell)
                    continue
                repeated = len(marks) > 1 and len(set(marks)) == 1  # 1,040,000
                decimal = ("," if marks[0] == "." else ".") if repeated else marks[-1]
                examples.setdefault(decimal, cell)
                break  # another kind of number further down the column is refused as no number
    if len(examples) == 1:
        return next(iter(examples))
    remedy = "Say which mark is decimal: data.decimal=point or data.decimal=comma."
    if examples:
        raise UserError(f"{path} has numbers such as {examples['.']} and such as {examples[',']}. {remedy}")
    if "," in doubtful or ("." in doubtful and delimiter == ";"):
        raise UserError(f"{path} has numbers such as {next(iter(doubtful.values()))}, with a decimal mark or a mark of "
                        f"thousands. {remedy}")  # fmt: skip
    return "."


def to_numbers(column: Sequence[str], decimal: str) -> np.ndarray:
    """Convert a column of text to numbers, NaN for what is none; marks between groups of thousands are left out."""
    other = "." if decimal == "," else ","
    if decimal == "," or re.search(rf"[{other}{_BLANKS}]", "\n".join(column)):
        grouped = re.compile(rf"[+-]?\d{{1,3}}([{other}{_BLANKS}])\d{{3}}(?:\1\d{{3}})*(?:{re.escape(decimal)}\d*)?")
        unmarked = re.compile(rf"[{other}{_BLANKS}]")
        column = [unmarked.sub("", cell) if grouped.fullmatch(cell) else cell for cell in column]
    if decimal == ",":
        column = ["" if "." in cell else cell.replace(",", ".") for cell in column]
    return pd.to_numeric(np.array(column, dtype=object), errors="coerce").astype(float)


def _read(text: str, delimiter: str, path: Path) -> Iterator[list[str]]:
    """Yield the rows that are not blank. The header is cut behind its last title."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if first:
                while not cells[-1]:
                    cells.pop()
                if len(cells) > MOST_COLUMNS:
                    raise UserError(f"{path} has {len(cells):,} columns; at most {MOST_COLUMNS:,} can be read. "
                                    "Keep those that matter.")  # fmt: skip
                first = False
            yield cells
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: line {reader.line_num}: {error}.") from None


def _count_numbers(rows: Sequence[Sequence[str]]) -> float:
    """Return the share of numbers among the cells below the header."""
    cells = [cell for row in rows[1:] for cell in row]
    return sum(re.fullmatch(_NUMBER, cell) is not None for cell in cells) / max(len(cells), 1)
