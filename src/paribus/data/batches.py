"""Cut batches out of tensors in memory."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from paribus.errors import UserError, unknown_name

FLIPS = ("random", "alternating", "none")
FILLS = ("zeros", "reflect")


class CropFlip:
    """Shift images at random, and mirror them, each image by its own draw.

    Args:
        padding: most pixels by which an image is shifted up, down, left or right; less than its height and width.
        flip: "random": an image is mirrored with probability 1/2. "alternating": in every second epoch (Jordan, 2024,
            arXiv:2404.00498), which Batches knows. "none": never.
        fill: what a shift uncovers: "zeros", or "reflect", the image reflected at its outermost pixels.

    Raises UserError for another `flip` or `fill`.
    """

    def __init__(self, padding: int, flip: str = "random", fill: str = "zeros"):
        if flip not in FLIPS:
            raise unknown_name(flip, "data.flip", FLIPS)
        if fill not in FILLS:
            raise unknown_name(fill, "data.fill", FILLS)
        self.padding = padding
        self.flip = flip
        self.fill = fill

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the augmentation of `n` images: an integer tensor (n, 3) of (first row, first column, mirrored).

        The numbers drawn are the same for every `flip`, so that the shifts are, too.
        """
        shift = torch.randint(2 * self.padding + 1, (n, 2), generator=generator)
        mirror = torch.randint(2, (n, 1), generator=generator)
        return torch.cat([shift, mirror if self.flip == "random" else torch.zeros_like(mirror)], dim=1)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Augment images (n, channels, height, width) by the draws `drawn` (n, 3); shape and type stay."""
        n, channels, height, width = images.shape
        top, left, mirror = (column.view(n, 1) for column in drawn.unbind(1))
        rows = top + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        columns = left + torch.where(mirror.bool(), width - 1 - columns, columns)
        image = torch.arange(n, device=images.device).view(n, 1, 1, 1)
        channel = torch.arange(channels, device=images.device).view(1, channels, 1, 1)
        if self.fill == "reflect":
            padded, rows, columns = images, self._reflect(rows, height), self._reflect(columns, width)
        else:
            padded = F.pad(images, [self.padding] * 4)
        return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]

    def _reflect(self, padded: Tensor, size: int) -> Tensor:
        """Return the pixels of an axis of `size` that stand at positions of the padded axis."""
        return size - 1 - (size - 1 - (padded - self.padding).abs()).abs()


def make_augmentation(
    augment: bool, shift: int | None, flip: str, fill: str, padding: int, in_shape: tuple[int, ...]
) -> CropFlip | None:
    """Make the augmentation of images of `in_shape` (channels, height, width); None without one.

    `shift` is the most pixels of a shift; None: `padding`. `flip` and `fill` are those of CropFlip.

    Raises UserError where a shift is as large as an image, and where one of them is set, but `augment` is not.
    """
    if not augment:
        if (shift, flip, fill) != (None, "random", "zeros"):
            raise UserError(
                f"data.shift is {'null' if shift is None else shift}, data.flip is {flip} and data.fill is {fill}, but "
                "training images are not augmented. Set data.augment=true, or leave these three out."
            )
        return None
    augmentation = CropFlip(padding if shift is None else shift, flip, fill)
    most = min(in_shape[1:]) - 1
    if augmentation.padding > most and (shift is not None or fill == "reflect"):
        raise UserError(
            f"data.shift is {augmentation.padding}; images of {in_shape[1]} x {in_shape[2]} pixels are shifted by up "
            f"to {most}."
        )
    return augmentation


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
        mirrored: function, called at the start of an epoch, that returns for each sample (n,) whether it is mirrored in
            it, in place of a draw. None: as `augment` draws.
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
        mirrored: Callable[[], Tensor] | None = None,
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
        self.mirrored = mirrored
        self.prepare = prepare
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(len(self.inputs) / self.batch_size)

    def draw_epoch(self) -> tuple[Tensor, Tensor | None]:
        """Start an epoch in random order: return the order (n,), and the draws of the augmentation (n, 3) or None."""
        assert self.generator is not None
        generator = self.generator()
        order = torch.randperm(len(self.inputs), generator=generator)
        drawn = None
        if self.augment is not None:
            if self.augment_generator is not None:
                generator = self.augment_generator()
                torch.randperm(len(self.inputs), generator=generator)  # the place of the draws when all seeds agree
            drawn = self.augment.draw(len(self.inputs), generator)
            if self.mirrored is not None:
                drawn[:, 2] = self.mirrored()[order]
            drawn = drawn.to(self.inputs.device)
        return order.to(self.inputs.device), drawn

    def arrange_epoch(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Start an epoch: return its inputs and targets in order, and its augmentation draws (n, 3) or None."""
        if self.generator is None:
            return self.inputs, self.targets, None
        order, drawn = self.draw_epoch()
        return self.inputs[order], self.targets[order], drawn

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
