"""MNIST, KMNIST, EMNIST, SVHN and CIFAR-100: small data in the official formats, from disk and from a server of the test."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, Quiet
from published_images import CLASSES, LABELS, NAMES, PARTS, PIXELS, publish, serve_from
from torchvision import datasets

from paribus.data import torchvision_sets as sets
from paribus.data.module import Images
from paribus.errors import UserError


def make(name: str, root: Path, **changes: object) -> Images:
    """The data set as its YAML in conf/ has it."""
    node = yaml.safe_load((ROOT / "conf" / "data" / f"{name.lower()}.yaml").read_text())
    kind = getattr(sets, node.pop("_target_").rpartition(".")[2])
    made: Images = kind(**{**node, "root": str(root), "val_size": 10, "seed": 1, **changes})
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_download_is_kept_and_read(
    name: str, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    for file, content in publish(name, monkeypatch).items():
        (served / file).write_bytes(content)
    serve_from(name, url, monkeypatch)
    data = make(name, tmp_path / "data")
    assert not data.is_available()
    data.prepare_data()
    asked = len(Quiet.asked)
    assert data.is_available() and asked >= 1
    data.prepare_data()
    assert len(Quiet.asked) == asked, "what is there is not downloaded again"
    assert {path.name for path in (tmp_path / "data").glob(".*")} == {".lock"}, "nothing temporary is left"

    assert data.out_features == len(data.class_names or []) == CLASSES[name]
    for part in PARTS:
        images, labels = data.read(test=part == "test")
        expected = PIXELS[name][part].reshape(len(images), *data.in_shape)
        if name == "EMNIST":
            expected = expected.swapaxes(2, 3)
        assert images.dtype == torch.uint8 and np.array_equal(images, expected)
        assert labels.dtype == torch.int64 and np.array_equal(labels, LABELS[name][part])
    data.setup("fit")
    data.setup("test")
    assert data.train and data.val and data.test
    assert [len(part[0]) for part in (data.train, data.val, data.test)] == [50, 10, 20]
    inputs = data.get_first_inputs("train", 3)
    node = yaml.safe_load((ROOT / "conf" / "data" / f"{name.lower()}.yaml").read_text())
    mean, std = (np.array(node[key]).reshape(-1, 1, 1) for key in ("mean", "std"))
    assert np.allclose(inputs, (data.train[0][:3].numpy() / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_files_put_there_by_hand_need_no_network(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = publish(name, monkeypatch)
    serve_from(name, "http://127.0.0.1:9/", monkeypatch)
    folder = tmp_path / "data" / Path(make(name, tmp_path).archives).parent  # type: ignore[attr-defined]
    folder.mkdir(parents=True)
    for file, content in published.items():
        (folder / file).write_bytes(content)
    data = make(name, tmp_path / "data")
    data.prepare_data()
    assert len(data.read(test=True)[0]) == 20
    for file, content in published.items():
        assert (folder / file).read_bytes() == content and not (folder / file).is_symlink()


@pytest.mark.parametrize("name", NAMES)
def test_without_a_source_the_message_says_where_to_put_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(name, monkeypatch)
    serve_from(name, "http://127.0.0.1:9/", monkeypatch)
    with pytest.raises(UserError, match=rf"(?s)^{name} is not in .*could not be downloaded:.*refused.*data\.root=DIR"):
        make(name, tmp_path / "data").prepare_data()


@pytest.mark.parametrize("name", NAMES)
def test_an_altered_download_is_not_kept(
    name: str, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, served = server
    for file in publish(name, monkeypatch):
        (served / file).write_bytes(b"something else")
    serve_from(name, url, monkeypatch)
    data = make(name, tmp_path / "data")
    with pytest.raises(UserError, match="could not be downloaded"):
        data.prepare_data()
    assert not data.is_available()


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make(name, tmp_path)
    test_files_put_there_by_hand_need_no_network(name, tmp_path, monkeypatch)
    data = make(name, tmp_path / "data")
    for file in data.list_files():  # type: ignore[attr-defined]
        path = tmp_path / "data" / file
        path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(
        UserError, match=rf"files of {name} in .*truncated or altered.*run again to download.*data\.root=DIR"
    ):
        data.read(test=False)


def test_letters_are_counted_from_0_and_splits_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = publish("EMNIST", monkeypatch, "letters")["gzip.zip"]
    (tmp_path / "EMNIST" / "raw").mkdir(parents=True)
    (tmp_path / "EMNIST" / "raw" / "gzip.zip").write_bytes(content)
    data = make("EMNIST", tmp_path, split="letters")
    data.prepare_data()
    assert data.out_features == 26
    assert np.array_equal(data.read(test=True)[1], LABELS["EMNIST"]["test"] % 26)
    with pytest.raises(UserError, match=re.escape("There is no 'leters' in data.split. Did you mean 'letters'?")):
        make("EMNIST", tmp_path, split="leters")


def test_class_names_are_torchvisions() -> None:
    for split, names in sets.EMNIST_CLASSES.items():
        theirs = datasets.EMNIST.classes_split_dict[split]
        assert names == (theirs[1:] if split == "letters" else theirs)
    assert datasets.KMNIST.classes == sets.KMNIST.class_names
    assert len(set(sets.CIFAR100.class_names)) == 100 and sorted(sets.CIFAR100.class_names) == sets.CIFAR100.class_names


def test_digits_are_not_mirrored(tmp_path: Path) -> None:
    for name in ("MNIST", "KMNIST", "EMNIST", "SVHN"):
        with pytest.raises(TypeError, match="augment"):
            make(name, tmp_path, augment=True)
