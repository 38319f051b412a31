"""What was measured inside each run in its first, middle and last epoch, as one array a quantity. Never torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multirun_analysis.records.load import Study

# Quantities that say something of how a network learns: tensor, whether levels are compared as a ratio, whether it
# follows from the learning rate by itself.
LAYERS = {
    "grad_mean_abs": ("weight", True, False),
    "dead_fraction": ("activation", False, False),
    "saturated_fraction": ("activation", False, False),
    "grad_signal": ("weight", True, True),
    "update_ratio": ("weight", True, True),
}
NETWORK = ("curvature/critical_sharpness", "curvature/stability_margin", "curvature/largest_eigenvalue")  # ratios
SLOTS = ("first", "middle", "last")  # epochs: 1, half of the run's, its last
MOST_LAYERS = 5  # of deep networks, evenly spaced, the first and the last among them


@dataclass(frozen=True)
class Place:
    """A quantity in a layer and an epoch.

    Attributes:
        depth: of the layer, from 0; -1: the output layer; None: the network as a whole.
        depths: how many layers there are; 0 where that differs.
        layer: its name; empty where that differs.
        epoch: the number, where all runs have the same; else None.
        slot: first, middle or last.
        ratio: whether levels are compared as a ratio.
        follows: whether it follows from the learning rate by itself.
    """

    quantity: str
    depth: int | None = None
    depths: int = 0
    layer: str = ""
    epoch: int | None = None
    slot: str = ""
    ratio: bool = False
    follows: bool = False


@dataclass(frozen=True)
class InnerValues:
    """The quantities of all runs.

    Attributes:
        rows: the place of each run in the arrays.
        epochs: (runs, 3): the epoch of each slot.
        counts: (runs,): how many layers a run has.
        layers: by quantity, (runs, layers, 3); NaN where there is none.
        network: by column of metrics.csv, (runs, 3).
        names: of layers by depth, of the runs with most layers; empty where runs differ in them.
    """

    rows: dict[str, int]
    epochs: np.ndarray
    counts: np.ndarray
    layers: dict[str, np.ndarray]
    network: dict[str, np.ndarray]
    names: list[str]

    def of_pairs(self, a: np.ndarray, b: np.ndarray) -> Iterator[tuple[list[Place], np.ndarray, np.ndarray]]:
        """Yield the places of each quantity, with its values in the runs `a` and `b` (n,): (n, places) each."""
        both = np.concatenate([a, b])
        counts = np.unique(self.counts[both])
        alike = len(counts) == 1
        # of networks of different depths only the first and the last layer correspond
        depths = _spread(int(counts[0])) if alike else [0, -1]
        known = [_only(self.epochs[both, slot]) for slot in range(len(SLOTS))]
        slots = [i for i in range(len(SLOTS)) if known[i] is None or known[i] not in known[:i]]
        for quantity, values in self.layers.items():
            _, ratio, follows = LAYERS[quantity]
            names = {depth: self.names[depth] if alike and self.names else "" for depth in depths}
            total = int(counts[0]) if alike else 0
            places = [
                Place(quantity, depth, total, names[depth], known[slot], SLOTS[slot], ratio, follows)
                for depth in depths
                for slot in slots
            ]
            columns = [self._at(values, runs, depths, slots) for runs in (a, b)]
            yield places, columns[0], columns[1]
        for quantity, values in self.network.items():
            places = [Place(quantity, None, 0, "", known[slot], SLOTS[slot], True) for slot in slots]
            yield places, values[a][:, slots], values[b][:, slots]

    def _at(self, values: np.ndarray, runs: np.ndarray, depths: Sequence[int], slots: Sequence[int]) -> np.ndarray:
        own = np.array(depths)[None, :] + np.where(np.array(depths) < 0, self.counts[runs][:, None], 0)
        return values[runs[:, None, None], own[:, :, None], np.array(slots)[None, None, :]].reshape(len(runs), -1)


def collect_inner_values(study: Study) -> InnerValues:
    """Collect the quantities of all runs from layers.parquet and metrics.csv."""
    names = [str(name) for name in study.runs.index]
    rows = {name: i for i, name in enumerate(names)}
    curves = study.curves
    place = np.array([rows.get(str(name), -1) for name in curves["run"].cat.categories], dtype=np.int64)
    run, epoch = place[curves["run"].cat.codes.to_numpy()], curves["epoch"].to_numpy()
    last = np.zeros(len(names), dtype=np.int64)
    np.maximum.at(last, run[run >= 0], epoch[run >= 0])
    epochs = np.stack([np.ones_like(last), np.maximum(1, (last + 1) // 2), last], axis=1)
    network = {}
    for column in NETWORK:
        if column in curves["metric"].cat.categories:
            mine = np.flatnonzero((curves["metric"] == column).to_numpy() & (run >= 0))
            network[column] = _fill(run[mine], epoch[mine], curves["value"].to_numpy()[mine], epochs)
    layers, counts, words = _layers(study.layers, rows, epochs)
    return InnerValues(rows, epochs, counts, layers, network, words)


def _layers(
    frame: pd.DataFrame, rows: dict[str, int], epochs: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """Arrange the quantities of layers by run, depth and slot; count the layers of each run, and name them."""
    counts = np.zeros(len(rows), dtype=np.int64)
    if frame.empty:
        return {}, counts, []
    place = np.array([rows.get(str(name), -1) for name in frame["run"].cat.categories], dtype=np.int64)
    quantity, tensor = frame["quantity"].cat, frame["tensor"].cat
    of_quantity, of_tensor = quantity.codes.to_numpy(), tensor.codes.to_numpy()
    found = {}
    for name, (kind, _, _) in LAYERS.items():
        if name not in quantity.categories or kind not in tensor.categories:
            continue
        mine = of_quantity == quantity.categories.get_loc(name)
        mine &= of_tensor == tensor.categories.get_loc(kind)
        part = np.flatnonzero(mine)
        run = place[frame["run"].cat.codes.to_numpy()[part]]
        epoch, depth = frame["epoch"].to_numpy()[part], frame["depth"].to_numpy()[part].astype(np.int64)
        wanted = (run >= 0) & (epoch[:, None] == epochs[run]).any(axis=1)
        part, run, epoch, depth = part[wanted], run[wanted], epoch[wanted], depth[wanted]
        np.maximum.at(counts, run, depth + 1)
        if len(part):
            height = int(depth.max()) + 1
            values = _fill(run * height + depth, epoch, frame["value"].to_numpy()[part], np.repeat(epochs, height, 0))
            found[name] = values.reshape(len(rows), height, len(SLOTS))
    size = int(counts.max(initial=0))
    found = {
        name: np.pad(values, ((0, 0), (0, size - values.shape[1]), (0, 0)), constant_values=np.nan)
        for name, values in found.items()
    }
    return found, counts, _name_layers(frame, size)


def _name_layers(frame: pd.DataFrame, count: int) -> list[str]:
    """Name the layers by depth; nothing where two runs have different names for one."""
    layer = frame["layer"].cat
    pairs = np.unique(frame["depth"].to_numpy().astype(np.int64) * len(layer.categories) + layer.codes.to_numpy())
    depth, code = np.divmod(pairs, len(layer.categories))
    if not np.array_equal(depth, np.arange(count)):
        return []
    return [str(layer.categories[place]) for place in code]


def _fill(row: np.ndarray, epoch: np.ndarray, value: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Arrange values (n,) by row and slot; `epochs` (rows, 3) has the epoch of each slot."""
    found = np.full(epochs.shape, np.nan)
    for slot in range(epochs.shape[1]):
        here = epoch == epochs[row, slot]
        found[row[here], slot] = value[here]
    return found


def _spread(count: int) -> list[int]:
    """Choose the depths of a network that are looked at."""
    if count <= MOST_LAYERS:
        return list(range(count))
    return [int(depth) for depth in np.unique(np.linspace(0, count - 1, MOST_LAYERS).round())]


def _only(epochs: np.ndarray) -> int | None:
    """Return the epoch that all runs share; None where they differ."""
    return int(epochs[0]) if len(epochs) and (epochs == epochs[0]).all() else None
