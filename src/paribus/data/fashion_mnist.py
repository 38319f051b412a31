"""Read Fashion-MNIST (Xiao, Rasul & Vollgraf, 2017): 70,000 grey images of clothes, 28 x 28 pixels, 10 classes."""

import gzip
import logging
import zlib
from pathlib import Path

import numpy as np
import torch

from paribus.data import files
from paribus.data.module import Images, Part
from paribus.errors import UserError

log = logging.getLogger(__name__)

# sha256 of each unpacked file: the headers of the .gz files differ between sources.
TRAIN = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
}
TEST = {
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"  # of Debian and Ubuntu
RAW = "FashionMNIST/raw"  # in torchvision's layout


class FashionMNIST(Images):
    """Fashion-MNIST from the first place that has it.

    `prepare_data` looks for the four files in `root` (also in torchvision's layout), then in the system-wide copy. It
    downloads missing files from torchvision's mirrors or, failing that, out of the Debian package.
    """

    title = "Fashion-MNIST"
    padding = 2
    in_shape = (1, 28, 28)
    out_features = 10
    class_names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                   "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]  # fmt: skip

    def is_available(self) -> bool:
        return not self._find_missing()

    def _find_missing(self) -> list[str]:
        return [name for name in (*TRAIN, *TEST) if not self._find(name)]

    def _find(self, name: str) -> Path | None:
        """Return the path of a file, packed or not, or None."""
        root = Path(self.root)
        candidates = [folder / file for folder in (root / RAW, root, SYSTEM) for file in (f"{name}.gz", name)]
        return next((path for path in candidates if path.exists()), None)

    def download(self, temporary: Path) -> None:
        """As in Images. Raises UserError naming every source tried, with the reason of its failure."""
        from torchvision.datasets import FashionMNIST as Torchvision

        names, reasons = self._find_missing(), [f"{SYSTEM}: does not exist"]
        for source in (*Torchvision.mirrors, PACKAGE):
            try:
                if source == PACKAGE:
                    folder = files.download_debian_package(PACKAGE, temporary) / SYSTEM.relative_to("/")
                else:
                    folder = temporary
                    for name in names:
                        files.download(f"{source}{name}.gz", folder / f"{name}.gz")
                for name in names:
                    _read_checked(folder / f"{name}.gz")
            except (OSError, UserError) as error:
                reasons.append(f"{source}: {error}")
                log.info("%s: %s", source, error)
                continue
            raw = Path(self.root) / RAW
            raw.mkdir(parents=True, exist_ok=True)
            for name in names:
                (folder / f"{name}.gz").replace(raw / f"{name}.gz")
            log.info("Fashion-MNIST is in %s", raw)
            return
        raise UserError(
            "\n  ".join([f"Fashion-MNIST is not in {self.root} and could not be downloaded:", *reasons])
            + f"\nPut {', '.join(f'{n}.gz' for n in names)} into a directory and name it with data.root=DIR, "
            f"or install the package {PACKAGE}. `model=regression` needs no download."
        )

    def read(self, test: bool) -> Part:
        contents = []
        for name in TEST if test else TRAIN:
            path = self._find(name)
            if path is None:
                raise UserError(f"{name}.gz is neither in {self.root} nor in {SYSTEM}. Run prepare_data() first.")
            try:
                contents.append(_read_checked(path))
            except UserError as error:
                raise UserError(
                    f"{error} Delete it and run again to download it, or name another directory with data.root=DIR."
                ) from None
        images, labels = contents
        self.fingerprint = files.compute_digest(images + labels)
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, *self.in_shape)
        classes = np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
        return torch.from_numpy(pixels.copy()), torch.from_numpy(classes)


def _read_checked(path: Path) -> bytes:
    """Return the unpacked bytes of a file. Raises UserError if they are not the published ones."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is truncated or altered: {error}.") from None
    if files.compute_digest(content) != {**TRAIN, **TEST}[path.name.removesuffix(".gz")]:
        raise UserError(f"{path} is truncated or altered: its content ({len(content):,} bytes) has another sha256 "
                        f"than Fashion-MNIST's.")  # fmt: skip
    return content
