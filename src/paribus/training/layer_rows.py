"""The measurements of an epoch as rows of layers.parquet."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from paribus.instruments.measurement import Measured


@dataclass(frozen=True)
class LayerRows:
    """The measurements of an epoch as n rows of layers.parquet.

    Attributes:
        quantities: pairs of quantity and tensor.
        keys: (layer, depth, tensor, quantity) of each row.
        tags: tag of each row in TensorBoard.
        values: values of the rows, (n,), in double precision; (K, n) for a stack of K runs.
    """

    quantities: tuple[tuple[str, str], ...]
    keys: tuple[tuple[str, int, str, str], ...]
    tags: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def from_measured(cls, measured: Sequence[Measured]) -> "LayerRows":
        """Make rows of measurements, grouped by quantity and tensor."""
        by_quantity: dict[tuple[str, str], list[Measured]] = {}
        for m in measured:
            by_quantity.setdefault((m.quantity, m.tensor), []).append(m)
        ordered = [m for group in by_quantity.values() for m in group]
        named = [(m, layer) for m in ordered for layer in m.layers]
        values = [m.values.detach().cpu().double().numpy() for m in ordered]
        return cls(
            tuple(by_quantity),
            tuple((layer.path, layer.depth, m.tensor, m.quantity) for m, layer in named),
            tuple(
                f"{m.quantity}/{layer.label}" + (f".{m.tensor}" if m.tensor != "activation" else "")
                for m, layer in named
            ),
            np.concatenate(values, -1) if values else np.empty(0),
        )

    def select_run(self, k: int) -> "LayerRows":
        """Return the rows of the k-th run of a stack."""
        return replace(self, values=self.values[k] if self.keys else self.values)
