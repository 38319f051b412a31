"""Count the samples of each run where runs of a stack have different numbers of them: the shorter are padded."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paribus.training.losses import Loss


class Sizes:
    """The numbers of samples that K runs have in a batch or a part, which take the first places of n.

    Attributes:
        counts: the numbers, (K,) on the CPU; most: n, the largest of them.
        real: which places are samples, (K, n) on the device; None: all.
        weight: what a mean over the samples weighs: `most` if all runs have as many, else `counts` on the device.
    """

    def __init__(self, counts: Tensor, device: torch.device):
        self.counts = counts
        self.most = int(counts.max())
        equal = bool((counts == self.most).all())
        self.real = None if equal else (torch.arange(self.most) < counts.unsqueeze(1)).to(device)
        self.weight = self.most if equal else counts.to(device)
        self._device = device

    def cut(self, start: int, length: int) -> "Sizes":
        """Return those of the batch of `length` places at most that begins at place `start`."""
        return Sizes((self.counts - start).clamp(0, length), self._device)

    def sum(self, values: Tensor) -> Tensor:
        """Sum values (K, n) over the samples of each run, (K,)."""
        return (values if self.real is None else values.masked_fill(~self.real, 0)).sum(1)

    def average(self, loss: Loss, losses: Tensor, targets: Tensor) -> Tensor:
        """Average losses of samples, (K, n) or (K, n, ...), as the loss of a batch does; return (K,)."""
        if self.real is None:
            return loss.average(losses.flatten(1), targets)
        real = self.real.view(*self.real.shape, *(1,) * (losses.ndim - 2)).expand_as(losses)
        return loss.average(losses.flatten(1), targets, real.flatten(1))


def count_samples(parts: Sequence[Tensor]) -> Sizes:
    """Return the sizes of the parts of K runs, each (samples, ...), on their device."""
    return Sizes(torch.tensor([len(part) for part in parts]), parts[0].device)


def stack_padded(parts: Sequence[Tensor], start: int = 0, length: int | None = None) -> Tensor:
    """Stack parts (samples, ...) of K runs along a first axis: at most `length` places from `start` on.

    A part's last sample stands in places that it has no sample for: a loss may not exist for made-up values.
    """
    most = max(map(len, parts))
    end = most if length is None else min(most, start + length)
    return torch.stack([part[start:end] if len(part) >= end else _repeat_last(part, start, end) for part in parts])


def _repeat_last(part: Tensor, start: int, end: int) -> Tensor:
    return part[torch.arange(start, end, device=part.device).clamp(max=len(part) - 1)]
