"""Name titles and values of tables, and know which cells are empty."""

from numbers import Real
from re import sub
from typing import Any

import numpy as np
import pandas as pd

MISSING = (
    *("", "?", "-", "--", "NA", "N/A", "n/a", "n.a.", "N.A.", "#N/A", "#NA", "<NA>", "k.A.", "k. A."),
    *("NaN", "nan", "NULL", "null", "None"),
)


def is_numeric(column: pd.Series) -> bool:
    """Return whether a column of a Parquet file holds numbers, or true and false."""
    return pd.api.types.is_numeric_dtype(column)


def is_missing(column: pd.Series) -> pd.Series:
    """Return whether each cell of a column is empty, or a word for that."""
    return column.isna() if is_numeric(column) else column.isna() | column.isin(MISSING)


def join_words(title: object) -> str:
    """Return a title with single blanks between its words and none around it."""
    return " ".join(str(title).split())


def simplify(title: str) -> str:
    """Return a title in small letters and digits, without its unit in brackets."""
    return sub(r"[\W_]+", "", sub(r"[(\[].*?[)\]]", "", title).casefold()) or title


def format_number(value: float) -> str:
    """Write a number as the name of a class: 3 for 3.0."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def sort_values(column: pd.Series) -> list[str]:
    """Return the different values of a column of text in order; by size, if all of them are numbers."""
    values = [str(value) for value in column.unique()]
    numbers = pd.to_numeric(pd.Series(values), errors="coerce")
    return sorted(values) if numbers.isna().any() else [values[i] for i in np.argsort(numbers, kind="stable")]


def name_value(value: Any) -> str:
    """Return a value of a categorical column as the name that stands for it."""
    number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    return format_number(float(value)) if number else str(value)
