"""What every data set is: parts that live in memory, drawn from the seed, and batches of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import lightning
import torch
from torch import Tensor

from paribus.data.batches import Batches, CropFlip
from paribus.errors import UserError
from paribus.randomness import generator
from paribus.record import N_FOLDS

Part = tuple[Tensor, Tensor]


class InMemory(lightning.LightningDataModule, ABC):
    """A data set whose tensors live in memory, on the device that trains.

    A data set of your own derives from this, says what it is in the four attributes, and reads its parts.

    Attributes (set in the constructor, or in `load` where they follow from the data):
        task: "classification" (targets: class numbers, int64) or "regression" (targets: floats), each of shape (n,).
        in_shape: the shape of one input, without the batch.
        out_features: the number of classes; 1 for regression.
        class_names: the classes' names, for tables.
    """

    task: Literal["classification", "regression"]
    in_shape: tuple[int, ...]
    out_features: int
    class_names: list[str] | None = None
    eval_batch_size = 1000

    def __init__(self, batch_size: int, seed: int, train_subset: int | None, train_on_validation: bool):
        super().__init__()
        if batch_size < 1:
            raise UserError(f"data.batch_size is {batch_size}; it must be at least 1.")
        self.batch_size = batch_size
        self.seed = seed
        self.train_subset = train_subset
        self.train_on_validation = train_on_validation
        self.train: Part | None = None
        self.val: Part | None = None
        self.test: Part | None = None
        self.fingerprint = ""  # a hash of the data as read, once `load` has run

    @abstractmethod
    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        """Read from disk and return (train, val, None), or with `test` (None, None, test). Sets `fingerprint`."""

    @abstractmethod
    def inputs(self, raw: Any) -> Tensor:
        """What the network sees of raw inputs: normalised with the statistics of this data set."""

    @abstractmethod
    def statistics(self) -> dict[str, Any]:
        """What `inputs` needs, as plain values: kept in checkpoints."""

    @abstractmethod
    def restore(self, statistics: dict[str, Any]) -> None:
        """Take the statistics of a checkpoint, so that `inputs` works without the data."""

    augment: CropFlip | None = None
    prepared = True  # whether the tensors of the parts have been through `inputs` already

    def choose(self, n: int, val_size: int, test_size: int = 0, order: Tensor | None = None) -> tuple[Tensor, ...]:
        """Draw which of `n` samples train, validate and test: three tensors of indices.

        The split depends on the seed alone: not on `train_subset`, which keeps the first of the training part, nor on
        `train_on_validation`, which adds the validation part to it. `order` (n,) stands for the random order.
        """
        if val_size < 1 or test_size < 0 or val_size + test_size >= n:
            raise UserError(
                f"Of {n} samples, {val_size} for validation and {test_size} for the test leave too few. "
                "Choose other sizes in data."
            )
        if order is None:
            order = torch.randperm(n, generator=generator(self.seed, "split"))
        val, test, train = order[:val_size], order[val_size : val_size + test_size], order[val_size + test_size :]
        if self.train_subset is not None:
            if not 1 <= self.train_subset <= len(train):
                raise UserError(
                    f"data.train_subset is {self.train_subset}; the training part has {len(train)} samples."
                )
            train = train[: self.train_subset]
        if self.train_on_validation:
            train, val = torch.cat([train, val]), val[:0]
        return train, val, test

    def setup(self, stage: str) -> None:
        """Read the parts that `stage` needs: training and validation for "fit", the test set for "test" alone."""
        if stage == "test":
            if self.test is None:
                self.test = self.load(test=True)[2]
        elif self.train is None:
            self.train, self.val, _ = self.load(test=False)

    @cached_property
    def validation_folds(self) -> Tensor | None:
        """Which fold each validation sample is in, (n,), counted from 0; None where there are fewer samples than folds.

        Sizes of folds differ by one at most. They follow from the seed of the split alone.
        """
        assert self.val is not None, "setup() comes first"
        n = len(self.val[0])
        return torch.randperm(n, generator=generator(self.seed, "folds")) % N_FOLDS if n >= N_FOLDS else None

    def train_dataloader(self) -> Batches:
        return self.training_batches(lambda: self.trainer.current_epoch if self.trainer else 0)

    def training_batches(self, epoch: Callable[[], int]) -> Batches:
        """Batches of the training part, in an order drawn for the epoch that `epoch` gives, counted from 0."""
        assert self.train is not None, "setup() comes first"
        return Batches(
            *self._on_device(self.train),
            self.batch_size,
            generator=lambda: generator(self.seed, "batches", epoch()),
            augment=self.augment,
            prepare=None if self.prepared else self.inputs,
            rank=self.trainer.global_rank if self.trainer else 0,
            processes=self.trainer.world_size if self.trainer else 1,
        )

    def val_dataloader(self) -> Batches | list[Batches]:
        """Batches of the validation part, or an empty list, Lightning's word for no validation, where it is empty."""
        if not self.val or not len(self.val[0]):
            return []
        batches = self.batches_in_order(self.val)
        if self.trainer:
            batches.rank, batches.processes = self.trainer.global_rank, self.trainer.world_size
        return batches

    def test_dataloader(self) -> Batches:
        return self.batches_in_order(self.test)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing to do: batches are cut out of tensors that are on the device already."""
        return batch

    def first_inputs(self, split: Literal["train", "val"], n: int) -> Tensor:
        """The first `n` inputs of a part (all, where it has fewer), as the network sees them."""
        part = getattr(self, split)
        assert part is not None, "setup() comes first"
        first = part[0][:n]
        return first if self.prepared else self.inputs(first)

    def batches_in_order(self, part: Part | None) -> Batches:
        """Batches of a part for evaluation, in its own order, on the device that trains if there is one."""
        assert part is not None, "setup() comes first"
        return Batches(*self._on_device(part), self.eval_batch_size, prepare=None if self.prepared else self.inputs)

    def _on_device(self, part: Part) -> Part:
        if self.trainer is None:
            return part
        device = self.trainer.strategy.root_device
        return part[0].to(device), part[1].to(device)


class Images(InMemory):
    """A set of images for classification: pixels kept as bytes, normalised batch by batch.

    Args:
        mean, std: of each channel, for pixels scaled to 0..1; inputs are (pixel / 255 - mean) / std.
    """

    task = "classification"
    prepared = False
    _scale: Tensor
    _shift: Tensor

    def __init__(
        self,
        root: str,
        batch_size: int,
        val_size: int,
        train_subset: int | None,
        train_on_validation: bool,
        mean: list[float],
        std: list[float],
        seed: int,
    ):
        super().__init__(batch_size, seed, train_subset, train_on_validation)
        if not root:
            raise UserError("data.root is empty; name a directory.")
        self.root = root
        self.val_size = val_size
        self.restore({"mean": mean, "std": std})

    @abstractmethod
    def read(self, test: bool) -> Part:
        """All images (n, channels, height, width) uint8 and labels (n,) int64 of the official training or test part."""

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        images, labels = self.read(test)
        if test:
            return None, None, (images, labels)
        train, val, _ = self.choose(len(images), self.val_size)
        return (images[train], labels[train]), (images[val], labels[val]), None

    def inputs(self, raw: Any) -> Tensor:
        """Normalised float32 (n, channels, height, width) of bytes 0..255 in that shape (or (n, height, width))."""
        pixels = torch.as_tensor(raw)
        if pixels.dtype != torch.uint8:
            raise UserError(f"Images are bytes from 0 to 255 (uint8), not {pixels.dtype}.")
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(1)
        if pixels.shape[1:] != self.in_shape:
            raise UserError(f"Images of shape {tuple(pixels.shape[1:])} given; the network takes {self.in_shape}.")
        if self._scale.device != pixels.device:
            self._scale, self._shift = self._scale.to(pixels.device), self._shift.to(pixels.device)
        return pixels.float().mul_(self._scale).add_(self._shift)

    def statistics(self) -> dict[str, Any]:
        return {"mean": self._mean, "std": self._std}

    def restore(self, statistics: dict[str, Any]) -> None:
        self._mean = [float(m) for m in statistics["mean"]]
        self._std = [float(s) for s in statistics["std"]]
        if len(self._mean) != self.in_shape[0] or len(self._std) != self.in_shape[0]:
            raise UserError(
                f"data.mean and data.std need a value for each of the {self.in_shape[0]} channels; "
                f"given {len(self._mean)} and {len(self._std)}."
            )
        if not all(0 < std < math.inf for std in self._std):
            raise UserError(f"data.std is {self._std}; every value must be above 0.")
        mean, std = torch.tensor(self._mean), torch.tensor(self._std)
        self._scale = (1 / (255 * std)).view(-1, 1, 1)
        self._shift = (-mean / std).view(-1, 1, 1)
