"""Read torchvision's image sets: MNIST, KMNIST, EMNIST, SVHN and CIFAR-100, each with its official test part."""

import logging
import shutil
from abc import abstractmethod
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from paribus.data import files
from paribus.data.module import Images, Part
from paribus.errors import UserError, summarise_error, unknown_name

log = logging.getLogger(__name__)


class TorchvisionImages(Images):
    """Images that torchvision downloads, checks and unpacks, in the layout of its own classes.

    Attributes:
        archives: pattern below `root` of the files as published, which are taken instead of a download.
    """

    archives: ClassVar[str]

    @abstractmethod
    def open(self, root: Path, test: bool, download: bool = False) -> Any:
        """Return torchvision's data set of a part; with `download`, fetch and unpack what is not in `root`."""

    @abstractmethod
    def list_files(self) -> list[str]:
        """Return the files that reading needs, below `root`."""

    @abstractmethod
    def extract(self, opened: Any) -> tuple[Any, Any]:
        """Return images (n, *in_shape) and class numbers (n,) of a data set of torchvision's."""

    def is_available(self) -> bool:
        return not self._find_missing()

    def _find_missing(self) -> list[str]:
        return [name for name in self.list_files() if not (Path(self.root) / name).exists()]

    def download(self, temporary: Path) -> None:
        root, name = Path(self.root), type(self).__name__
        for archive in root.glob(self.archives):
            copied = temporary / archive.relative_to(root)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.symlink_to(archive.absolute())
        log.info("Downloading %s", name)
        try:
            with files.network_timeout():
                for test in (False, True):
                    self.open(temporary, test, download=True)
        except (OSError, RuntimeError, HTTPException, shutil.ReadError) as error:
            raise UserError(
                f"{name} is not in {root} and could not be downloaded: {str(error).strip()}\nPut {self.archives} into "
                "a directory and name it with data.root=DIR. `model=regression` needs no download."
            ) from None
        for missing in self._find_missing():
            (root / missing).parent.mkdir(parents=True, exist_ok=True)
            (temporary / missing).replace(root / missing)
        log.info("%s is in %s", name, root)

    def read(self, test: bool) -> Part:
        where = Path(self.root) / Path(self.list_files()[0]).parent
        try:
            opened = self.open(Path(self.root), test)
        except (OSError, RuntimeError, AssertionError, ValueError, LookupError, TypeError) as error:
            reason = summarise_error(error)
            raise self._refuse(where, reason) from None
        images, labels = (torch.as_tensor(part) for part in self.extract(opened))
        images, labels = images.contiguous(), labels.long()
        if images.dtype != torch.uint8 or tuple(images.shape) != (len(labels), *self.in_shape):
            raise self._refuse(where, f"images of shape {tuple(images.shape)} for {len(labels)} labels")
        if not len(labels) or labels.min() < 0 or labels.max() >= self.out_features:
            raise self._refuse(where, f"labels other than 0 to {self.out_features - 1}")
        digests = (files.compute_digest(part.numpy().tobytes()) for part in (images, labels))
        self.fingerprint = files.compute_digest("".join(digests).encode())
        return images, labels

    def _refuse(self, where: Path, reason: str) -> UserError:
        return UserError(
            f"The files of {type(self).__name__} in {where} are truncated or altered: {reason}. Delete them and run "
            "again to download them, or name another directory with data.root=DIR."
        )


class Characters(TorchvisionImages):
    """Characters, 28 x 28 grey pixels where a subclass says nothing else; not augmented: mirrored they differ."""

    in_shape = (1, 28, 28)

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
        super().__init__(root, batch_size, val_size, train_subset, train_on_validation, mean, std, seed)

    def extract(self, opened: Any) -> tuple[Any, Any]:
        return opened.data.unsqueeze(1), opened.targets


