"""Batches of tensors that live in memory, made by indexing."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class CropFlip:
    """Random crop after zero-padding, and random horizontal flip, drawn for each image.

    A new image shows the old one shifted by up to `padding` pixels each way, mirrored with probability 1/2.
    """

    def __init__(self, padding: int):
        self.padding = padding

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """What to do with `n` images: rows of (first row, first column, mirrored), shape (n, 3), whole numbers."""
        shift = torch.randint(2 * self.padding + 1, (n, 2), generator=generator)
        mirror = torch.randint(2, (n, 1), generator=generator)
        return torch.cat([shift, mirror], dim=1)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Images (n, channels, height, width), augmented as `drawn` (n, 3) says; same shape and type."""
        n, channels, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        top, left, mirror = (column.view(n, 1) for column in drawn.unbind(1))
        rows = top + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        columns = left + torch.where(mirror.bool(), width - 1 - columns, columns)
        image = torch.arange(n, device=images.device).view(n, 1, 1, 1)
        channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
        return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def share(n: int, rank: int, processes: int) -> range:
    """Which samples of a batch of `n` are those of process `rank`: shares differ by one at most, may be empty."""
    first, last = (-(-n * r // processes) for r in (rank, rank + 1))
    return range(first, last)


class Batches:
    """An iterable of (inputs, targets) over two tensors of equal length, for an epoch; the last batch may be smaller.

    Where several processes share each batch, of (inputs, targets, own, whole): the samples of this process, how many
    of them count, and how many the batch has in all processes. A process whose share is empty gets one sample that does
    not count, since it has to take part in the step.

    Args:
        inputs, targets: tensors whose first axis counts the samples; batches come out on their device.
        batch_size: samples in a batch.
        generator: called as an epoch begins, gives the generator that its order and augmentation are drawn from.
            None: always in order.
        augment: changes a batch of inputs as drawn for each of its samples.
        prepare: makes of raw inputs (pixels, say) what the network sees.
        rank, processes: this process among those that share each batch. All of them draw the same order.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        generator: Callable[[], torch.Generator] | None = None,
        augment: CropFlip | None = None,
        prepare: Callable[[Tensor], Tensor] | None = None,
        rank: int = 0,
        processes: int = 1,
    ):
        self.inputs = inputs
        self.targets = targets
        self.batch_size = batch_size
        self.generator = generator
        self.augment = augment
        self.prepare = prepare
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def ordered(self, into: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs and targets in the order of an epoch that begins now, and what its augmentation is to do; `into`: two
        tensors that take the first two."""
        if self.generator is None:
            if into is None:
                return self.inputs, self.targets, None
            return into[0].copy_(self.inputs), into[1].copy_(self.targets), None
        generator = self.generator()
        order = torch.randperm(len(self.inputs), generator=generator).to(self.inputs.device)
        drawn = None
        if self.augment is not None:
            drawn = self.augment.draw(len(self.inputs), generator).to(self.inputs.device)
        if into is None:
            return self.inputs[order], self.targets[order], drawn
        inputs, targets = into
        return (
            torch.index_select(self.inputs, 0, order, out=inputs),
            torch.index_select(self.targets, 0, order, out=targets),
            drawn,
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        inputs, targets, drawn = self.ordered()  # once an epoch; a batch is a view of it
        for start in range(0, len(inputs), self.batch_size):
            chosen, counted = slice(start, start + self.batch_size), tuple[int, ...]()
            if self.processes > 1:
                chosen, counted = self._share(start)
            batch = inputs[chosen]
            if self.augment is not None and drawn is not None:
                batch = self.augment(batch, drawn[chosen])
            yield (batch if self.prepare is None else self.prepare(batch)), targets[chosen], *counted

    def _share(self, start: int) -> tuple[slice, tuple[int, int]]:
        """Of the batch that begins at sample `start`: the samples of this process, and (own, whole)."""
        whole = min(self.batch_size, len(self.inputs) - start)
        own = share(whole, self.rank, self.processes)
        first = start + (own.start if own else 0)
        return slice(first, first + max(len(own), 1)), (len(own), whole)
