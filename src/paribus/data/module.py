"""Define data sets in memory: their split by the seed, and batches of each part."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from torch import Tensor

from paribus.data.batches import Batches, CropFlip, make_augmentation
from paribus.data.files import stage_files
from paribus.errors import UserError
from paribus.randomness import make_generator
from paribus.record import N_FOLDS

Part = tuple[Tensor, Tensor]


class InMemory(lightning.LightningDataModule, ABC):
    """A data set whose tensors stay in memory, on the training device.

    A data set of your own is a subclass that sets the attributes and implements `load`, `inputs`, `statistics` and
    `restore`.

    Attributes (set by the class, the constructor, or `load` if they depend on the data):
        task: "classification" (targets: class numbers, int64) or "regression" (targets: floats); targets are (n,).
        in_shape: shape of one input, without the batch axis.
        out_features: number of classes; 1 for regression.
        class_names: names of the classes, for tables.
        augment: augmentation of training batches.
        average_flips: whether outputs for validation and test images are means over each image and its mirror image.
        stores_inputs: whether `load` returns network inputs; False: raw values, which `inputs` converts batch by batch.
        fingerprint: hash of the data as read, set by `load`.
        seed, order_seed, augmentation_seed: seeds of the split, of the order of the batches, and of augmentation.
    """

    task: Literal["classification", "regression"]
    in_shape: tuple[int, ...]
    out_features: int
    class_names: list[str] | None = None
    augment: CropFlip | None = None
    average_flips = False
    stores_inputs = True
    eval_batch_size = 1000

    def __init__(self, batch_size: int, seed: int, train_subset: int | None, train_on_validation: bool):
        super().__init__()
        if batch_size < 1:
            raise UserError(f"data.batch_size is {batch_size}; it must be at least 1.")
        self.batch_size = batch_size
        self.seed = self.order_seed = self.augmentation_seed = seed
        self.train_subset = train_subset
        self.train_on_validation = train_on_validation
        self.train: Part | None = None
        self.val: Part | None = None
        self.test: Part | None = None
        self.fingerprint = ""

    @abstractmethod
    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        """Read the data and return (train, val, None), or with `test` (None, None, test). Set `fingerprint`."""

    @abstractmethod
    def inputs(self, raw: Any) -> Tensor:
        """Convert raw values to network inputs, normalised with the statistics of this data set."""

    @abstractmethod
    def statistics(self) -> dict[str, Any]:
        """Return the plain values that `inputs` needs, for checkpoints."""

    @abstractmethod
    def restore(self, statistics: dict[str, Any]) -> None:
        """Load the statistics of a checkpoint, so that `inputs` works without the data."""

    def choose(self, n: int, val_size: int, test_size: int = 0, order: Tensor | None = None) -> tuple[Tensor, ...]:
        """Split `n` samples at random: return the indices for training, validation and test.

        The split depends on the seed alone. `train_subset` keeps the first samples of the training part, and
        `train_on_validation` appends the validation part to it. `order` (n,) replaces the random order.
        """
        if val_size < 1 or test_size < 0 or val_size + test_size >= n:
            raise UserError(
                f"Of {n} samples, {val_size} for validation and {test_size} for the test leave too few to train on. "
                "Choose other sizes: data.val_size or data.val_fraction."
            )
        if order is None:
            order = torch.randperm(n, generator=make_generator(self.seed, "split"))
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

    def is_available(self) -> bool:
        """Return whether `setup` can read the data as things are, without a download."""
        return True

    def setup(self, stage: str) -> None:
        """Load training and validation for "fit", and the test set only for "test"."""
        if stage == "test":
            if self.test is None:
                self.test = self.load(test=True)[2]
        elif self.train is None:
            self.train, self.val, _ = self.load(test=False)

    @cached_property
    def validation_folds(self) -> Tensor | None:
        """The fold (from 0) of each validation sample, (n,); None with fewer samples than folds.

        Fold sizes differ by at most 1. Folds depend on the seed of the split alone.
        """
        assert self.val is not None, "setup() comes first"
        n = len(self.val[0])
        return torch.randperm(n, generator=make_generator(self.seed, "folds")) % N_FOLDS if n >= N_FOLDS else None

    def train_dataloader(self) -> Batches:
        return self.make_training_batches(lambda: self.trainer.current_epoch if self.trainer else 0)

    def make_training_batches(self, epoch: Callable[[], int]) -> Batches:
        """Return batches of the training part, in random order for the epoch (from 0) that `epoch` returns.

        With trainer.overfit_batches they are the same batches, not augmented, in every epoch.
        """
        assert self.train is not None, "setup() comes first"
        repeated = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        alternating = self.augment is not None and self.augment.flip == "alternating"
        return Batches(
            *self._on_device(self.train),
            self.batch_size,
            generator=None if repeated else lambda: make_generator(self.order_seed, "batches", epoch()),
            augment=self.augment,
            augment_generator=lambda: make_generator(self.augmentation_seed, "batches", epoch()),
            mirrored=(lambda: self.alternate_flips(epoch())) if alternating else None,
            prepare=None if self.stores_inputs else self.inputs,
            rank=self.trainer.global_rank if self.trainer else 0,
            processes=self.trainer.world_size if self.trainer else 1,
        )

    def alternate_flips(self, epoch: int) -> Tensor:
        """Return for each training sample (n,) 1 where it is mirrored in `epoch` (from 0), else 0.

        In the first epoch it is drawn from the seed of augmentation; then it changes with every epoch.
        """
        assert self.train is not None, "setup() comes first"
        first = torch.randint(2, (len(self.train[0]),), generator=make_generator(self.augmentation_seed, "flips"))
        return (first + epoch) % 2

    def val_dataloader(self) -> Batches | list[Batches]:
        """Return batches of the validation part; if it is empty, [], which disables validation in Lightning."""
        if not self.val or not len(self.val[0]):
            return []
        batches = self.make_eval_batches(self.val)
        if self.trainer:
            batches.rank, batches.processes = self.trainer.global_rank, self.trainer.world_size
        return batches

    def test_dataloader(self) -> Batches:
        return self.make_eval_batches(self.test)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return `batch` itself: it was cut out of tensors on the device."""
        return batch

    def get_first_inputs(self, split: Literal["train", "val"], n: int) -> Tensor:
        """Return the first `n` network inputs of a part (all, if it has fewer)."""
        part = getattr(self, split)
        assert part is not None, "setup() comes first"
        first = part[0][:n]
        return first if self.stores_inputs else self.inputs(first)

    def get_probe(self, n: int) -> Tensor | None:
        """Return the first `n` inputs of the validation part; None without one."""
        return self.get_first_inputs("val", n) if self.count("val") else None

    def get_training_probe(self, n: int) -> Part:
        """Return the first `n` samples of the training part, not augmented: inputs and targets."""
        assert self.train is not None, "setup() comes first"
        return self.get_first_inputs("train", n), self.train[1][:n]

    def count(self, split: Literal["train", "val", "test"]) -> int:
        """Count the samples of a part that has been loaded."""
        part = getattr(self, split)
        return len(part[0]) if part else 0

    def make_eval_batches(self, part: Part | None) -> Batches:
        """Return batches of a part in its own order, on the training device if there is one."""
        assert part is not None, "setup() comes first"
        return Batches(
            *self._on_device(part), self.eval_batch_size, prepare=None if self.stores_inputs else self.inputs
        )

    def _on_device(self, part: Part) -> Part:
        if self.trainer is None:
            return part
        device = self.trainer.strategy.root_device
        return part[0].to(device), part[1].to(device)


