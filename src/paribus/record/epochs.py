"""Collect what a file of the record holds by validated epoch; imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

from paribus.record.files import replace_file

Rows = TypeVar("Rows")


class EpochsWriter(ABC, Generic[Rows]):
    """Collect the rows of a file that has every validated epoch or does not exist; `write` rewrites the file."""

    def __init__(self, path: Path):
        self.path = path
        self._epochs: list[int] = []
        self._rows: list[Rows] = []
        self._abandoned = False
        self._saved = 0  # epochs in the file

    def restore(self, epochs: Sequence[int]) -> None:
        """Load `epochs` from the file. Raises RecordError if it lacks any of them."""
        if epochs:
            self._rows = self._read(epochs)
            self._epochs = list(epochs)

    def abandon(self) -> None:
        """Delete the file and write no more: it would lack epochs."""
        self._abandoned = True
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Write all epochs so far; without epochs, write no file, and none again that has them all."""
        if self._epochs and not (self._saved == len(self._epochs) and self.path.exists()):
            with replace_file(self.path) as temporary:
                self._save(temporary)
            self._saved = len(self._epochs)

    def add(self, epoch: int, rows: Rows) -> None:
        """Add the rows of an epoch, counted from 1."""
        if not self._abandoned:
            self._epochs.append(epoch)
            self._rows.append(rows)

    @abstractmethod
    def _read(self, epochs: Sequence[int]) -> list[Rows]:
        """Read the rows of `epochs`. Raises RecordError if the file lacks any of them."""

    @abstractmethod
    def _save(self, path: Path) -> None:
        """Write all rows to `path`."""
