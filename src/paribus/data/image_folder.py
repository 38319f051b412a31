"""Read a folder of images: a folder for each class, with or without folders for the parts above them."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paribus.data import files
from paribus.data.module import Images, Part
from paribus.errors import UserError
from paribus.paths import parse_path
from paribus.randomness import make_generator

log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
Listed = tuple[tuple[str, int, int], ...]  # path, size and time of change of each file


class ImageFolder(Images):
    """Images in path/CLASS/*, split at random; or in path/train/CLASS/*, path/test/CLASS/* and maybe path/val/CLASS/*.

    The shorter side of an image is scaled to `size` pixels, and the middle of the longer one is kept.

    Args:
        size: rows and columns of an image in memory.
        grey: whether images become grey, with one channel instead of three.
        val_fraction: of the images in path/train, or of all images where there is no such folder.
        test_fraction: of all images where there is no folder path/train.
        mean, std: per channel, of pixels scaled to 0..1; None: those of all images that are not for the test.
        augment, shift, flip, fill, average_flips: those of Images; a shift of None is an eighth of `size`.
    """

    def __init__(
        self,
        path: str | None,
        size: int,
        grey: bool,
        batch_size: int,
        val_fraction: float,
        test_fraction: float,
        train_subset: int | None,
        train_on_validation: bool,
        augment: bool,
        mean: list[float] | None,
        std: list[float] | None,
        seed: int,
        shift: int | None = None,
        flip: str = "random",
        fill: str = "zeros",
        average_flips: bool = False,
    ):
        if path is None:
            raise UserError("data.path is null; name a folder of images with data.path=DIR.")
        if (mean is None) != (std is None):
            raise UserError("data.mean and data.std are given together, or not at all.")
        self.in_shape = (1 if grey else 3, size, size)
        self.padding = max(1, size // 8)
        self._computed = mean is None
        channels = self.in_shape[0]
        super().__init__(
            path, batch_size, 0, train_subset, train_on_validation, mean or [0.0] * channels, std or [1.0] * channels,
            seed, augment, shift, flip, fill, average_flips,
        )  # fmt: skip
        self.path = parse_path(path, "data.path")
        self.val_fraction = val_fraction
        self.test_fraction = test_fraction

    def is_available(self) -> bool:
        """As in InMemory. Raises UserError where the folder is not there: it cannot be downloaded."""
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a directory. Name a folder of images with data.path=DIR.")
        return True

    def setup(self, stage: str) -> None:
        if stage == "test" and self.class_names is None:
            super().setup("fit")  # test images are normalised by the others
        super().setup(stage)

    def read(self, test: bool) -> Part:
        """Read the images of path/test, or those of the other parts; without such folders all or none."""
        parts = self._read_parts([part for part in PARTS if (part == "test") == test])
        images = [images for images, _ in parts.values()] or [torch.empty(0, *self.in_shape, dtype=torch.uint8)]
        labels = [labels for _, labels in parts.values()] or [torch.empty(0, dtype=torch.int64)]
        return torch.cat(images), torch.cat(labels)

    def load(self, test: bool) -> tuple[Part | None, Part | None, Part | None]:
        whole = not (self.path / "train").is_dir()
        parts = self._read_parts(["test"] if test and not whole else ["train", "val"])
        if not whole and test:
            return None, None, parts.get("test")
        images, labels = (torch.cat(tensors) for tensors in zip(*parts.values(), strict=True))
        n, first = len(images), len(parts["train"][0])
        sizes, order = (n - first, 0), None
        if "val" in parts:
            order = torch.randperm(first, generator=make_generator(self.seed, "split"))
            order = torch.cat([torch.arange(first, n), order])
        else:
            sizes = round(n * self.val_fraction), round(n * self.test_fraction) if whole else 0
        train, val, tested = self.choose(n, *sizes, order)
        if test:
            return None, None, (images[tested], labels[tested])
        if self._computed:
            self.restore({**self.statistics(), **compute_statistics(images[np.setdiff1d(np.arange(n), tested)])})
        return (images[train], labels[train]), (images[val], labels[val]), None

    def _read_parts(self, wanted: Sequence[str]) -> dict[str, Part]:
        """Read the wanted parts; all images are "train" where the folder is not divided."""
        self.is_available()
        divided = (self.path / "train").is_dir()
        if not divided and "train" not in wanted:
            return {}
        folders = {p: self.path / p for p in wanted if (self.path / p).is_dir()} if divided else {"train": self.path}
        classes = list_folders(self.path / "train" if divided else self.path)
        if len(classes) < 2:
            raise UserError(f"{folders.get('train', self.path)} needs a folder of images for each of two or more "
                            f"classes; it has {', '.join(classes) or 'none'}.")  # fmt: skip
        self._restore_classes(classes)
        parts = {}
        for part, folder in folders.items():
            parts[part] = self._read_folder(folder, classes)
        self.fingerprint = files.compute_digest("".join(
            files.compute_digest(tensor.numpy().tobytes()) for pair in parts.values() for tensor in pair
        ).encode() + repr(classes).encode())  # fmt: skip
        return parts

    def _read_folder(self, folder: Path, classes: Sequence[str]) -> Part:
        """Read all images below the folders of the classes."""
        if list_folders(folder) != list(classes):
            raise UserError(f"{folder} has the classes {', '.join(list_folders(folder))}, but the training part has "
                            f"{', '.join(classes)}.")  # fmt: skip
        found = [list_images(folder / name) for name in classes]
        empty = [name for name, images in zip(classes, found, strict=True) if not images]
        if empty:
            raise UserError(f"{folder / empty[0]} has no images. Remove the folder, or put images into it.")
        listed = tuple(file for images in found for file in images)
        files.require_memory(2 * len(listed) * int(np.prod(self.in_shape)), f"{folder} with {len(listed):,} images")
        labels = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor([len(images) for images in found]))
        return read_images(listed, self.in_shape[1], self.in_shape[0] == 1), labels

    def _restore_classes(self, names: Sequence[str]) -> None:
        self.class_names, self.out_features = list(names), len(names)

    def statistics(self) -> dict[str, Any]:
        return {**super().statistics(), "classes": self.class_names}

    def restore(self, statistics: dict[str, Any]) -> None:
        super().restore(statistics)
        if statistics.get("classes"):
            self._restore_classes(statistics["classes"])


def list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, without hidden ones."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_images(folder: Path) -> Listed:
    """List the images below a folder, by their names' ends; say what else is there."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    others = [path.name for path in paths if path.suffix.lower() not in (*IMG_EXTENSIONS, ".gif")]
    if others:
        log.warning("%s: left out, as no images (%d): %s", folder, len(others), ", ".join(others[:3]))
    images = [path for path in paths if path.suffix.lower() in (*IMG_EXTENSIONS, ".gif")]
    return tuple((str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in images)


@lru_cache(maxsize=2)  # the runs of a study read the same images
def read_images(listed: Listed, size: int, grey: bool) -> Tensor:
    """Read images as bytes (n, channels, size, size)."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.stack(list(pool.map(lambda file: read_image(Path(file[0]), size, grey), listed)))


def read_image(path: Path, size: int, grey: bool) -> Tensor:
    """Read an image as bytes (channels, size, size). Raises UserError naming a file that cannot be read."""
    from PIL import Image
    from torchvision.transforms.functional import center_crop, pil_to_tensor, resize

    try:
        with Image.open(path) as image:
            converted = image.convert("L" if grey else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}). Remove or replace it.") from None
    return pil_to_tensor(center_crop(resize(converted, [size]), [size, size]))


def compute_statistics(images: Tensor) -> dict[str, list[float]]:
    """Return mean and standard deviation of each channel, of pixels scaled to 0..1; exact, from counts of the bytes."""
    values = np.arange(256) / 255
    counts = [np.bincount(images[:, channel].flatten().numpy(), minlength=256) for channel in range(images.shape[1])]
    means = [float(np.average(values, weights=n)) for n in counts]
    spreads = [float(np.average((values - m) ** 2, weights=n) ** 0.5) for m, n in zip(means, counts, strict=True)]
    return {"mean": means, "std": [spread or 1.0 for spread in spreads]}
