"""Write the table of a run's optimizer steps; imports no torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from paribus.errors import summarise_error
from paribus.record import RecordError, replace_file

MOST_ROWS = 20_000
WHOLE = {"step": np.int64, "epoch": np.int32}
MEASURED = ("train/loss", "lr", "momentum", "grad_norm")


def find_stride(steps: int, most: int = MOST_ROWS) -> int:
    """Return the smallest power of 2 whose multiples are at most `most` of the numbers from 1 to `steps`."""
    stride = 1
    while steps > most * stride:
        stride *= 2
    return stride


class StepsWriter:
    """Collect the rows of steps.parquet; `write` rewrites the file.

    Columns: step (optimizer steps done, from 1), epoch (from 1), train/loss, lr, momentum, grad_norm, and `validated`,
    the validation columns of metrics.csv; NaN where a value was not measured. Of n steps, more than MOST_ROWS, it keeps
    those whose number is a multiple of find_stride(n), and those with a validation. Which rows there are depends on the
    number of steps alone, not on when the file was written.
    """

    def __init__(self, path: Path, validated: Sequence[str]):
        self.path = path
        self.columns = (*WHOLE, *MEASURED, *validated)
        self._validated = tuple(validated)
        self._rows: dict[str, np.ndarray] = {name: np.empty(0, WHOLE.get(name, float)) for name in self.columns}
        self._new: list[dict[str, np.ndarray]] = []  # epochs that are not among them yet
        self._waiting = 0  # rows of these
        self._saved = (0, 0)  # how many rows the file has, and the last step
        self._abandoned = False

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """All rows so far, by column."""
        self._join()
        return self._rows

    def _join(self) -> None:
        if not self._new:
            return
        parts = [self._rows, *self._new]
        self._rows = {name: np.concatenate([part[name] for part in parts]) for name in self.columns}
        self._new, self._waiting = [], 0
        stride = find_stride(int(self._rows["step"][-1]))
        if stride > 1:
            kept = self._rows["step"] % stride == 0
            for name in self._validated:
                kept |= ~np.isnan(self._rows[name])
            self._rows = {name: values[kept] for name, values in self._rows.items()}

    def restore(self, epoch: int, step: int) -> None:
        """Load the rows up to `epoch`, which has ended with optimizer step `step`.

        Raises RecordError where the file is missing, is damaged or does not reach that step.
        """
        try:
            table = pyarrow.parquet.read_table(self.path, columns=list(self.columns))
            rows = {name: table[name].to_numpy().astype(WHOLE.get(name, float)) for name in self.columns}
        except FileNotFoundError:
            raise RecordError(f"{self.path} does not exist.") from None
        except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
            raise RecordError(f"{self.path} is damaged ({summarise_error(error)}).") from None
        steps = rows["step"]
        last = int(steps.max(initial=0))
        if last + find_stride(last) <= step or (np.diff(steps) <= 0).any():
            raise RecordError(f"{self.path} does not have the steps up to {step}.")
        known = rows["epoch"] <= epoch
        self._rows = {name: values[known] for name, values in rows.items()}

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Add the n steps of an epoch: arrays (n,) by column; columns that are missing become NaN."""
        n = len(rows["step"])
        if self._abandoned or not n:
            return
        missing = np.full(n, np.nan)
        self._new.append({name: rows.get(name, missing).astype(WHOLE.get(name, float)) for name in self.columns})
        self._waiting += n
        if self._waiting > MOST_ROWS:
            self._join()

    def abandon(self) -> None:
        """Delete the file and write no more: without its first steps it would mislead about the time to a target."""
        self._abandoned = True
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Write all rows so far; without rows, write no file, and none again that has them all."""
        rows = self.rows
        held = len(rows["step"]), int(rows["step"].max(initial=0))
        if any(held) and not (self._saved == held and self.path.exists()):
            with replace_file(self.path) as temporary:
                table = pyarrow.table({name: pyarrow.array(values) for name, values in rows.items()})
                pyarrow.parquet.write_table(table, temporary, compression="zstd")
            self._saved = held
