"""Data by name through the command line: each network, resumed, swept, stacked, evaluated and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import main, read_folds
from PIL import Image

from paribus import load_run, record

pytestmark = pytest.mark.slow
Train = Callable[..., Path]
SHORT = ("threads=1", "figures=false", "trainer.max_epochs=2")


def write_table() -> pd.DataFrame:
    """Three kinds of leaves, which differ in length; their price. Two lengths are missing."""
    random = np.random.default_rng(0)
    kind = np.tile(["acer", "betula [/b]", "Cornus"], 40)
    length = np.select([kind == "acer", kind == "Cornus"], [1.0, 5.0], 9.0) + random.normal(size=120)
    frame = pd.DataFrame(
        {"length (cm) ": length, "place": random.choice(["Köln", "Bonn"], 120), "kind": kind, "price": 10 * length}
    )
    frame.loc[[7, 70], "length (cm) "] = np.nan
    frame.to_csv("leaves.csv", sep=";", decimal=",", encoding="cp1252")
    return frame


def draw_folder(size: tuple[int, int] = (12, 16)) -> None:
    random = np.random.default_rng(0)
    for i, name in enumerate(("ant", "bee", "cat")):
        Path("photos", name).mkdir(parents=True)
        for k in range(20):
            pixels = random.integers(0, 60, (*size, 3)) + 70 * i
            Image.fromarray(pixels.astype(np.uint8)).save(Path("photos", name, f"{k}.png"))


CLASSES = (
    "model=mlp",
    "data=table",
    "data.path=leaves.csv",
    "data.target=kind",
    "data.categorical=one_hot",
    "data.missing=fill",
)
AMOUNTS = (
    "model=regression",
    "data=table",
    "data.path=leaves.csv",
    "data.target=price",
    "data.categorical=[place,kind]",
    "data.missing=fill",
)
FOLDER = (
    "model=mlp",
    "data=image_folder",
    "data.path=photos",
    "data.size=8",
    "data.mean=[0.5,0.5,0.5]",
    "data.std=[0.3,0.3,0.3]",
)


@pytest.fixture(autouse=True)
def _data(_own_directory: None) -> None:
    write_table()
    draw_folder()


def curves(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / record.METRICS).drop(columns="epoch_seconds")


@pytest.mark.parametrize("choices", [CLASSES, AMOUNTS, FOLDER], ids=["classes", "amounts", "folder"])
def test_a_stack_and_a_resumed_run_equal_the_run_alone(train: Train, choices: tuple[str, ...], tmp_path: Path) -> None:
    arguments = (
        *choices,
        *SHORT,
        "trainer=cpu",
        "hydra/launcher=stacked",
        "hydra.launcher.n_jobs=1",
        f"hydra.sweep.dir={tmp_path / 'study'}",
    )
    assert main("train.py", "--multirun", "study=s", *arguments, "seed=1,2") == 0
    stacked = sorted(record.find_runs([tmp_path / "study"]), key=lambda run: record.read_summary(run)["seed"])
    alone = [train(*choices, *SHORT, f"seed={seed}", directory=f"alone{seed}") for seed in (1, 2)]
    for one, other in zip(alone, stacked, strict=True):
        assert record.read_summary(other)["stacked"] == 2
        assert np.allclose(curves(one), curves(other), rtol=1e-5, equal_nan=True)
        assert len(read_folds(one)) == len(read_folds(other)) > 0
    begun = train(*choices, *SHORT, "seed=1", "trainer.max_epochs=1", directory="resumed")
    assert main("train.py", f"resume={begun}", "trainer.max_epochs=2") == 0
    assert curves(begun).equals(curves(alone[0]))


def test_classes_keep_their_names_in_every_reader(train: Train, capsys: Any) -> None:
    run = train(*CLASSES, *SHORT, "trainer.max_epochs=30")
    frame = pd.read_csv("leaves.csv", sep=";", decimal=",", encoding="cp1252").rename(columns=lambda name: name.strip())
    capsys.readouterr()
    assert main("evaluate.py", str(run)) == 0
    shown = capsys.readouterr().out
    assert "betula [/b]" in shown and "Cornus" in shown
    test = record.read_summary(run)["test"]
    assert list(test["per_class_acc"]) == ["Cornus", "acer", "betula [/b]"] and test["samples"] == 18
    Path("leaves.csv").unlink()  # a loaded run needs no data
    loaded = load_run(run)
    assert loaded.data.class_names is not None
    probabilities = loaded.predict(frame)
    named = [loaded.data.class_names[i] for i in probabilities.argmax(1)]
    assert torch.allclose(probabilities.sum(1), torch.ones(120))
    assert np.mean(np.array(named) == frame.kind) > 0.9


def test_amounts_are_predicted_and_evaluated_in_their_unit(train: Train) -> None:
    run = train(*AMOUNTS, *SHORT)
    assert main("evaluate.py", str(run)) == 0
    predictions = pd.read_parquet(run / record.PREDICTIONS)
    tested = predictions[predictions.split == "test"]
    metrics = record.read_summary(run)["test"]
    assert metrics["mse"] == pytest.approx(((tested.target - tested.prediction) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(("choices", "message"), [
    (("model=regression", *CLASSES[1:]), "regression, but Table is data for classification"),
    (("model=mlp", *AMOUNTS[1:]), "classification, but Table is data for regression"),
    (("model=vgg6", *CLASSES[1:]), "VGG6 takes images of 8 x 8 pixels or more"),
    (("model=vgg6", *FOLDER[1:], "data.size=4"), "larger images (data=cifar10; data.size=32)"),
    (("model=regression", *FOLDER[1:]), "regression, but ImageFolder is data for classification"),
    (("model=mlp", "data=table"), "data.path is null; name a CSV or Parquet file"),
    (("model=mlp", "data=table", "data.path=leaves.csv"), "leaves.csv has length (cm), place, kind, price"),
    (("model=mlp", "data=table", "data.path=."), "is a directory. Name a file"),
    (("model=mlp", "data=image_folder", "data.path=leaves.csv"), "leaves.csv is a file. Name a directory with data.path=DIR"),
    (("model=mlp", "data=emnist", "data.split=leters"), "Did you mean 'letters'"),
    ((*CLASSES, "data.categorical=5"), "data.categorical is 5; it must be a list, a text or null"),
    ((*CLASSES, "data.drop=place"), "data.drop is 'place'; it must be a list: data.drop=[place]"),
    ((*CLASSES, "data.missing=3"), "data.missing is 3; it must be a word, such as refuse"),
    ((*CLASSES, "data.target=1.5"), "data.target is 1.5; it must be a text, a whole number or null"),
    ((*CLASSES, "data.bins=1000000"), "data.bins is 1000000; it must be a whole number, at least 2 and at most 1000"),
    ((*FOLDER, "data.mean=[nan,0,0]"), "data.mean is [nan, 0, 0]"),
    (("model=mlp", "data=mnist", "data.root=leaves.csv"), "leaves.csv is a file. Name a directory with data.root=DIR"),
    (("model=mlp", "data=mnist", "+data.augment=true"), "There is no 'augment' in data"),
])  # fmt: skip
@pytest.mark.cases(6)
def test_what_does_not_fit_is_refused_before_training(capfd: Any, choices: tuple[str, ...], message: str) -> None:
    for dry in ((), ("dry_run=true",)):
        assert main("train.py", *choices, *SHORT, "trainer=cpu", *dry) == 1
        said = " ".join("".join(capfd.readouterr()).split())
        assert message in said and "Traceback" not in said, said


def test_vgg6_takes_small_grey_images_and_a_hundred_classes(train: Train) -> None:
    for i in range(100):
        Path("many", f"class{i:02}").mkdir(parents=True)
        for k in range(4):
            Image.fromarray(np.full((28, 28), 2 * i + k, np.uint8)).save(Path("many", f"class{i:02}", f"{k}.png"))
    arguments = (
        "model=vgg6",
        "model.width_multiplier=0.05",
        "data=image_folder",
        "data.path=many",
        "data.size=28",
        "data.grey=true",
    )
    run = train(*arguments, "data.augment=true", *SHORT)
    assert load_run(run).network[-1].out_features == 100  # type: ignore[index]
    assert main("evaluate.py", str(run)) == 0
