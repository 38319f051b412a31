"""Read what a diagnosis looks at from the record of a run; imports no torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paribus import record
from paribus.errors import summarise_error

LAYER_COLUMNS = ("epoch", "layer", "depth", "tensor", "quantity", "value")
STEP_COLUMNS = ("step", "epoch", "train/loss", "grad_norm")
QUANTITIES = (  # of layers.parquet, that a diagnosis looks at
    ("grad_mean_abs", "weight"),
    ("weight_mean", "weight"),
    ("weight_std", "weight"),
    ("update_ratio", "weight"),
    ("activation_mean", "activation"),
    ("activation_std", "activation"),
    ("dead_fraction", "activation"),
    ("saturated_fraction", "activation"),
)


@dataclass(frozen=True)
class LayerTable:
    """A quantity of the layers by epoch.

    Attributes:
        layers: names (L,), input first.
        depths: their depths (L,), from 0; layers without the quantity are left out.
        epochs: (E,), rising; 0 is before training.
        values: (E, L); NaN where there is none.
    """

    layers: tuple[str, ...]
    depths: np.ndarray
    epochs: np.ndarray
    values: np.ndarray

    def since(self, epoch: int) -> "LayerTable":
        """Return the epochs from `epoch` on."""
        kept = self.epochs >= epoch
        return LayerTable(self.layers, self.depths, self.epochs[kept], self.values[kept])


@dataclass(frozen=True)
class Trace:
    """The part of a record that a diagnosis looks at.

    Attributes:
        summary: the content of summary.json, as far as it is known.
        metrics: the columns of metrics.csv, (epochs,) each; NaN for empty cells.
        layers: tables by quantity.
        steps: the columns of STEP_COLUMNS of steps.parquet, (rows,) each, evenly spaced; empty without that file.
    """

    summary: Mapping[str, Any]
    metrics: Mapping[str, np.ndarray]
    layers: Mapping[str, LayerTable] = field(default_factory=dict)
    steps: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(self.metrics.get("epoch", ()))

    @property
    def last_depth(self) -> int:
        """The depth of the output layer; -1 where no layer is known."""
        return max((int(table.depths.max()) for table in self.layers.values() if len(table.depths)), default=-1)

    def curve(self, name: str) -> np.ndarray | None:
        """Return a column of metrics.csv; None where it is not there, or empty."""
        values = self.metrics.get(name)
        return None if values is None or not len(values) or np.isnan(values).all() else values

    def step_curve(self, name: str) -> np.ndarray | None:
        """Return a column of steps.parquet; None where it is not there, or empty."""
        values = self.steps.get(name)
        return None if values is None or not len(values) or np.isnan(values).all() else values

    def statistic(self, name: str) -> float | None:
        """Return a summary statistic; None where it is not there."""
        value = self.summary.get("statistics", {}).get(name)
        return None if value is None else float(value)

    def scale_rate(self, factor: float) -> str:
        """Return the option that sets `factor` times the run's learning rate; words where there is no such option."""
        rate = self.summary.get("config", {}).get("optim", {}).get("lr")
        if isinstance(rate, int | float) and not isinstance(rate, bool) and rate > 0:
            return f"optim.lr={rate * factor:.2g}"
        return f"a {'lower' if factor < 1 else 'higher'} learning rate"

    def options(self, *texts: str, otherwise: str) -> str:
        """Join those of the options, such as model.init=auto, that the run has with another value; else `otherwise`."""
        config = record.flatten(self.summary.get("config", {}))
        own = {**{key: str(value) for key, value in config.items()}, **self.summary.get("choices", {})}
        kept = [
            text for text in texts if own.get(text.partition("=")[0], text.partition("=")[2]) != text.partition("=")[2]
        ]
        return " or ".join(kept) or otherwise


def read_trace(directory: Path, summary: Mapping[str, Any]) -> Trace:
    """Read the trace of a run. A record without layers has none; raises RecordError for a damaged file."""
    rows = record.read_metrics(directory)
    names = list(dict.fromkeys(name for row in rows for name in row))
    metrics = {
        name: np.array([np.nan if row.get(name) is None else row[name] for row in rows], float) for name in names
    }
    steps = _read_steps(directory / record.STEPS)
    return Trace(summary, metrics, _read_layers(directory / record.LAYERS), steps)


def _read_steps(path: Path) -> dict[str, np.ndarray]:
    import pyarrow
    import pyarrow.parquet

    if not path.exists():
        return {}
    record.require_regular(path)
    try:
        table = pyarrow.parquet.ParquetFile(path).read(list(STEP_COLUMNS), use_threads=False)
        columns = {name: table[name].to_numpy().astype(float) for name in STEP_COLUMNS}
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise _make_damage_error(path, error) from None
    return choose_even_steps(columns)


def choose_even_steps(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Choose of the rows of steps.parquet, where it is thinned, those that are evenly spaced."""
    from paribus.record.steps import find_stride

    steps = columns["step"]
    kept = steps % find_stride(int(steps.max(initial=0))) == 0
    return {name: values[kept] for name, values in columns.items()}


def _read_layers(path: Path) -> dict[str, LayerTable]:
    import pyarrow
    import pyarrow.parquet

    if not path.exists():
        return {}
    record.require_regular(path)
    try:
        table = pyarrow.parquet.ParquetFile(path).read(list(LAYER_COLUMNS), use_threads=False).unify_dictionaries()
        codes: dict[str, np.ndarray] = {}
        words: dict[str, list[str]] = {}
        for name in ("layer", "tensor", "quantity"):
            column = table.column(name).combine_chunks()
            column = column if isinstance(column, pyarrow.DictionaryArray) else column.dictionary_encode()
            if column.null_count:
                raise pyarrow.ArrowInvalid(f"{name} missing in some rows")
            codes[name], words[name] = column.indices.to_numpy(), [str(word) for word in column.dictionary.to_pylist()]
        epoch, depth, value = (table.column(name).to_numpy() for name in ("epoch", "depth", "value"))
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise _make_damage_error(path, error) from None
    return dict(build_tables(epoch, depth, value.astype(float), codes, words))


def _make_damage_error(path: Path, error: Exception) -> record.RecordError:
    return record.RecordError(f"{path} is damaged ({summarise_error(error)}).")


def build_tables(
    epoch: np.ndarray,
    depth: np.ndarray,
    value: np.ndarray,
    codes: Mapping[str, np.ndarray],
    words: Mapping[str, list[str]],
) -> Iterator[tuple[str, LayerTable]]:
    """Arrange the rows of layers.parquet by quantity.

    Args:
        epoch, depth, value: (n,).
        codes: "layer", "tensor" and "quantity" of each row, (n,), as places in `words`.
    """
    for quantity, tensor in QUANTITIES:
        if quantity not in words["quantity"] or tensor not in words["tensor"]:
            continue
        mine = codes["quantity"] == words["quantity"].index(quantity)
        rows = np.flatnonzero(mine & (codes["tensor"] == words["tensor"].index(tensor)))
        if not len(rows):
            continue
        epochs, at = np.unique(epoch[rows], return_inverse=True)
        depths, first, place = np.unique(depth[rows], return_index=True, return_inverse=True)
        values = np.full((len(epochs), len(depths)), np.nan)
        values[at, place] = value[rows]
        names = tuple(words["layer"][code] for code in codes["layer"][rows[first]])
        yield quantity, LayerTable(names, depths, epochs, values)
