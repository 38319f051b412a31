"""Batches of tensors that live in memory, made by indexing."""

import math
from collections.abc import Callable, Iterator

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


class Batches:
    """An iterable of (inputs, targets) over two tensors of equal length, for an epoch; the last batch may be smaller.

    Args:
        inputs, targets: tensors whose first axis counts the samples; batches come out on their device.
        batch_size: samples in a batch.
        generator: called as an epoch begins, gives the generator that its order and augmentation are drawn from.
            None: always in order.
        augment: changes a batch of inputs as drawn for each of its samples.
        prepare: makes of raw inputs (pixels, say) what the network sees.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        generator: Callable[[], torch.Generator] | None = None,
        augment: CropFlip | None = None,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ):
        self.inputs = inputs
        self.targets = targets
        self.batch_size = batch_size
        self.generator = generator
        self.augment = augment
        self.prepare = prepare

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets, drawn = self.inputs, self.targets, None
        if self.generator is not None:
            generator = self.generator()
            order = torch.randperm(len(inputs), generator=generator).to(inputs.device)
            if self.augment is not None:
                drawn = self.augment.draw(len(inputs), generator).to(inputs.device)
            inputs, targets = inputs[order], targets[order]  # once an epoch; a batch is a view of it
        for start in range(0, len(inputs), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            batch = inputs[chosen]
            if self.augment is not None and drawn is not None:
                batch = self.augment(batch, drawn[chosen])
            yield (batch if self.prepare is None else self.prepare(batch)), targets[chosen]
