"""Write and read twins.npz, which shows where two runs part; imports no torch."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paribus.errors import summarise_error
from paribus.record.epochs import EpochsWriter
from paribus.record.files import RecordError

NAMES = ("epoch", "prediction", "weights")


class TwinsWriter(EpochsWriter[tuple[np.ndarray, np.ndarray]]):
    """Collect the epochs of twins.npz.

    Arrays, with E validated epochs: epoch (E,) int32, from 1; prediction (E, n), class numbers as int16 or values in
    the unit of the target as float32, of the first n validation samples; weights (E, SKETCH_SIZE) float32, the sketch
    of the weights. The rows of an epoch are its predictions (n,) and sketch (SKETCH_SIZE,).
    """

    def _read(self, epochs: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        found = read_twins(self.path)
        kept = found["epoch"] <= epochs[-1]
        if found["epoch"][kept].tolist() != list(epochs):
            raise RecordError(f"{self.path} does not have all epochs up to {epochs[-1]}.")
        return list(zip(*(found[name][kept] for name in NAMES[1:]), strict=True))

    def _save(self, path: Path) -> None:
        columns = (np.array(self._epochs, np.int32), *map(np.stack, zip(*self._rows, strict=True)))
        with path.open("wb") as file:
            np.savez(file, **dict(zip(NAMES, columns, strict=True)))  # type: ignore[arg-type]


def read_twins(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of twins.npz. Raises RecordError where it does not exist or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in NAMES}
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path} is damaged ({summarise_error(error)}).") from None
    sizes = {len(array) for array in found.values() if array.ndim}
    numbers = all(array.dtype.kind in "if" for array in found.values())
    if not numbers or len(sizes) != 1 or [array.ndim for array in found.values()] != [1, 2, 2]:
        raise RecordError(f"{path} is damaged (its arrays do not belong together).")
    return found
