"""Write the tables and arrays of a run record; imports no torch.

pandas is imported where it is used: a run on images that is not resumed need not wait for it.
"""

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from paribus.errors import summarise_error
from paribus.record import N_FOLDS, PREDICTIONS, WEIGHTS, RecordError, replace_file
from paribus.record.epochs import EpochsWriter

log = logging.getLogger(__name__)


class MetricsWriter:
    """Rewrite metrics.csv with `rows`, then append to it; `write` flushes each row."""

    def __init__(self, path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float | None]] = ()):
        self.path = path
        self.columns = columns
        with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as self._file:
            csv.writer(self._file, lineterminator="\n").writerow(columns)
            for row in rows:
                self.write(row)
        self._file = path.open("a", newline="", encoding="utf-8")

    def write(self, row: Mapping[str, float | None]) -> None:
        """Append a row. Missing and None values are empty cells; floats keep all digits."""
        values = (row.get(column) for column in self.columns)
        self._file.write(",".join("" if value is None else repr(value) for value in values) + "\n")
        self._file.flush()

    def close(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Close the file; where somebody has removed it, write all `rows` anew."""
        self._file.close()
        if not self.path.exists():
            log.warning("%s was removed while the run was trained; it is written again.", self.path)
            MetricsWriter(self.path, self.columns, rows).close(rows)


class LayersWriter:
    """Collect the rows of layers.parquet; `write` rewrites the file, because Parquet files cannot grow.

    Columns: epoch (0: before training), layer, depth, tensor, quantity, value (float64, may be NaN or infinite).
    """

    def __init__(self, path: Path):
        self.path = path
        self._keys: dict[tuple[str, int, str, str], int] = {}
        self._indices: dict[tuple[tuple[str, int, str, str], ...], np.ndarray] = {}  # by keys of an epoch
        self._epochs: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._saved = 0  # of these, in the file

    def restore(self, epoch: int) -> None:
        """Load the rows up to `epoch` from the file, if it exists."""
        if not self.path.exists():
            return
        import pandas

        frame = pandas.read_parquet(self.path, filters=[("epoch", "<=", epoch)])
        kinds = {"epoch": int, "depth": int, "value": float, "layer": str, "tensor": str, "quantity": str}
        if lacking := [name for name in kinds if name != "value" and frame[name].isna().any()]:
            raise ValueError(f"{' and '.join(lacking)} missing in some rows")
        frame = frame.astype(kinds)
        for number in frame["epoch"].unique().tolist():
            rows = frame[frame["epoch"] == number]
            keys = zip(rows["layer"], rows["depth"].tolist(), rows["tensor"], rows["quantity"], strict=True)
            self.add(number, tuple(keys), rows["value"].to_numpy())

    def add(self, epoch: int, keys: tuple[tuple[str, int, str, str], ...], values: np.ndarray) -> None:
        """Add n rows of an epoch: keys (layer, depth, tensor, quantity) and `values` (n,)."""
        if keys not in self._indices:
            indices = [self._keys.setdefault(key, len(self._keys)) for key in keys]
            self._indices[keys] = np.array(indices, dtype=np.int32)
        self._epochs.append((epoch, self._indices[keys], values))

    def write(self) -> None:
        """Write all rows so far; without rows, write no file, and none again that has them all."""
        if not self._epochs or (self._saved == len(self._epochs) and self.path.exists()):
            return
        epochs, indices, values = (list(column) for column in zip(*self._epochs, strict=True))
        rows = np.concatenate(indices)
        layer, depth, tensor, quantity = (list(column) for column in zip(*self._keys, strict=True))
        columns = {
            "epoch": np.repeat(np.array(epochs, dtype=np.int32), [len(i) for i in indices]),
            "layer": pyarrow.array(layer).dictionary_encode().take(rows),
            "depth": np.array(depth, dtype=np.int32)[rows],
            "tensor": pyarrow.array(tensor).dictionary_encode().take(rows),
            "quantity": pyarrow.array(quantity).dictionary_encode().take(rows),
            "value": np.concatenate(values),
        }
        with replace_file(self.path) as temporary:
            pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
        self._saved = len(self._epochs)

    def compute_early_gradient(self) -> float | None:
        """Return the mean grad_mean_abs of the first two weight tensors over all epochs; None if not measured."""
        early = [i for (_, depth, tensor, quantity), i in self._keys.items()
                 if quantity == "grad_mean_abs" and tensor == "weight" and depth < 2]  # fmt: skip
        if not early or not self._epochs:
            return None
        _, indices, values = zip(*self._epochs, strict=True)
        found = np.concatenate(values)[np.isin(np.concatenate(indices), early)]
        return float(found.mean()) if len(found) else None


class FoldsWriter(EpochsWriter[Mapping[str, np.ndarray]]):
    """Collect the rows of folds.parquet; with missing epochs it would mislead the choice of the best one.

    Columns: epoch and fold (both from 1), samples, and `columns`, the validation columns of metrics.csv. The rows of an
    epoch are arrays (N_FOLDS,) by column, for all but epoch and fold.
    """

    def __init__(self, path: Path, columns: Sequence[str]):
        super().__init__(path)
        self.columns = columns

    def _read(self, epochs: Sequence[int]) -> list[Mapping[str, np.ndarray]]:
        import pandas

        try:
            frame = pandas.read_parquet(self.path, filters=[("epoch", "<=", epochs[-1])])
            found = list(zip(frame["epoch"], frame["fold"], strict=True))
            rows = {name: frame[name].to_numpy(float) for name in ("samples", *self.columns)}
        except FileNotFoundError:
            raise RecordError(f"{self.path} does not exist.") from None
        except Exception as error:  # noqa: BLE001  any damage: the caller continues without the file
            raise RecordError(f"{self.path} is damaged ({summarise_error(error)}).") from None
        if found != [(epoch, fold) for epoch in epochs for fold in range(1, N_FOLDS + 1)]:
            raise RecordError(f"{self.path} does not have all epochs up to {epochs[-1]}.")
        return [rows]

    def _save(self, path: Path) -> None:
        columns: dict[str, Any] = {
            "epoch": np.repeat(np.array(self._epochs, dtype=np.int32), N_FOLDS),
            "fold": np.tile(np.arange(1, N_FOLDS + 1, dtype=np.int8), len(self._epochs)),
            "samples": np.concatenate([rows["samples"] for rows in self._rows]).astype(np.int32),
            **{name: np.concatenate([rows[name] for rows in self._rows]) for name in self.columns},
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), path)


def write_weights(directory: Path, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]) -> None:
    """Write weights.npz: each layer's weights, by path, as before/LAYER and after/LAYER."""
    arrays = {f"before/{layer}": array for layer, array in before.items()}
    arrays |= {f"after/{layer}": array for layer, array in after.items()}
    with replace_file(directory / WEIGHTS) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_predictions(directory: Path, parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write predictions.parquet: a row per sample with split, target and prediction.

    `parts`: targets (n,) and predictions (n,) by split ("train", "val", "test").
    """
    import pandas

    frames = [pandas.DataFrame({"split": split, "target": targets, "prediction": predictions})
              for split, (targets, predictions) in parts.items()]  # fmt: skip
    with replace_file(directory / PREDICTIONS) as temporary:
        pandas.concat(frames, ignore_index=True).to_parquet(temporary, index=False)
