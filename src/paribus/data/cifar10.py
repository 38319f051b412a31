"""Read CIFAR-10 (Krizhevsky, 2009): 60,000 colour images, 32 x 32 pixels, 10 classes."""

import io
import logging
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paribus.data import files
from paribus.data.module import Images, Part
from paribus.errors import UserError

log = logging.getLogger(__name__)

FOLDER = "cifar-10-batches-py"


class CIFAR10(Images):
    """CIFAR-10 in its "python version", from `root`/cifar-10-batches-py, downloaded if missing.

    Args:
        verify: whether the files must have the published checksums; False for a copy with re-encoded images.
        The other arguments are those of Images.
    """

    title = "CIFAR-10"
    padding = 4
    in_shape = (3, 32, 32)
    out_features = 10
    class_names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def __init__(
        self,
        root: str,
        verify: bool,
        batch_size: int,
        val_size: int,
        train_subset: int | None,
        train_on_validation: bool,
        augment: bool,
        mean: list[float],
        std: list[float],
        seed: int,
        shift: int | None = None,
        flip: str = "random",
        fill: str = "zeros",
        average_flips: bool = False,
    ):
        super().__init__(
            root, batch_size, val_size, train_subset, train_on_validation, mean, std, seed, augment, shift, flip, fill,
            average_flips,
        )  # fmt: skip
        self.verify = verify

    @property
    def folder(self) -> Path:
        return Path(self.root) / FOLDER

    def is_available(self) -> bool:
        """As in InMemory. Raises UserError where a copy of one's own is not there: it is not downloaded."""
        if not self.verify and not self.folder.exists():
            raise UserError(f"{self.folder} does not exist. data.verify=false reads a copy of your own: "
                            "name its parent directory with data.root=DIR.")  # fmt: skip
        return self.folder.exists()

    def download(self, temporary: Path) -> None:
        from torchvision.datasets import CIFAR10 as Torchvision

        archive = temporary / Torchvision.filename
        try:
            files.download(Torchvision.url, archive)
            if files.compute_digest(archive.read_bytes(), "md5") != Torchvision.tgz_md5:
                raise OSError("the download has another md5 than the published one")
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter="data")
            (temporary / FOLDER).replace(self.folder)
        except (OSError, tarfile.TarError) as error:
            raise UserError(
                f"CIFAR-10 is not in {self.root} and could not be downloaded:\n  {Torchvision.url}: {error}\n"
                f"Unpack {Torchvision.filename} into a directory and name it with data.root=DIR (data.verify=false "
                "for a copy with other checksums), or choose another data set, such as data=fashion_mnist."
            ) from None
        log.info("CIFAR-10 is in %s", self.folder)

    def read(self, test: bool) -> Part:
        from torchvision.datasets import CIFAR10 as Torchvision

        listed = Torchvision.test_list if test else Torchvision.train_list
        batches = [_read_batch(self.folder / name, md5 if self.verify else None) for name, md5 in listed]
        self.fingerprint = files.compute_digest("".join(fingerprint for _, _, fingerprint in batches).encode())
        images = np.concatenate([images for images, _, _ in batches]).reshape(-1, *self.in_shape)
        labels = np.concatenate([labels for _, labels, _ in batches])
        return torch.from_numpy(images), torch.from_numpy(labels)


def _read_batch(path: Path, md5: str | None) -> tuple[np.ndarray, np.ndarray, str]:
    """Read pixels (n, 3072), labels (n,) and sha256 of a batch file. Raises UserError if it is not one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. Delete {path.parent} and run again to download it, or name another "
                        "directory with data.root=DIR.") from None  # fmt: skip
    if md5 is not None and files.compute_digest(content, "md5") != md5:
        raise UserError(f"{path} is truncated or altered: it has another md5 than CIFAR-10's. Delete {path.parent} and "
                        "run again to download it, or read a copy of your own with data.verify=false.")  # fmt: skip
    try:
        batch = _SafeUnpickler(io.BytesIO(content), encoding="bytes").load()
        batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        images, labels = batch["data"], np.asarray(batch["labels"])
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is not a CIFAR-10 batch ({type(error).__name__}: {error}).") from None
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        shape = getattr(images, "shape", None)
        raise UserError(f"{path}: the images have the wrong shape or type: {shape}, expected (n, 3072) bytes.")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < 10)).all():
        raise UserError(f"{path}: expected {len(images)} labels from 0 to 9, one for each image.")
    return images, labels.astype(np.int64), files.compute_digest(content)


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Replace codecs.encode, through which Python 3 writes bytes in old pickle protocols; allow nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"codecs.encode with {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy's array factory, whose module numpy 2 renamed
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,
}


class _SafeUnpickler(pickle.Unpickler):
    """Unpickle plain containers and numpy arrays; refuse everything else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data set needs") from None
