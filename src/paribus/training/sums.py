"""Gather the means of an epoch on the device."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from paribus.record import N_FOLDS


class EpochSums:
    """Gathers batch by batch what makes an epoch's means. Values stay on the device, as they come, until `read`."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._losses: list[Tensor] = []
        self._sums: dict[str, list[Tensor]] = {}
        self.samples = 0  # so far, of all processes

    def add(self, size: int, loss: Tensor, sums: dict[str, Tensor], whole: int | None = None) -> None:
        """Keep a batch of `size` samples: its mean loss, and `sums` over its samples; all scalars, detached.

        Where processes share a batch, `whole` is its size in all of them, and `size` may be 0: then the values are not
        looked at.
        """
        self.samples += size if whole is None else whole
        if not size:
            loss, sums = torch.zeros_like(loss), {name: torch.zeros_like(value) for name, value in sums.items()}
        self._sizes.append(size)
        self._losses.append(loss)
        self.add_sums(sums)

    def add_sums(self, sums: Mapping[str, Tensor]) -> None:
        """Keep sums over any of the samples; without a gradient."""
        for name, value in sums.items():
            self._sums.setdefault(name, []).append(value)

    def read(self, reduce: Callable[[Tensor, str], Tensor] | None = None) -> tuple[dict[str, float], int | None]:
        """Means over all samples since the last call ("loss" and the names of the sums), computed in double precision;
        and the first batch, counted from 0, whose loss is not finite, or None. Forgets what it has read.

        `reduce` makes of this process's tensor that of all processes, element by element: their "sum" or their "min".
        """
        totals, names, first_bad = self._compute_totals()
        if reduce is not None:
            totals, first_bad = reduce(totals, "sum"), reduce(first_bad, "min")
        means = dict(zip(names, (totals[1:] / totals[0]).tolist(), strict=True))
        return means, _to_batch(float(first_bad))

    def read_stack(self) -> list[tuple[dict[str, float], int | None]]:
        """The same for each of K runs, whose values have all come as (K,)."""
        totals, names, first_bad = self._compute_totals()
        means = (totals[1:] / totals[0]).T.tolist()
        return [
            (dict(zip(names, run, strict=True)), _to_batch(bad))
            for run, bad in zip(means, first_bad.tolist(), strict=True)
        ]

    def _compute_totals(self) -> tuple[Tensor, list[str], Tensor]:
        """Samples and totals over them, (1 + names, ...); the names; the first bad batch, or infinity, (...)."""
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        losses = torch.stack(self._losses).cpu().double()
        sums = {"loss": torch.tensordot(sizes, losses, dims=1)}
        sums |= {name: torch.stack(values).cpu().double().sum(0) for name, values in self._sums.items()}
        totals = torch.stack([sizes.sum().expand(losses.shape[1:]), *sums.values()])
        bad = ~torch.isfinite(losses)
        first = torch.where(bad.any(0), bad.to(torch.uint8).argmax(0), math.inf).double()
        self.__init__()  # type: ignore[misc]
        return totals, list(sums), first


def average_by_fold(
    each: Mapping[str, Tensor], folds: Tensor, reduce: Callable[[Tensor, str], Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Average values of each sample, (..., n) by name, over each fold, in double precision.

    Args:
        folds: which fold a sample is in, (..., n), on the CPU.
        reduce: as in EpochSums.read.

    Returns "samples" and the means, (..., N_FOLDS), by column of folds.parquet.
    """
    # added up one by one on the CPU: in an order that is always the same, and what is not finite stays in its fold
    values = torch.stack([torch.ones_like(each["loss"]), *each.values()]).cpu().double()
    totals = values.new_zeros(*values.shape[:-1], N_FOLDS).scatter_add_(-1, folds.expand_as(values), values)
    if reduce is not None:
        totals = reduce(totals, "sum")
    columns = ("samples", *(f"val/{name}" for name in each))
    return dict(zip(columns, [totals[0].numpy(), *(totals[1:] / totals[0]).numpy()], strict=True))


def _to_batch(number: float) -> int | None:
    return int(number) if math.isfinite(number) else None
