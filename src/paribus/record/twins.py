"""Write and read twins.npz, which shows where two runs part; imports no torch."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paribus.record.files import RecordError, replace_file

NAMES = ("epoch", "prediction", "weights")


class TwinsWriter:
    """Collect the epochs of twins.npz; `write` rewrites the file.

    Arrays, with E validated epochs: epoch (E,) int32, from 1; prediction (E, n), class numbers as int16 or values in
    the unit of the target as float32, of the first n validation samples; weights (E, SKETCH_SIZE) float32, the sketch
    of the weights.
    """

    def __init__(self, path: Path):
        self.path = path
        self._epochs: list[int] = []
        self._predictions: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []
        self._abandoned = False

    def restore(self, epochs: Sequence[int]) -> None:
        """Load `epochs` from the file. Raises RecordError if it lacks any of them."""
        if not epochs:
            return
        found = read_twins(self.path)
        kept = found["epoch"] <= epochs[-1]
        if found["epoch"][kept].tolist() != list(epochs):
            raise RecordError(f"{self.path} does not have all epochs up to {epochs[-1]}.")
        self._epochs = list(epochs)
        self._predictions, self._weights = ([*found[name][kept]] for name in NAMES[1:])

    def add(self, epoch: int, prediction: np.ndarray, weights: np.ndarray) -> None:
        """Add an epoch: predictions (n,) and sketch (SKETCH_SIZE,)."""
        if not self._abandoned:
            self._epochs.append(epoch)
            self._predictions.append(prediction)
            self._weights.append(weights)

    def abandon(self) -> None:
        """Delete the file and write no more: it would lack epochs."""
        self._abandoned = True
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Write all epochs so far; without epochs, write no file."""
        if not self._epochs:
            return
        arrays = (np.array(self._epochs, np.int32), np.stack(self._predictions), np.stack(self._weights))
        with replace_file(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, **dict(zip(NAMES, arrays, strict=True)))  # type: ignore[arg-type]


def read_twins(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of twins.npz. Raises RecordError where it does not exist or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in NAMES}
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecordError(f"{path} is damaged ({reason}).") from None
    sizes = {len(array) for array in found.values() if array.ndim}
    numbers = all(array.dtype.kind in "if" for array in found.values())
    if not numbers or len(sizes) != 1 or [array.ndim for array in found.values()] != [1, 2, 2]:
        raise RecordError(f"{path} is damaged (its arrays do not belong together).")
    return found
