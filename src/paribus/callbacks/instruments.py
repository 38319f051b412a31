"""What an instrument is: something that is measured of a network's layers while it trains."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.models.layers import WeightLayer
from paribus.models.learners import Learner

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


@dataclass(frozen=True)
class Histogram:
    """`counts` (k,) of a layer's values between `edges` (k + 1,), with the sum of the values and of their squares, ().

    Of a stack of K runs each has a first axis of K. One that counts nothing is not shown.
    """

    layer: WeightLayer
    tensor: str
    counts: np.ndarray
    edges: np.ndarray
    total: np.ndarray
    total_squares: np.ndarray

    def of_run(self, k: int) -> "Histogram":
        """That of the k-th run of a stack."""
        return Histogram(self.layer, self.tensor, self.counts[k], self.edges[k], self.total[k], self.total_squares[k])


class Instrument:
    """Something that is measured of a network while it trains. A subclass overrides what it needs.

    It belongs to one run, sees the network only through `learner`, draws no random number and changes nothing: with
    and without instruments a run has the same numbers. What is called within an epoch must not wait for the device
    (no .item(), no branch on a tensor's value).

    One Lightning callback, the recorder, carries all instruments: each further callback would cost every step 29
    microseconds on 2 cores (10 empty ones added to an MLP run of 422 steps an epoch).
    """

    learner: Learner
    data: InMemory
    in_stack: ClassVar[Literal["together", "once a run"] | None] = None
    """What becomes of it where many runs are trained as one (hydra/launcher=stacked). "together": one of it steps and
    measures for all, with a first axis of runs in every tensor (learner.lead is 1), also of an epoch's histograms; one
    for each run finishes, with its last histograms. "once a run": there is only that one, and nothing that steps or
    measures. None: its runs are not stacked."""

    def attach(self, learner: Learner, data: InMemory) -> None:
        """Called once, before training, with the network on its device and the data read. In a run that goes on the
        network is the trained one already."""
        self.learner = learner
        self.data = data

    def state_dict(self) -> dict[str, Any]:
        """What has to be known of past epochs to go on with an interrupted run: tensors and plain values. It goes into
        last.ckpt. `learner.initial` has the weights before training in any case."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Called after `attach` in a run that goes on, with what `state_dict` returned."""

    def before_step(self, step: int, samples: int) -> None:
        """Called with each step's gradients in place, neither clipped nor scaled.

        Args:
            step: of this epoch, counted from 0.
            samples: that the gradients are the mean of.
        """

    def after_step(self, step: int) -> None:
        """Called when the optimizer has moved the weights."""

    def measure(self, epoch: int) -> Iterable[Measured]:
        """Called after each epoch, counted from 1, and before training with 0; without gradients."""
        return ()

    def histograms(self, epoch: int, last: bool) -> Iterable[Histogram]:
        """Called after `measure`; and once more at the end of the run, then with `last`."""
        return ()

    def figures(self, epoch: int, last: bool) -> Iterable[tuple[str, "Figure"]]:
        """Figures under their tags. Called before training with epoch 0, and with `last` at the end of the run."""
        return ()

    def finish(self, directory: Path, best: dict[str, Tensor]) -> None:
        """Called at the end of the run, before the last figures.

        Args:
            directory: the run's, for files.
            best: the state of `learner.network` in the best epoch, the last one where nothing was validated.
        """

    def first_not_finite(self, *run: int) -> int | None:
        """The first step of the epoch that has ended (counted from 0) whose values were not finite, if it is theirs to
        say so. A run has diverged by it if the weights are not finite either. Called after `measure`; of a stack with
        the number of the run."""
        return None

    def not_finite_at(self, step: int, *run: int) -> tuple[WeightLayer, str] | None:
        """The layer to blame for that step, and what of it was not finite, "activation" or "gradient"."""
        return None


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


def by_tensor(quantity: str, owners: Sequence[tuple[WeightLayer, str]], values: Tensor) -> Iterator[Measured]:
    """`values` (n,) or (K, n) of n tensors, each named by its layer and "weight" or "bias"."""
    for tensor in ("weight", "bias"):
        chosen = [i for i, (_, kind) in enumerate(owners) if kind == tensor]
        if chosen:
            yield Measured(quantity, tensor, [owners[i][0] for i in chosen], values[..., chosen])


def at_least_one(what: str, value: int | None) -> None:
    """Raise UserError unless `value` is a whole number, 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"callbacks.{what} is {value!r}; it must be a whole number, at least 1.")
