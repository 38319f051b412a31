"""The files of a record, as they are: whole, damaged, or not there. Never torch."""

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd

from paribus import record
from paribus.errors import summarise_error
from paribus.paths import suggest_path

T = TypeVar("T")
SKIPPED = ("checkpoints", ".submitit", ".hydra", "__pycache__", record.TRASH)
WRITTEN = {"report.html", "comparison.csv"}  # a directory with these is an analysis, not runs


def find(paths: Iterable[Path]) -> list[Path]:
    """The directories of runs among and below `paths`, sorted, each once."""

    def refuse(error: OSError) -> None:
        raise record.RecordError(
            f"{error.filename} cannot be read ({error.strerror}). Allow it, or name other directories: a table "
            "without its runs would mislead."
        )

    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise record.RecordError(f"{path} does not exist.{suggest_path(path)}")
        if not path.is_dir():
            raise record.RecordError(f"{path} is a file. Give the directory of a run or of a study.")
        here = []
        seen = set()
        for folder, below, files in os.walk(path, onerror=refuse, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen or set(files) >= WRITTEN:
                below.clear()
                continue
            seen.add(real)
            if record.SUMMARY in files or record.METRICS in files or (Path(folder) / record.COMPOSITION).exists():
                here.append(Path(folder))
                below.clear()
            else:
                below[:] = sorted(name for name in below if name not in SKIPPED)
        if not here:
            raise record.RecordError(
                f"{path} holds no run: there is no {record.SUMMARY} or {record.METRICS} in or below it."
            )
        found |= {run.resolve(): run for run in here if run.resolve() not in found}
    return sorted(found.values())


class Metrics(NamedTuple):
    """The whole rows of metrics.csv.

    Attributes:
        unvalidated: epochs of which all validation metrics are empty; one that is recorded as nan was validated.
        damage: what is wrong with the file, where something is.
    """

    table: pd.DataFrame
    unvalidated: list[int]
    damage: str | None


def read_metrics(directory: Path) -> Metrics:
    """Read metrics.csv."""
    rows: list[list[float]] = []
    unvalidated: list[int] = []
    header, damage = ["epoch", "step"], None
    try:
        reader = csv.reader(record.read_text(directory / record.METRICS).splitlines())
        found = next(reader, [])
        if not {"epoch", "step"} <= set(found):
            raise ValueError("it has no columns epoch and step")
        header = found
        for number, cells in enumerate(reader, 1):
            if len(cells) != len(header):
                raise ValueError(f"line {reader.line_num} has {len(cells)} columns of {len(header)}")
            row = [float(cell) if cell else np.nan for cell in cells]
            if row[header.index("epoch")] != number or not np.isfinite(row[header.index("step")]):
                raise ValueError(f"row {number} is not of epoch {number}")
            rows.append(row)
            validated = [cell for name, cell in zip(header, cells, strict=True) if name.startswith("val/")]
            if validated and not any(validated):
                unvalidated.append(number)
    except FileNotFoundError:
        damage = f"{record.METRICS} is missing"
    except (ValueError, csv.Error, record.RecordError) as error:
        damage = f"{record.METRICS} is damaged: {error}"
    table = pd.DataFrame(np.array(rows, dtype=float).reshape(len(rows), len(header)), columns=_to_index(tuple(header)))
    return Metrics(table, unvalidated, damage)


@cache
def _to_index(names: tuple[str, ...]) -> pd.Index:
    """Make an index of column names, which thousands of runs share: pandas takes longer for it than for the values."""
    return pd.Index(names)


def read_parquet(path: Path, columns: Sequence[str], convert: Callable[[Any], T]) -> tuple[T | None, str | None]:
    """Read a table that has these columns, and convert it. Return why it cannot be read, if so; nothing without a file.

    `convert` may raise ArrowException, ValueError and TypeError.
    """
    import pyarrow
    import pyarrow.parquet

    if path.exists() and not path.is_file():
        return None, f"{path.name} is no regular file"
    try:
        table = pyarrow.parquet.ParquetFile(path, memory_map=True).read(use_threads=False)
        missing = sorted(set(columns) - set(table.column_names))
        return (None, f"{path.name} lacks {', '.join(missing)}") if missing else (convert(table), None)
    except FileNotFoundError:
        return None, None
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        return None, f"{path.name} cannot be read ({summarise_error(error)})"


def read_all(
    directories: Mapping[str, Path], name: str, columns: Sequence[str], convert: Callable[[Any], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """Read a table of each run; return them by run, and by run why one cannot be read. See `read_parquet`."""
    found = {run: read_parquet(directory / name, columns, convert) for run, directory in directories.items()}
    tables = {run: table for run, (table, _) in found.items() if table is not None}
    return tables, {run: why for run, (_, why) in found.items() if why is not None}


def to_numbers(table: Any) -> dict[str, np.ndarray]:
    """Return the columns of a table as numbers (n,)."""
    return {name: table.column(name).to_numpy().astype(float) for name in table.column_names}


def name_rows(tables: Mapping[str, Any]) -> "pd.Categorical[str]":
    """Return the run of each row of tables that stand one below the other."""
    sizes = [len(table) for table in tables.values()]
    return pd.Categorical.from_codes(np.repeat(np.arange(len(sizes)), sizes), pd.Index(list(tables)))


def read_folds(directory: Path, epochs: Sequence[int]) -> tuple[pd.DataFrame | None, str | None]:
    """Read the validation metrics by fold of a run validated in these epochs; None, and why, where they are not whole.

    A run made by a version that recorded none, or without validation, has no file.
    """
    needed = ("epoch", "fold", "samples", "val/loss")
    columns, why = read_parquet(directory / record.FOLDS, needed, to_numbers)
    if columns is None:
        return None, why or "none recorded"
    order = np.lexsort((columns["fold"], columns["epoch"]))
    columns = {name: values[order] for name, values in columns.items()}
    count = len(order) // max(len(epochs), 1)
    place, fold = np.divmod(np.arange(len(epochs) * count), max(count, 1))
    whole = (
        count > 1
        and np.array_equal(columns["epoch"], np.array(epochs, dtype=float)[place])
        and np.array_equal(columns["fold"], fold + 1)
        and bool((columns["samples"] > 0).all())
    )
    if not whole:
        return None, f"{record.FOLDS} does not hold every fold of {len(epochs)} epochs"
    return pd.DataFrame(np.column_stack(list(columns.values())), columns=_to_index(tuple(columns))), None


def read_layers(directories: Mapping[str, Path]) -> tuple[pd.DataFrame, dict[str, str]]:
    """All layers.parquet as one frame, and by run why one cannot be read. A run without the file has no rows."""
    import pyarrow

    columns = ["epoch", "layer", "depth", "tensor", "quantity", "value"]
    tables, unread = read_all(directories, record.LAYERS, columns, lambda table: _as_written(table.select(columns)))
    if not tables:
        return pd.DataFrame({"run": pd.Categorical([]), **{c: [] for c in columns}}), unread
    joined = pyarrow.concat_tables(tables.values(), promote_options="permissive").unify_dictionaries()
    frame = joined.to_pandas()
    frame.insert(0, "run", pd.Series(name_rows(tables)))
    return frame, unread


def _as_written(table: Any) -> Any:
    """A table of layers with columns of the kinds that a run writes; raises ArrowException where they cannot be."""
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {"epoch": pyarrow.int32(), "layer": text, "depth": pyarrow.int32(), "tensor": text, "quantity": text,
             "value": pyarrow.float64()}  # fmt: skip
    if all(pyarrow.types.is_dictionary(table.schema.field(key).type) for key, kind in kinds.items() if kind == text):
        kinds = {key: kind for key, kind in kinds.items() if kind != text}  # whatever the width of their indices
    for key, kind in kinds.items():
        i = table.schema.get_field_index(key)
        if table.schema.field(i).type != kind:
            column = table.column(i).cast(pyarrow.string() if kind == text else kind)
            table = table.set_column(i, key, column.dictionary_encode() if kind == text else column)
    if lacking := [name for name in table.column_names if name != "value" and table.column(name).null_count]:
        raise pyarrow.ArrowInvalid(f"{' and '.join(lacking)} missing in some rows")
    return table


def read_steps(directories: Mapping[str, Path]) -> tuple[pd.DataFrame, dict[str, str]]:
    """All steps.parquet as one frame: run, step, epoch, train/loss, lr, momentum, grad_norm and validation columns.

    Also return by run why a file cannot be read. A run without the file has no rows.
    """
    frames, unread = read_all(directories, record.STEPS, ("step", "epoch"), _to_frame)
    if not frames:
        return pd.DataFrame({"run": pd.Categorical([]), "step": [], "epoch": []}), unread
    whole = pd.concat(frames.values(), ignore_index=True)
    whole.insert(0, "run", pd.Series(name_rows(frames)))
    return whole, unread


def _to_frame(table: Any) -> pd.DataFrame:
    frame = pd.DataFrame(to_numbers(table), copy=False)
    if not (np.isfinite(frame["step"]).all() and frame["step"].is_monotonic_increasing):
        raise ValueError("its steps are not in order")
    return frame.astype({"step": int, "epoch": int})


def has_record(directory: Path) -> bool:
    """Return whether there is the record of a run, ended or not."""
    return any((directory / name).exists() for name in (record.COMPOSITION, record.METRICS, record.SUMMARY))


def is_running(directory: Path) -> bool:
    try:
        return record.is_running(directory)
    except OSError:  # the lock of a record that we may not write to
        return False