class MNIST(Characters):
    """MNIST (LeCun, Cortes & Burges, 1998): 70,000 handwritten digits."""

    archives = "MNIST/raw/*.gz"
    out_features = 10
    class_names = [str(digit) for digit in range(10)]

    def open(self, root: Path, test: bool, download: bool = False) -> Any:
        from torchvision import datasets

        return getattr(datasets, type(self).__name__)(root, train=not test, download=download)

    def list_files(self) -> list[str]:
        folder = f"{type(self).__name__}/raw"
        return [
            f"{folder}/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
        ]


class KMNIST(MNIST):
    """Kuzushiji-MNIST (Clanuwat et al., 2018): 70,000 handwritten Japanese characters, 10 classes."""

    archives = "KMNIST/raw/*.gz"
    class_names = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


UPPER = [chr(code) for code in range(ord("A"), ord("Z") + 1)]
LOWER = [letter.lower() for letter in UPPER]
DISTINCT = list("abdefghnqrt")  # small letters that do not look like capitals
EMNIST_CLASSES = {
    "balanced": [*MNIST.class_names, *UPPER, *DISTINCT],
    "byclass": [*MNIST.class_names, *UPPER, *LOWER],
    "bymerge": [*MNIST.class_names, *UPPER, *DISTINCT],
    "letters": LOWER,
    "digits": MNIST.class_names,
    "mnist": MNIST.class_names,
}


class EMNIST(Characters):
    """EMNIST (Cohen et al., 2017): handwritten digits and letters, upright (the files hold them transposed).

    Args:
        split: one of `EMNIST_CLASSES`; "balanced" has 131,600 images of 47 classes, "letters" counts its 26 from 0.
        The other arguments are those of Images.
    """

    archives = "EMNIST/raw/gzip.zip"

    def __init__(self, split: str, **others: Any):
        if split not in EMNIST_CLASSES:
            raise unknown_name(split, "data.split", EMNIST_CLASSES)
        super().__init__(**others)
        self.split = split
        self.class_names = EMNIST_CLASSES[split]
        self.out_features = len(self.class_names)

    def open(self, root: Path, test: bool, download: bool = False) -> Any:
        from torchvision.datasets import EMNIST as Torchvision

        return Torchvision(root, self.split, train=not test, download=download)

    def list_files(self) -> list[str]:
        return [f"EMNIST/raw/emnist-{self.split}-{part}-{kind}-ubyte"
                for part in ("train", "test") for kind in ("images-idx3", "labels-idx1")]  # fmt: skip

    def extract(self, opened: Any) -> tuple[Any, Any]:
        images, labels = super().extract(opened)
        return images.transpose(2, 3), labels - int(self.split == "letters")


class SVHN(Characters):
    """SVHN (Netzer et al., 2011): 99,289 colour images of house numbers, 32 x 32 pixels, 10 classes."""

    archives = "*_32x32.mat"
    in_shape = (3, 32, 32)
    out_features = 10
    class_names = MNIST.class_names

    def open(self, root: Path, test: bool, download: bool = False) -> Any:
        from torchvision.datasets import SVHN as Torchvision

        return Torchvision(root, "test" if test else "train", download=download)

    def list_files(self) -> list[str]:
        return ["train_32x32.mat", "test_32x32.mat"]

    def extract(self, opened: Any) -> tuple[Any, Any]:
        return opened.data, opened.labels


CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""


class CIFAR100(TorchvisionImages):
    """CIFAR-100 (Krizhevsky, 2009): 60,000 colour images, 32 x 32 pixels, 100 classes."""

    title = "CIFAR-100"
    archives = "cifar-100-python.tar.gz"
    padding = 4
    in_shape = (3, 32, 32)
    out_features = 100
    class_names = CIFAR100_CLASSES.split()

    def open(self, root: Path, test: bool, download: bool = False) -> Any:
        from torchvision.datasets import CIFAR100 as Torchvision

        return Torchvision(root, train=not test, download=download)

    def list_files(self) -> list[str]:
        return [f"cifar-100-python/{name}" for name in ("train", "test", "meta")]

    def extract(self, opened: Any) -> tuple[Any, Any]:
        return opened.data.transpose(0, 3, 1, 2), np.asarray(opened.targets)
