"""Accumulate the means of an epoch on the device."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from paribus.instruments.measurement import stack_weights
from paribus.record import N_FOLDS


class EpochSums:
    """The losses and metrics of an epoch's batches. Values stay on the device until `read` computes the means.

    Attributes:
        samples: samples so far, of all ranks; of runs that are trained alone.
        ended: losses of the batches that the last `read` has averaged, (n,) or (n, K), float64 on the CPU; else None.
    """

    def __init__(self, ended: Tensor | None = None) -> None:
        self.ended = ended
        self._sizes: list[int | Tensor] = []
        self._losses: list[Tensor] = []
        self._sums: dict[str, list[Tensor]] = {}
        self.samples = 0

    def add(self, size: int | Tensor, loss: Tensor, sums: dict[str, Tensor], whole: int | None = None) -> None:
        """Add a batch of `size` samples: its mean loss, and `sums` over its samples; all scalars, detached.

        In a stack all of these are (K,), and `size` too where the runs differ in it. If ranks share the batch, `whole`
        is its size over all ranks, and `size` may be 0: the values are then ignored.
        """
        if isinstance(size, int):
            self.samples += size if whole is None else whole
            if not size:
                loss, sums = torch.zeros_like(loss), {name: torch.zeros_like(value) for name, value in sums.items()}
        self._sizes.append(size)
        self._losses.append(loss)
        self.add_sums(sums)

    def add_sums(self, sums: Mapping[str, Tensor]) -> None:
        """Add sums over samples by name, detached: of one batch, or of the whole epoch at once."""
        for name, value in sums.items():
            self._sums.setdefault(name, []).append(value)

    @property
    def batches(self) -> int:
        """The number of batches since the last `read`, of this rank."""
        return len(self._sizes)

    def read_batches(self, reduce: Callable[[Tensor, str], Tensor] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the size of each batch, (batches,), and its mean loss, (batches, ...), in double precision.

        In a stack whose runs differ in sizes, these are (batches, K). `reduce`: as in `read`, which still has all
        values afterwards.
        """
        sizes = stack_weights(self._sizes)
        losses = torch.stack(self._losses).cpu().double() if self._losses else sizes
        if reduce is not None:
            totals = reduce(torch.stack([sizes, sizes * losses]), "sum")
            sizes, losses = totals[0], totals[1] / totals[0]
        return sizes.numpy(), losses.numpy()

    def read(self, reduce: Callable[[Tensor, str], Tensor] | None = None) -> tuple[dict[str, float], int | None]:
        """Compute the means over all samples since the last call, and find the first batch with a non-finite loss.

        Args:
            reduce: reduces a tensor over all ranks, element by element, by "sum" or "min".

        Returns the means in double precision, by "loss" and the names of the sums; and the number of the batch from 0,
        or None. The values are then dropped.
        """
        totals, names, first_bad = self._compute_totals()
        if reduce is not None:
            totals, first_bad = reduce(totals, "sum"), reduce(first_bad, "min")
        means = dict(zip(names, (totals[1:] / totals[0]).tolist(), strict=True))
        return means, _to_batch(float(first_bad))

    def read_stack(self) -> list[tuple[dict[str, float], int | None]]:
        """Read the same as `read` for each of K runs, all of whose values are (K,)."""
        totals, names, first_bad = self._compute_totals()
        means = (totals[1:] / totals[0]).T.tolist()
        return [
            (dict(zip(names, run, strict=True)), _to_batch(bad))
            for run, bad in zip(means, first_bad.tolist(), strict=True)
        ]

    def _compute_totals(self) -> tuple[Tensor, list[str], Tensor]:
        """Compute number of samples and totals, (1 + names, ...); names; first non-finite batch or infinity, (...)."""
        sizes = stack_weights(self._sizes)
        losses = torch.stack(self._losses).cpu().double()
        sums = {"loss": torch.tensordot(sizes, losses, dims=1) if sizes.ndim == 1 else (sizes * losses).sum(0)}
        sums |= {name: torch.stack(values).cpu().double().sum(0) for name, values in self._sums.items()}
        totals = torch.stack([sizes.sum(0).expand(losses.shape[1:]), *sums.values()])
        bad = ~torch.isfinite(losses)
        first = torch.where(bad.any(0), bad.to(torch.uint8).argmax(0), math.inf).double()
        self.__init__(losses)  # type: ignore[misc]
        return totals, list(sums), first


def average_by_fold(
    samples: Mapping[str, Tensor], folds: Tensor, reduce: Callable[[Tensor, str], Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Average values of samples, (..., n) by name, over each fold, in double precision.

    Args:
        samples: values of each sample by name, at least one.
        folds: the fold of each sample, (..., n), on the CPU; N_FOLDS for what is no sample.
        reduce: as in EpochSums.read.

    Returns "samples" and the means, (..., N_FOLDS), by column of folds.parquet.
    """
    # Sums one by one on the CPU have a fixed order, and a value that is not finite stays in its fold.
    values = torch.stack([torch.ones_like(next(iter(samples.values()))), *samples.values()]).cpu().double()
    totals = values.new_zeros(*values.shape[:-1], N_FOLDS + 1).scatter_add_(-1, folds.expand_as(values), values)
    totals = (totals if reduce is None else reduce(totals, "sum"))[..., :N_FOLDS]
    columns = ("samples", *(f"val/{name}" for name in samples))
    return dict(zip(columns, [totals[0].numpy(), *(totals[1:] / totals[0]).numpy()], strict=True))


def _to_batch(number: float) -> int | None:
    return int(number) if math.isfinite(number) else None
