"""Define measured quantities and the means of an epoch's steps."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paribus.errors import UserError
from paribus.models.layers import WeightLayer

SCALAR_NAME = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Measured:
    """The values of a quantity for n layers at the end of an epoch.

    Attributes:
        quantity: name in layers.parquet and TensorBoard; its docstring or the README gives the unit.
        tensor: "weight", "bias" or "activation".
        values: (n,), or (K, n) for a stack of K runs; any floating type and device. NaN and infinity are recorded.
    """

    quantity: str
    tensor: str
    layers: Sequence[WeightLayer]
    values: Tensor

    def check(self, measured: Collection[WeightLayer]) -> None:
        """Raise UserError if tensor or shape is wrong, or a layer is in `measured`: has this quantity already."""
        what = f"{self.quantity!r} of tensor {self.tensor!r}"
        if self.tensor not in ("weight", "bias", "activation"):
            raise UserError(f"{what}: a tensor is 'weight', 'bias' or 'activation'.")
        if self.values.ndim < 1 or self.values.shape[-1] != len(self.layers):
            raise UserError(f"{what} has values of shape {tuple(self.values.shape)} for {len(self.layers)} layers.")
        twice = [layer.path for layer in self.layers if layer in measured]
        if twice:
            raise UserError(f"{what} is measured twice for {', '.join(twice)}. Choose another name for one of them.")


def check_scalar(column: str, value: Tensor, lead: int, taken: Collection[str]) -> None:
    """Raise UserError unless `column` names a free column of metrics.csv, and `value` is (), or (K,) in a stack."""
    if not SCALAR_NAME.fullmatch(column) or column.startswith("val/"):
        raise UserError(
            f"{column!r} names no quantity of the network: write GROUP/NAME in lower case, such as curvature/trace. "
            "val/ is for what is computed on the validation part."
        )
    if value.ndim != lead:
        raise UserError(f"{column} has a value of shape {tuple(value.shape)}; a run has one number an epoch.")
    if column in taken:
        raise UserError(f"{column} is measured twice. Choose another name for one of them.")


class StepMeans:
    """The vectors of an epoch's steps and their weights; vectors stay on the device until `read`."""

    def __init__(self) -> None:
        self._weights: list[int | Tensor] = []
        self._vectors: list[Tensor] = []

    def add(self, weight: int | Tensor, vector: Tensor) -> None:
        """Add a step's vector, whose shape is the same in all steps, with its number of samples.

        In a stack whose runs differ in that number it is (K,).
        """
        self._weights.append(weight)
        self._vectors.append(vector)

    def read(self) -> tuple[Tensor, Tensor] | None:
        """Return and remove weights and vectors (steps, ...), float64 on the CPU; None without steps.

        Weights are (steps,), or (steps, K) in a stack whose runs differ in them.
        """
        if not self._vectors:
            return None
        vectors = torch.stack(self._vectors).cpu().double()
        weights = stack_weights(self._weights)
        self.__init__()  # type: ignore[misc]
        return weights, vectors


def stack_weights(weights: Sequence[int | Tensor]) -> Tensor:
    """Return the weights of n steps or batches, float64 on the CPU: (n,), or (n, K) if one of them is (K,)."""
    if any(isinstance(weight, Tensor) for weight in weights):
        return torch.stack(torch.broadcast_tensors(*(torch.as_tensor(weight).cpu() for weight in weights))).double()
    return torch.tensor(weights, dtype=torch.float64)


def average_steps(weights: Tensor, vectors: Tensor) -> Tensor:
    """Average vectors (steps, ...) by weights (steps,); or vectors (steps, ..., K, n) by weights (steps, K)."""
    if weights.ndim == 1:
        return torch.tensordot(weights, vectors, dims=1) / weights.sum()
    by_run = weights.view(len(weights), *(1,) * (vectors.ndim - 3), -1, 1)
    return (by_run * vectors).sum(0) / by_run.sum(0)


def split_by_tensor(quantity: str, owners: Sequence[tuple[WeightLayer, str]], values: Tensor) -> Iterator[Measured]:
    """Yield `values` (n,) or (K, n) of n tensors by "weight" and "bias"; `owners` has each one's layer and name."""
    for tensor in ("weight", "bias"):
        chosen = [i for i, (_, kind) in enumerate(owners) if kind == tensor]
        if chosen:
            yield Measured(quantity, tensor, [owners[i][0] for i in chosen], values[..., chosen])


def require_positive(what: str, value: int | None) -> None:
    """Raise UserError unless the option callbacks.`what` is a whole number, at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"callbacks.{what} is {value!r}; it must be a whole number, at least 1.")
