"""Hold what instruments measure."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import UserError
from paribus.models.layers import WeightLayer


@dataclass(frozen=True)
class Measured:
    """A quantity of some layers at the end of an epoch.

    Attributes:
        quantity: its name in layers.parquet and TensorBoard.
        tensor: "weight", "bias" or "activation".
        layers: which layers, n of them.
        values: a value for each, (n,), on any device; of a stack of K runs (K, n).
    """

    quantity: str
    tensor: str
    layers: Sequence[WeightLayer]
    values: Tensor

    def check(self, measured: Collection[WeightLayer]) -> None:
        """Raise UserError unless it is whole; `measured` are the layers that have this quantity already."""
        what = f"{self.quantity!r} of tensor {self.tensor!r}"
        if self.tensor not in ("weight", "bias", "activation"):
            raise UserError(f"{what}: a tensor is 'weight', 'bias' or 'activation'.")
        if self.values.ndim < 1 or self.values.shape[-1] != len(self.layers):
            raise UserError(f"{what} has values of shape {tuple(self.values.shape)} for {len(self.layers)} layers.")
        twice = [layer.path for layer in self.layers if layer in measured]
        if twice:
            raise UserError(f"{what} is measured twice for {', '.join(twice)}. Choose another name for one of them.")


class StepMeans:
    """Means over an epoch's steps, weighted by their samples, of vectors that stay on the device until `read`."""

    def __init__(self) -> None:
        self._weights: list[int] = []
        self._vectors: list[Tensor] = []

    def add(self, weight: int, vector: Tensor) -> None:
        """Keep a step's vector, of the same shape in all steps of an epoch."""
        self._weights.append(weight)
        self._vectors.append(vector)

    def read(self) -> tuple[Tensor, Tensor] | None:
        """The steps' weights (steps,) and vectors (steps, ...) since the last call, in double precision on the CPU, or
        None where there were none. Forgets them."""
        if not self._vectors:
            return None
        vectors = torch.stack(self._vectors).cpu().double()
        weights = torch.tensor(self._weights, dtype=torch.float64)
        self.__init__()  # type: ignore[misc]
        return weights, vectors


def split_by_tensor(quantity: str, owners: Sequence[tuple[WeightLayer, str]], values: Tensor) -> Iterator[Measured]:
    """`values` (n,) or (K, n) of n tensors, each named by its layer and "weight" or "bias"."""
    for tensor in ("weight", "bias"):
        chosen = [i for i, (_, kind) in enumerate(owners) if kind == tensor]
        if chosen:
            yield Measured(quantity, tensor, [owners[i][0] for i in chosen], values[..., chosen])


def require_positive(what: str, value: int | None) -> None:
    """Raise UserError unless `value` is a whole number, 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"callbacks.{what} is {value!r}; it must be a whole number, at least 1.")
