"""Read metrics.csv while it grows: only what was added since the last look."""

import csv
import math
from bisect import bisect_right
from os import stat_result
from pathlib import Path

from paribus import record

Stamp = tuple[int, int, int]  # inode, size in bytes, time of the last change in ns


def read_stamp(path: Path) -> Stamp | None:
    """Return what changes whenever a file does; None where there is no such file."""
    try:
        found: stat_result = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class MetricsFile:
    """The rows of a growing metrics.csv.

    Attributes:
        columns: the values by column, one an epoch; NaN for an empty cell.
        damage: what is wrong with the file; None: nothing.
        first_version: the look at which the file was read from its start.
    """

    def __init__(self, path: Path):
        self.path = path
        self._stamp: Stamp | None = None
        self._clear(0)

    def _clear(self, version: int) -> None:
        self.columns: dict[str, list[float]] = {}
        self.damage: str | None = None
        self.first_version = version
        self._versions: list[int] = []  # of each row: the look at which it was read
        self._offset = 0  # bytes that have been read
        self._last = b""  # the last row of them

    @property
    def epochs(self) -> int:
        """The number of rows."""
        return len(self._versions)

    def refresh(self, version: int) -> bool:
        """Read what is new, at the look number `version`; return whether anything is."""
        stamp = read_stamp(self.path)
        if stamp == self._stamp:
            return False
        before, self._stamp = self._stamp, stamp
        replaced = stamp is None or before is None or stamp[0] != before[0] or stamp[1] < self._offset
        if replaced:
            self._clear(version)
        if stamp is not None and self.damage is None:
            self._read_on(version)
        return True

    def count_known(self, version: int) -> int:
        """Count the rows that were read up to a look."""
        return 0 if version < self.first_version else bisect_right(self._versions, version)

    def _read_on(self, version: int) -> None:
        try:
            record.require_regular(self.path)
            with self.path.open("rb") as file:
                file.seek(self._offset - len(self._last))
                if file.read(len(self._last)) != self._last:  # a new file, with the inode of the old one
                    self._clear(version)
                    file.seek(0)
                text = file.read()
        except (OSError, record.RecordError) as error:
            self.damage = f"{record.METRICS} cannot be read ({error})"
            return
        whole = text[: text.rfind(b"\n") + 1]  # a row that is being written is read at the next look
        self._offset += len(whole)
        self._last = whole[whole.rfind(b"\n", 0, -1) + 1 :] or self._last
        try:
            for cells in csv.reader(whole.decode().splitlines()):
                self._add_row(cells, version)
        except (ValueError, csv.Error) as error:
            self.damage = f"{record.METRICS} is damaged: {error}"

    def _add_row(self, cells: list[str], version: int) -> None:
        if not self.columns:
            if "epoch" not in cells:
                raise ValueError("it has no column epoch")
            self.columns = {name: [] for name in cells}
            return
        if len(cells) != len(self.columns):
            raise ValueError(f"row {self.epochs + 1} has {len(cells)} columns of {len(self.columns)}")
        values = [float(cell) if cell else math.nan for cell in cells]
        for column, value in zip(self.columns.values(), values, strict=True):
            column.append(value)
        self._versions.append(version)
