"""Cut batches out of tensors in memory."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class CropFlip:
    """Crop zero-padded images at random and flip them horizontally at random, each image by its own draw.

    An augmented image is the original shifted by up to `padding` pixels each way, and mirrored with probability 1/2.
    """

    def __init__(self, padding: int):
        self.padding = padding

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the augmentation of `n` images: an integer tensor (n, 3) of (first row, first column, mirrored)."""
        shift = torch.randint(2 * self.padding + 1, (n, 2), generator=generator)
        mirror = torch.randint(2, (n, 1), generator=generator)
        return torch.cat([shift, mirror], dim=1)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Augment images (n, channels, height, width) by the draws `drawn` (n, 3); shape and type stay."""
        n, channels, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        top, left, mirror = (column.view(n, 1) for column in drawn.unbind(1))
        rows = top + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        columns = left + torch.where(mirror.bool(), width - 1 - columns, columns)
        image = torch.arange(n, device=images.device).view(n, 1, 1, 1)
        channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
        return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def select_share(n: int, rank: int, processes: int) -> range:
    """Return the samples of a batch of `n` that process `rank` gets. Sizes differ by at most 1 and may be 0."""
    first, last = (-(-n * r // processes) for r in (rank, rank + 1))
    return range(first, last)


class Batches:
    """Iterate over an epoch of (inputs, targets), cut out of two tensors; the last batch may be smaller.

    When several processes share each batch, items are (inputs, targets, own, whole): this process's samples, how many
    of them count, and the size of the whole batch. A process with an empty share gets one sample that does not count,
    because every process must take part in the step.

    Args:
        inputs, targets: tensors with samples along the first axis; batches are on their device.
        batch_size: samples per batch, over all processes.
        generator: factory, called at the start of an epoch, of the generator for its order. None keeps the samples in
            order, without augmentation.
        augment: augmentation of a batch of inputs.
        augment_generator: the same for the draws of the augmentation, which follow those of an order of its own. So
            they do not depend on `generator`. None: they follow those of the order.
        prepare: function from raw inputs (pixels, say) to network inputs.
        rank, processes: this process's number, and how many share each batch. All draw the same order.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        generator: Callable[[], torch.Generator] | None = None,
        augment: CropFlip | None = None,
        augment_generator: Callable[[], torch.Generator] | None = None,
        prepare: Callable[[Tensor], Tensor] | None = None,
        rank: int = 0,
        processes: int = 1,
    ):
        self.inputs = inputs
        self.targets = targets
        self.batch_size = batch_size
        self.generator = generator
        self.augment = augment
        self.augment_generator = augment_generator
        self.prepare = prepare
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def arrange_epoch(self, into: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Start an epoch: return its inputs and targets in order, and its augmentation draws (n, 3) or None.

        `into`: two tensors to write inputs and targets into, in place of new ones.
        """
        if self.generator is None:
            if into is None:
                return self.inputs, self.targets, None
            return into[0].copy_(self.inputs), into[1].copy_(self.targets), None
        generator = self.generator()
        order = torch.randperm(len(self.inputs), generator=generator).to(self.inputs.device)
        drawn = None
        if self.augment is not None:
            if self.augment_generator is not None:
                generator = self.augment_generator()
                torch.randperm(len(self.inputs), generator=generator)  # the place of the draws when all seeds agree
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
        inputs, targets, drawn = self.arrange_epoch()  # one gather per epoch: batches are views of it
        for start in range(0, len(inputs), self.batch_size):
            chosen, counted = slice(start, start + self.batch_size), tuple[int, ...]()
            if self.processes > 1:
                chosen, counted = self._slice_share(start)
            batch = inputs[chosen]
            if self.augment is not None and drawn is not None:
                batch = self.augment(batch, drawn[chosen])
            yield (batch if self.prepare is None else self.prepare(batch)), targets[chosen], *counted

    def _slice_share(self, start: int) -> tuple[slice, tuple[int, int]]:
        """Return this process's samples of the batch that starts at sample `start`, and (own, whole)."""
        whole = min(self.batch_size, len(self.inputs) - start)
        own = select_share(whole, self.rank, self.processes)
        first = start + (own.start if own else 0)
        return slice(first, first + max(len(own), 1)), (len(own), whole)