class Images(InMemory):
    """Images for classification: pixels stay bytes in memory and are normalised batch by batch.

    Args:
        val_size: number of validation images.
        mean, std: per channel, of pixels scaled to 0..1; inputs are (pixel / 255 - mean) / std.
        augment: whether to augment training images, by `make_augmentation` with shift, flip and fill.
        average_flips: that of InMemory.
    """

    task = "classification"
    title: str | None = None  # of the data set; None: the name of its class
    stores_inputs = False
    padding = 0
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
        augment: bool = False,
        shift: int | None = None,
        flip: str = "random",
        fill: str = "zeros",
        average_flips: bool = False,
    ):
        super().__init__(batch_size, seed, train_subset, train_on_validation)
        if not root:
            raise UserError("data.root is empty; name a directory.")
        self.root = root
        self.val_size = val_size
        self.average_flips = average_flips
        self.augment = make_augmentation(augment, shift, flip, fill, self.padding, self.in_shape)
        self.restore({"mean": mean, "std": std})

    def prepare_data(self) -> None:
        """Download what is not available, while other processes wait. Raises UserError with the reason of a failure."""
        if not self.is_available():
            with stage_files(Path(self.root), self.title or type(self).__name__) as temporary:
                if not self.is_available():  # another process may have downloaded it meanwhile
                    self.download(temporary)

    def download(self, temporary: Path) -> None:
        """Download into the directory `temporary`, and move complete files below `root`."""
        raise UserError(f"{type(self).__name__} has no download. Put its files into {self.root}, or set data.root=DIR.")

    @abstractmethod
    def read(self, test: bool) -> Part:
        """Read the official training or test part: images (n, channels, height, width) uint8, labels (n,) int64."""

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        images, labels = self.read(test)
        if test:
            return None, None, (images, labels)
        train, val, _ = self.choose(len(images), self.val_size)
        return (images[train], labels[train]), (images[val], labels[val]), None

    def inputs(self, raw: Any) -> Tensor:
        """Normalise bytes (n, channels, height, width) or (n, height, width); return float32 with four axes."""
        pixels = raw if isinstance(raw, Tensor) else torch.as_tensor(raw)  # a tensor stays on its device
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
