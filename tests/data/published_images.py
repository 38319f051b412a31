"""Small image sets in the formats in which they are published, for torchvision's classes."""

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from typing import Any

import numpy as np
import pytest
import scipy.io
from conftest import idx
from torchvision import datasets

from paribus.data import torchvision_sets as sets

RANDOM = np.random.default_rng(0)
PARTS = {"train": 60, "test": 20}
SHAPES = {"MNIST": (28, 28), "KMNIST": (28, 28), "EMNIST": (28, 28), "SVHN": (3, 32, 32), "CIFAR100": (3, 32, 32)}
CLASSES = {"MNIST": 10, "KMNIST": 10, "EMNIST": 47, "SVHN": 10, "CIFAR100": 100}
NAMES = list(SHAPES)
PIXELS = {
    name: {part: RANDOM.integers(0, 256, (n, *SHAPES[name]), dtype=np.uint8) for part, n in PARTS.items()}
    for name in NAMES
}
LABELS = {
    name: {part: RANDOM.integers(0, CLASSES[name], n).astype(np.uint8) for part, n in PARTS.items()} for name in NAMES
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def publish(name: str, patch: pytest.MonkeyPatch, split: str = "balanced", repeat: int = 1) -> dict[str, bytes]:
    """The files as published, small and with checksums that torchvision then takes for the published ones."""
    pixels, labels = (
        {part: np.concatenate([array] * repeat) for part, array in arrays[name].items()} for arrays in (PIXELS, LABELS)
    )
    torchvision: Any = getattr(datasets, name)
    if name in ("MNIST", "KMNIST"):
        words = {"train": "train", "test": "t10k"}
        packed = {
            f"{words[part]}-{kind}-ubyte.gz": gzip.compress(idx(array))
            for part in PARTS
            for kind, array in (("images-idx3", pixels[part]), ("labels-idx1", labels[part]))
        }
        patch.setattr(torchvision, "resources", [(file, md5(content)) for file, content in packed.items()])
        return packed
    if name == "EMNIST":
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as archive:
            for part in PARTS:
                for kind, array in (
                    ("images-idx3", pixels[part]),
                    ("labels-idx1", labels[part] % 26 + 1 if split == "letters" else labels[part]),
                ):
                    archive.writestr(f"gzip/emnist-{split}-{part}-{kind}-ubyte.gz", gzip.compress(idx(array)))
        patch.setattr(torchvision, "md5", md5(whole.getvalue()))
        return {"gzip.zip": whole.getvalue()}
    if name == "SVHN":
        found = {}
        for part in PARTS:
            matrix = io.BytesIO()
            ten = np.where(labels[part] == 0, 10, labels[part])
            scipy.io.savemat(matrix, {"X": pixels[part].transpose(2, 3, 1, 0), "y": ten[:, None]})
            found[f"{part}_32x32.mat"] = matrix.getvalue()
        listed = {part: [f"nowhere/{part}", f"{part}_32x32.mat", md5(found[f"{part}_32x32.mat"])] for part in PARTS}
        patch.setattr(torchvision, "split_list", listed)
        return found
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        batches = {
            part: {"data": pixels[part].reshape(len(pixels[part]), -1), "fine_labels": labels[part].tolist()}
            for part in PARTS
        }
        batches["meta"] = {"fine_label_names": sets.CIFAR100.class_names}
        checked = {}
        for file, batch in batches.items():
            content = pickle.dumps(batch)
            checked[file] = md5(content)
            member = tarfile.TarInfo(f"cifar-100-python/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    patch.setattr(torchvision, "train_list", [["train", checked["train"]]])
    patch.setattr(torchvision, "test_list", [["test", checked["test"]]])
    patch.setattr(torchvision, "meta", {**torchvision.meta, "md5": checked["meta"]})
    patch.setattr(torchvision, "tgz_md5", md5(whole.getvalue()))
    return {"cifar-100-python.tar.gz": whole.getvalue()}


def serve_from(name: str, url: str, patch: pytest.MonkeyPatch) -> None:
    """Have torchvision download from `url`."""
    torchvision: Any = getattr(datasets, name)
    if name in ("MNIST", "KMNIST"):
        patch.setattr(torchvision, "mirrors", [url])
    elif name == "SVHN":
        listed = {part: [f"{url}{file}", file, digest] for part, (_, file, digest) in torchvision.split_list.items()}
        patch.setattr(torchvision, "split_list", listed)
    else:
        patch.setattr(torchvision, "url", f"{url}{'gzip.zip' if name == 'EMNIST' else 'cifar-100-python.tar.gz'}")
