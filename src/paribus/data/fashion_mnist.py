"""Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017): 70,000 grey images of clothes, 28 x 28 pixels, 10 classes."""

import gzip
import logging
import zlib
from pathlib import Path

import numpy as np
import torch

from paribus.data import files
from paribus.data.batches import CropFlip
from paribus.data.module import Images, Part
from paribus.errors import UserError

log = logging.getLogger(__name__)

# File and sha256 of its unpacked bytes: the .gz files of different sources differ in their headers.
TRAIN = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
TEST = {
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"


class FashionMNIST(Images):
    """The four files are looked for in `root` (also as torchvision lays them out), then in the system-wide copy;
    failing that they are downloaded from torchvision's mirrors, then out of the distribution's package.

    Args:
        augment: whether training images are shifted by up to 2 pixels and mirrored at random.
    """

    in_shape = (1, 28, 28)
    out_features = 10
    class_names = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]

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
    ):
        super().__init__(root, batch_size, val_size, train_subset, train_on_validation, mean, std, seed)
        self.augment = CropFlip(padding=2) if augment else None

    def prepare_data(self) -> None:
        """Get the files that are in none of the places. Raises UserError naming what was tried."""
        names = [*TRAIN, *TEST]
        if all(self._find(name) for name in names):
            return
        root = Path(self.root)
        with files.preparing(root) as temporary:
            missing = [name for name in names if not self._find(name)]
            if missing:
                self._get(missing, temporary, root / "FashionMNIST" / "raw")

    def _find(self, name: str) -> Path | None:
        """Where the file is, packed or not, or None."""
        root = Path(self.root)
        for folder in (root / "FashionMNIST" / "raw", root, SYSTEM):
            for path in (folder / f"{name}.gz", folder / name):
                if path.exists():
                    return path
        return None

    def _get(self, names: list[str], temporary: Path, raw: Path) -> None:
        reasons = []
        for source in (_from_mirrors, _from_package):
            try:
                paths = source(names, temporary)
            except (OSError, UserError) as error:
                reasons.append(f"{source.__doc__}: {error}")
                log.info("%s: %s", source.__doc__, error)
                continue
            raw.mkdir(parents=True, exist_ok=True)
            for name, path in paths.items():
                path.replace(raw / f"{name}.gz")
            log.info("Fashion-MNIST is in %s", raw)
            return
        tried = "\n".join(f"  {reason}" for reason in [f"{SYSTEM}: not there", *reasons])
        raise UserError(
            f"Fashion-MNIST is not in {self.root} and could not be got:\n{tried}\n"
            f"Put {', '.join(f'{n}.gz' for n in names)} into a directory and name it with data.root=DIR, "
            f"or install the package {PACKAGE}. `model=regression` needs no download."
        )

    def read(self, test: bool) -> Part:
        contents = []
        for name, sha256 in (TEST if test else TRAIN).items():
            path = self._find(name)
            if path is None:
                raise UserError(f"{name}.gz is neither in {self.root} nor in {SYSTEM}. Run prepare_data() first.")
            try:
                contents.append(_read(path, sha256))
            except UserError as error:
                raise UserError(
                    f"{error} Delete it and run again to fetch it anew, or name another directory with data.root=DIR."
                ) from None
        images, labels = contents
        self.fingerprint = files.compute_digest(images + labels)
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, *self.in_shape)
        classes = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
        return torch.from_numpy(pixels.copy()), torch.from_numpy(classes)


def _from_mirrors(names: list[str], temporary: Path) -> dict[str, Path]:
    """torchvision's mirrors"""
    from torchvision.datasets import FashionMNIST as Torchvision

    reasons = []
    for mirror in Torchvision.mirrors:
        try:
            paths = {name: temporary / f"{name}.gz" for name in names}
            for name, path in paths.items():
                files.download(f"{mirror}{path.name}", path)
                _read(path, {**TRAIN, **TEST}[name])
            return paths
        except (OSError, UserError) as error:
            reasons.append(f"{mirror} ({error})")
    raise OSError("; ".join(reasons))


def _from_package(names: list[str], temporary: Path) -> dict[str, Path]:
    """the distribution's package dataset-fashion-mnist"""
    folder = files.download_debian_package(PACKAGE, temporary) / SYSTEM.relative_to("/")
    paths = {name: folder / f"{name}.gz" for name in names}
    for name, path in paths.items():
        _read(path, {**TRAIN, **TEST}[name])
    return paths


def _read(path: Path, sha256: str) -> bytes:
    """The unpacked bytes of a file. Raises UserError where they are not the official ones."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is truncated or altered: {error}.") from None
    if files.compute_digest(content) != sha256:
        raise UserError(f"{path} is truncated or altered: its content ({len(content):,} bytes) has another sha256 "
                        f"than Fashion-MNIST's.")  # fmt: skip
    return content
