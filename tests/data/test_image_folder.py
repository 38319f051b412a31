"""data=image_folder: pictures of any size and kind, with and without folders for the parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from paribus.data import image_folder
from paribus.data.image_folder import ImageFolder
from paribus.errors import UserError

CLASSES = ["ant", "bee", "cat"]


def folder(path: str = "photos", **changes: Any) -> ImageFolder:
    arguments = {"size": 8, "grey": False, "batch_size": 16, "val_fraction": 0.2, "test_fraction": 0.3,
                 "train_subset": None, "train_on_validation": False, "augment": False, "mean": None, "std": None,
                 "seed": 1}  # fmt: skip
    return ImageFolder(path, **{**arguments, **changes})


def draw(root: Path, each: int, start: int = 0) -> None:
    """Pictures of one colour, whose red says the class and whose green says the number; 12 x 20 pixels."""
    for i, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(start, start + each):
            pixels = np.zeros((12, 20, 3), np.uint8) + np.array([50 * i, k, 9], np.uint8)
            Image.fromarray(pixels).save(root / name / f"{k:03}.png")


@pytest.fixture
def photos() -> Path:
    draw(Path("photos"), 20)
    return Path("photos")


def names_of(part: Any) -> list[tuple[int, int]]:
    """Class and number of each picture, by its colours; they agree with its label."""
    images, labels = part
    assert images.dtype == torch.uint8 and images.shape[1:] == (3, 8, 8)
    assert torch.equal(images[:, 0, 0, 0].long(), 50 * labels)
    return list(zip(labels.tolist(), images[:, 1, 3, 3].tolist(), strict=True))


def test_one_folder_is_split_by_the_fractions(photos: Path) -> None:
    data = folder()
    data.setup("fit")
    data.setup("test")
    parts = [names_of(part) for part in (data.train, data.val, data.test)]
    assert [len(part) for part in parts] == [30, 12, 18]
    assert sorted(name for part in parts for name in part) == [(i, k) for i in range(3) for k in range(20)]
    assert (data.class_names, data.out_features, data.in_shape) == (CLASSES, 3, (3, 8, 8))


def test_folders_of_parts_are_the_parts() -> None:
    draw(Path("photos/train"), 10)
    draw(Path("photos/test"), 3, start=100)
    data = folder()
    data.setup("fit")
    data.setup("test")
    train, val, tested = (names_of(part) for part in (data.train, data.val, data.test))
    assert len(train) == 24 and len(val) == 6
    assert sorted(train + val) == [(i, k) for i in range(3) for k in range(10)]
    assert sorted(tested) == [(i, 100 + k) for i in range(3) for k in range(3)]
    draw(Path("photos/val"), 2, start=50)
    data = folder(train_subset=7)
    data.setup("fit")
    assert len(names_of(data.train)) == 7
    assert sorted(names_of(data.val)) == [(i, 50 + k) for i in range(3) for k in range(2)]


def test_mean_and_deviation_are_those_of_all_but_the_test(photos: Path) -> None:
    data = folder()
    data.setup("fit")
    assert data.train and data.val
    pixels = torch.cat([data.train[0], data.val[0]]).double() / 255
    statistics = data.statistics()
    assert statistics["mean"] == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), rel=1e-9)
    assert statistics["std"][:2] == pytest.approx(pixels[:, :2].std(dim=(0, 2, 3), correction=0).tolist(), rel=1e-9)
    assert statistics["std"][2] == 1, "a constant channel"
    loaded = folder()
    loaded.restore(statistics)
    assert loaded.class_names == CLASSES and loaded.out_features == 3
    assert torch.equal(loaded.inputs(data.train[0]), data.inputs(data.train[0]))
    given = folder(mean=[0.5] * 3, std=[0.25] * 3)
    given.setup("fit")
    assert given.train and torch.allclose(given.inputs(given.train[0]), (given.train[0] / 255 - 0.5) / 0.25, atol=1e-6)


def test_the_middle_is_kept_and_the_colours_become_grey() -> None:
    # 8 rows and 16 columns: red, and green in the middle half
    for name in ("a", "b"):
        Path("photos", name).mkdir(parents=True)
        pixels = np.zeros((8, 16, 3), np.uint8)
        pixels[..., 0], pixels[:, 4:12] = 255, (0, 255, 0)
        for k in range(4):
            Image.fromarray(pixels).save(Path("photos", name, f"{k}.bmp"))
    colour, grey = folder(), folder(grey=True)
    for data in (colour, grey):
        data.setup("fit")
    assert colour.train and grey.train
    assert (colour.train[0] == torch.tensor([0, 255, 0], dtype=torch.uint8).view(1, 3, 1, 1)).all()
    assert grey.in_shape == (1, 8, 8)
    assert grey.train[0].unique().tolist() == [round(0.587 * 255)]  # ITU-R 601: 0.299 R + 0.587 G + 0.114 B


def test_palettes_transparency_and_other_kinds_are_read(photos: Path) -> None:
    picture = Image.open(photos / "ant" / "003.png")
    picture.convert("P", palette=Image.Palette.ADAPTIVE).save(photos / "ant" / "palette.gif")
    picture.convert("RGBA").save(photos / "ant" / "alpha.png")
    picture.save(photos / "ant" / "UPPER.PPM")
    (photos / "ant" / "below").mkdir()
    picture.save(photos / "ant" / "below" / "deep.png")
    images, _ = folder().read(test=False)
    assert len(images) == 64
    assert (images[:24, 1, 0, 0] == 3).sum() == 5


def test_pictures_are_read_once_and_again_after_a_change(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = image_folder.read_image
    monkeypatch.setattr(
        image_folder, "read_image", lambda path, *others: (read.append(path), original(path, *others))[1]
    )
    first, second = folder(), folder(seed=2)
    first.setup("fit")
    second.setup("fit")
    assert len(read) == 60 and first.fingerprint == second.fingerprint
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(photos / "bee" / "000.png")
    third = folder()
    third.setup("fit")
    assert len(read) == 120 and third.fingerprint != first.fingerprint


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda root: (root / "bee" / "004.png").write_bytes(b"no picture"), r"bee/004\.png cannot be read as an image .*Remove or replace it"),
    (lambda root: (root / "bee" / "004.png").write_bytes((root / "bee" / "004.png").read_bytes()[:40]), r"bee/004\.png cannot be read"),
    (lambda root: (root / "empty").mkdir(), r"photos/empty has no images\. Remove the folder"),
    (lambda root: [path.rename(root.parent / path.name) for path in (root / "ant", root / "bee")], r"two or more classes; it has cat"),
])  # fmt: skip
def test_a_folder_with_a_fault_is_refused(photos: Path, spoil: Any, message: str) -> None:
    spoil(photos)
    with pytest.raises(UserError, match=message):
        folder().setup("fit")


def test_the_parts_have_the_same_classes() -> None:
    draw(Path("photos/train"), 6)
    draw(Path("photos/test"), 2)
    (Path("photos/test") / "cat").rename(Path("photos/test") / "dog")
    data = folder()
    data.setup("fit")
    with pytest.raises(
        UserError, match="photos/test has the classes ant, bee, dog, but the training part has ant, bee, cat"
    ):
        data.setup("test")


@pytest.mark.parametrize(("changes", "message"), [
    ({"path": None}, r"data\.path is null; name a folder of images with data\.path=DIR"),
    ({"path": "nowhere"}, r"nowhere is not a directory"),
    ({"mean": [0.5] * 3}, r"data\.mean and data\.std are given together"),
    ({"mean": [0.5], "std": [0.5]}, r"a value for each of the 3 channels"),
    ({"size": 4096 * 4096}, r"photos with 60 images needs [\d,.]+ GiB of memory"),
])  # fmt: skip
def test_choices_that_cannot_be_are_refused(photos: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        folder(**changes).setup("fit")


def test_other_files_are_left_out_and_named(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "ant" / "notes.txt").write_text("hello")
    (photos / "ant" / ".DS_Store").write_text("")
    (photos / ".git").mkdir()
    assert len(folder().read(test=False)[0]) == 60
    assert "photos/ant: left out, as no images (1): notes.txt" in caplog.text
