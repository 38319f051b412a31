"""Fashion-MNIST and CIFAR-10: reading, splitting, normalising, refusing."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CIFAR_TRAIN, SHARED, idx, striped

from paribus.data import fashion_mnist
from paribus.data.cifar10 import CIFAR10
from paribus.data.fashion_mnist import FashionMNIST
from paribus.data.module import Images
from paribus.errors import UserError


def fashion(root: Path, **changes: object) -> FashionMNIST:
    arguments = {"root": str(root), "batch_size": 32, "val_size": 60, "train_subset": None, "train_on_validation": False,
                 "mean": [0.5], "std": [0.5], "seed": 1}  # fmt: skip
    return FashionMNIST(**{**arguments, **changes})  # type: ignore[arg-type]


def cifar(root: Path, **changes: object) -> CIFAR10:
    arguments = {"root": str(root), "verify": False, "batch_size": 16, "val_size": 10, "train_subset": None,
                 "train_on_validation": False, "augment": True, "mean": [0.4914, 0.4822, 0.4465],
                 "std": [0.2470, 0.2435, 0.2616], "seed": 1}  # fmt: skip
    return CIFAR10(**{**arguments, **changes})  # type: ignore[arg-type]


def test_fashion_mnist_is_split_and_normalised(fashion_root: Path) -> None:
    data = fashion(fashion_root)
    data.prepare_data()
    data.setup("fit")
    images, labels = striped(600, (28, 28), 1)
    assert data.train and data.val
    assert (len(data.train[0]), len(data.val[0])) == (540, 60)
    assert data.test is None, "the test set is not read for training"
    # every image is in exactly one part, and with its label
    seen = torch.cat([data.train[0], data.val[0]]).flatten(1).numpy()
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len({row.tobytes() for row in seen} & set(known)) == len(known)
    for row, label in zip(seen, torch.cat([data.train[1], data.val[1]]).tolist(), strict=True):
        assert known[row.tobytes()] == label
    inputs, _ = next(iter(data.val_dataloader()))
    expected = (data.val[0].double() / 255 - 0.5) / 0.5
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs.double(), expected, atol=1e-6)


def test_the_split_follows_the_seed_and_nothing_else(fashion_root: Path) -> None:
    def validation(**changes: object) -> torch.Tensor:
        data = fashion(fashion_root, **changes)
        data.setup("fit")
        assert data.val
        return data.val[0]

    first = validation()
    assert torch.equal(first, validation(train_subset=100, batch_size=7))
    assert not torch.equal(first, validation(seed=2))


def test_folds_of_the_validation_part_follow_the_split_and_nothing_else(fashion_root: Path) -> None:
    def folds(**changes: object) -> torch.Tensor | None:
        data = fashion(fashion_root, **changes)
        data.setup("fit")
        return data.validation_folds

    first, other, odd = folds(), folds(seed=2), folds(val_size=58)
    assert first is not None and other is not None and odd is not None
    assert torch.bincount(first).tolist() == [12] * 5
    assert sorted(torch.bincount(odd).tolist()) == [11, 11, 12, 12, 12]
    same = folds(train_subset=100, batch_size=7, mean=[0.1])
    assert same is not None and torch.equal(first, same)
    assert not torch.equal(first, other)
    assert folds(val_size=5) is not None
    assert folds(val_size=4) is None
    assert folds(train_on_validation=True) is None


def test_a_subset_is_the_first_part_of_the_training_part(fashion_root: Path) -> None:
    whole, subset, both = (
        fashion(fashion_root),
        fashion(fashion_root, train_subset=7),
        fashion(fashion_root, train_on_validation=True),
    )
    for data in (whole, subset, both):
        data.setup("fit")
    assert whole.train and whole.val and subset.train and both.train and both.val
    assert torch.equal(subset.train[0], whole.train[0][:7])
    assert torch.equal(both.train[0], torch.cat([whole.train[0], whole.val[0]]))
    assert len(both.val[0]) == 0


def test_the_test_set_is_the_official_one(fashion_root: Path) -> None:
    data = fashion(fashion_root)
    data.setup("test")
    images, labels = striped(100, (28, 28), 2)
    assert data.test
    assert np.array_equal(data.test[0].numpy()[:, 0], images)
    assert data.test[1].tolist() == labels.tolist()
    assert data.train is None


def test_unpacked_files_are_read_too(fashion_root: Path) -> None:
    raw = fashion_root / "FashionMNIST" / "raw"
    for path in list(raw.iterdir()):
        (fashion_root / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    data = fashion(fashion_root)
    data.prepare_data()
    data.setup("fit")
    assert data.train


def test_a_system_wide_copy_is_used_in_place(
    fashion_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_mnist, "SYSTEM", fashion_root / "FashionMNIST" / "raw")
    data = fashion(tmp_path / "empty")
    data.prepare_data()
    data.setup("fit")
    assert not (tmp_path / "empty").exists()


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "altered":
        path.write_bytes(gzip.compress(gzip.decompress(content)[:-1] + b"\xff"))
    elif how == "another shape":
        path.write_bytes(gzip.compress(idx(np.zeros((600, 27, 28), np.uint8))))
    elif how == "not packed":
        path.write_bytes(b"hello")


@pytest.mark.parametrize("how", ["truncated", "altered", "another shape", "not packed"])
def test_a_damaged_file_is_named_with_the_remedy(fashion_root: Path, how: str) -> None:
    path = fashion_root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte.gz"
    damage(path, how)
    with pytest.raises(UserError, match=rf"{path.name} is truncated or altered.*Delete it"):
        fashion(fashion_root).setup("fit")
    assert path.exists(), "nothing is deleted on the user's behalf"


@pytest.mark.parametrize(("changes", "message"), [
    ({"batch_size": 0}, "batch_size is 0"),
    ({"val_size": 600}, "leave too few"),
    ({"val_size": 0}, "leave too few"),
    ({"train_subset": 541}, "the training part has 540"),
    ({"train_subset": 0}, "the training part has 540"),
    ({"mean": [0.5, 0.5]}, "1 channels"),
    ({"std": [0.0]}, "above 0"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_refused(fashion_root: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fashion(fashion_root, **changes).setup("fit")


def test_new_images_are_bytes_of_the_right_shape(fashion_root: Path) -> None:
    data = fashion(fashion_root)
    assert data.inputs(np.zeros((2, 28, 28), np.uint8)).shape == (2, 1, 28, 28)
    assert data.inputs(np.full((1, 1, 28, 28), 255, np.uint8)).max() == pytest.approx(1.0)
    with pytest.raises(UserError, match="uint8"):
        data.inputs(np.zeros((2, 28, 28), np.float32))
    with pytest.raises(UserError, match="the network takes"):
        data.inputs(np.zeros((2, 32, 32), np.uint8))


def test_cifar_10_is_read_from_a_copy(cifar_root: Path) -> None:
    data = cifar(cifar_root)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    assert (len(data.train[0]), len(data.val[0]), len(data.test[0])) == (90, 10, 20)
    images, labels = striped(20, (3, 32, 32), 5)
    assert np.array_equal(data.test[0].numpy(), images)
    assert data.test[1].tolist() == labels.tolist()


def test_fashion_mnist_is_augmented_where_asked_and_in_training_alone(fashion_root: Path) -> None:
    data, plain = fashion(fashion_root, augment=True), fashion(fashion_root)
    for each in (data, plain):
        each.setup("fit")
    assert torch.equal(next(iter(data.val_dataloader()))[0], next(iter(plain.val_dataloader()))[0])
    (augmented, labels), (images, same) = next(iter(data.train_dataloader())), next(iter(plain.train_dataloader()))
    assert augmented.shape == images.shape and not torch.equal(augmented, images)
    assert torch.equal(labels, same)
    padded = torch.nn.functional.pad(data.train_dataloader().inputs, [2] * 4)  # bytes, as they were read
    shifted = [padded[..., i : i + 28, j : j + 28] for i in range(5) for j in range(5)]
    known = torch.cat([*shifted, *(x.flip(-1) for x in shifted)]).flatten(1)
    known = {row.numpy().tobytes() for row in known}
    for image in augmented[:8]:
        pixels = ((image * 0.5 + 0.5) * 255).round().to(torch.uint8)
        assert pixels.flatten().numpy().tobytes() in known


def test_only_training_images_are_augmented(cifar_root: Path) -> None:
    data = cifar(cifar_root)
    data.setup("fit")
    assert data.train and data.val
    inputs, _ = next(iter(data.val_dataloader()))
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (data._mean, data._std))
    assert torch.allclose(inputs.double(), (data.val[0].double() / 255 - mean) / std, atol=1e-5)

    def matched(data: CIFAR10) -> int:
        assert data.train
        originals = {row.numpy().tobytes() for row in data.inputs(data.train[0])}
        return sum(row.numpy().tobytes() in originals for x, _ in data.train_dataloader() for row in x)

    assert matched(data) < 20  # one in 162 stays where it was
    plain = cifar(cifar_root, augment=False)
    plain.setup("fit")
    assert matched(plain) == 90


def test_checksums_are_asked_for_unless_waived(cifar_root: Path) -> None:
    with pytest.raises(UserError, match=r"data_batch_1 is truncated or altered.*data\.verify=false"):
        cifar(cifar_root, verify=True).setup("fit")


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("evil",)


class Coded:
    def __reduce__(self) -> tuple:
        import codecs

        return codecs.encode, ("uryyb", "rot13")


@pytest.mark.parametrize(("batch", "message"), [
    ({"data": np.zeros((20, 3072), np.uint8), "labels": Evil()}, "mkdir"),
    ({"data": np.array([Evil()], dtype=object), "labels": []}, "mkdir"),
    ({"data": np.zeros((20, 3072), np.uint8), "labels": Coded()}, "rot13"),
    ({"data": np.zeros((20, 3071), np.uint8), "labels": [0] * 20}, "wrong shape"),
    ({"data": np.zeros((20, 3072)), "labels": [0] * 20}, "wrong shape or type"),
    ({"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 19}, "20 labels"),
    ({"data": np.zeros((20, 3072), np.uint8), "labels": [10] * 20}, "from 0 to 9"),
    ({"labels": [0] * 20}, "not a CIFAR-10 batch"),
    ([1, 2], "not a CIFAR-10 batch"),
    (b"", "not a CIFAR-10 batch"),
])  # fmt: skip
def test_a_copy_is_unpickled_without_running_anything(cifar_root: Path, batch: object, message: str) -> None:
    path = cifar_root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=2))
    with pytest.raises(UserError, match=message):
        cifar(cifar_root).setup("fit")
    assert not Path("evil").exists()


def test_a_truncated_or_missing_batch_is_named(cifar_root: Path) -> None:
    path = cifar_root / "cifar-10-batches-py" / CIFAR_TRAIN[1]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=rf"{path.name} is not a CIFAR-10 batch"):
        cifar(cifar_root).setup("fit")
    path.unlink()
    with pytest.raises(UserError, match=rf"{path.name} is missing"):
        cifar(cifar_root).setup("fit")


def test_a_copy_that_is_not_there_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist.*data\.root=DIR"):
        cifar(tmp_path / "nowhere").prepare_data()


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/data beside the checkout")
def test_the_real_fashion_mnist_has_the_published_content() -> None:
    data = fashion(SHARED / "fashion_mnist", val_size=6000)
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    assert (len(data.train[0]), len(data.val[0]), len(data.test[0])) == (54_000, 6_000, 10_000)
    assert torch.bincount(torch.cat([data.train[1], data.val[1]])).tolist() == [6_000] * 10


def test_a_set_whose_class_has_no_download_says_where_its_files_belong(tmp_path: Path) -> None:
    class Own(FashionMNIST):
        download = Images.download

    data = Own(str(tmp_path / "nowhere"), 32, 60, None, False, [0.5], [0.5], 1)
    with pytest.raises(
        UserError, match=r"^Own has no download\. Put its files into \S+nowhere, or set data\.root=DIR\.$"
    ):
        data.prepare_data()
