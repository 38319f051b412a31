"""Small data in the official formats, and ways of running the entry points."""

import gzip
import pickle
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from case_selection import SOAK, pytest_collection_modifyitems  # noqa: F401  a hook
from commands import ROOT, conf_read_once, keep_what_is_imported, main, typed  # noqa: F401  what tests import from here
from foreign_fixtures import fit, foreign  # noqa: F401  fixtures of tests/foreign
from hypothesis import settings

from paribus import record
from paribus.data import fashion_mnist, files
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytest.register_assert_rewrite("resumed_runs", "small_stacks")
# How long an example takes is the machine's affair. More examples, and others each time, are for make soak:
# elsewhere what fails was broken by the change and not by luck.
settings.register_profile("paribus", deadline=None, max_examples=100 if SOAK else 40, derandomize=not SOAK)
settings.load_profile("paribus")

SHARED = ROOT.parent / "shared" / "data"
CIFAR_TRAIN = [f"data_batch_{i}" for i in range(1, 6)]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a directory of its own as its working directory, and no data but what it makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PARIBUS_DATA", raising=False)
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "no-system-copy")


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format of the MNIST family."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def striped(n: int, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images that a network can tell apart: class c is bright in its own rows; and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    random.shuffle(labels)
    images = random.integers(0, 60, (n, *shape), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., 2 * label : 2 * label + 3, :] += 150
    return images, labels.astype(np.uint8)


@pytest.fixture
def fashion_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data.root with a small Fashion-MNIST (600 + 100 images) as torchvision lays it out, packed."""
    raw = tmp_path / "fashion" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for known, n, seed in ((fashion_mnist.TRAIN, 600, 1), (fashion_mnist.TEST, 100, 2)):
        images, labels = striped(n, (28, 28), seed)
        for name, content in zip(list(known), (idx(images), idx(labels)), strict=True):
            (raw / f"{name}.gz").write_bytes(gzip.compress(content, 1))
            monkeypatch.setitem(known, name, files.compute_digest(content))
    return tmp_path / "fashion"


@pytest.fixture
def cifar_root(tmp_path: Path) -> Path:
    """A data.root with a small CIFAR-10 (5 x 20 + 20 images) in the "python version" layout, with other checksums."""
    folder = tmp_path / "cifar" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for seed, name in enumerate([*CIFAR_TRAIN, "test_batch"]):
        images, labels = striped(20, (3, 32, 32), seed)
        batch = {b"batch_label": name.encode(), b"labels": labels.tolist(), b"data": images.reshape(20, -1),
                 b"filenames": [b"x.png"] * 20}  # fmt: skip
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return tmp_path / "cifar"


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Path]:
    """train("model=regression", ...) makes a run in a directory of its own, checks its exit code, and returns it."""

    def make(*overrides: str, directory: str = "run", code: int = 0) -> Path:
        where = tmp_path / directory
        device = () if any(o.startswith("trainer=") for o in overrides) else ("trainer=cpu",)
        assert main("train.py", *overrides, *device, f"hydra.run.dir={where}") == code
        return where

    return make


@pytest.fixture
def checkpoints_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)


@pytest.fixture
def snapshot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """snapshot(4): what kill -9 in the middle of epoch 4 would leave of the next run, copied at that moment while the run
    goes on; snapshot("end"): between the last checkpoint and the summary."""

    def at(when: int | str) -> Path:
        copied = tmp_path / f"killed-{when}"

        def copy(recorder: Recorder) -> None:
            if not copied.exists():
                shutil.copytree(recorder.directory, copied)

        if when == "end":
            ended = Recorder.on_fit_end
            monkeypatch.setattr(Recorder, "on_fit_end", lambda self, *a: (ended(self, *a), copy(self))[0])
        else:
            stepped = Recorder.on_train_batch_end

            def step(self: Recorder, trainer: Any, *rest: Any) -> None:
                stepped(self, trainer, *rest)
                if trainer.current_epoch + 1 == when and rest[-1] == 1:
                    copy(self)

            monkeypatch.setattr(Recorder, "on_train_batch_end", step)
        return copied

    return at


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *arguments: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this machine and the directory that it serves."""
    (tmp_path / "served").mkdir()
    Quiet.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/", tmp_path / "served"
        http.shutdown()


OWN = """
import lightning, torch
from torch import nn
from paribus.data.module import InMemory

class Square(nn.Module):
    def forward(self, x):
        return x * x

class Bilinear(nn.Module):
    def __init__(self, in_shape, out_features, activation, rank=3):
        super().__init__()
        self.a, self.activation, self.b = nn.Linear(in_shape[0], rank), activation(), nn.Linear(rank, out_features)
    def forward(self, x):
        return self.b(self.activation(self.a(x))).squeeze(1)

class Wrong(Bilinear):
    def forward(self, x):
        return self.b(self.activation(self.a(x)))

class SignDescent(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure=None):
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()
        return loss

class Line(InMemory):
    task, in_shape, out_features = "regression", (1,), 1
    def load(self, test):
        x = torch.linspace(-1, 1, 100).view(-1, 1)
        y = 3 * x[:, 0] + 1
        self.fingerprint = "line"
        train, val, _ = self.choose(100, 20)
        return (None, None, (x, y)) if test else ((x[train], y[train]), (x[val], y[val]), None)
    def inputs(self, raw):
        return torch.as_tensor(raw).float()
    def statistics(self):
        return {}
    def restore(self, statistics):
        pass

class Stop(lightning.Callback):
    def on_train_epoch_start(self, trainer, learner):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt

class Boom(lightning.Callback):
    def on_train_epoch_end(self, trainer, learner):
        raise RuntimeError("boom")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """--config-dir with one YAML for each of a user's own classes."""
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    files = {
        "model/bilinear": "# @package _global_\ndefaults: [{/data@_global_.data: line}, _self_]\nmodel: {_target_: own_parts.Bilinear,"
        " rank: 4, init: torch, loss: mse}\ndefault_epochs: 5\ndefault_lr: {adam: 0.05}\n",
        "model/wrong": "# @package _global_\ndefaults: [{/data@_global_.data: line}, _self_]\nmodel: {_target_: own_parts.Wrong,"
        " init: torch, loss: mse}\ndefault_epochs: 5\ndefault_lr: {adam: 0.05}\n",
        "data/line": "_target_: own_parts.Line\nbatch_size: 10\ntrain_subset: null\ntrain_on_validation: false\nseed: ${seed}\n",
        "activation/square": "_target_: own_parts.Square\n",
        "optim/sign": "_target_: own_parts.SignDescent\nlr: 0.01\n",
        "callbacks/stop": "stop: {_target_: own_parts.Stop}\n",
        "callbacks/boom": "boom: {_target_: own_parts.Boom}\n",
        "experiment/typo": "# @package _global_\noptm: {lr: 3}\n",
        "experiment/wide": "# @package _global_\ndefaults: [{override /optim: sgd}]\nmodel: {hidden: [9]}\n",
    }
    for name, text in files.items():
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return f"--config-dir={tmp_path / 'own'}"


@pytest.fixture
def networks(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """networks("Frozen"): the arguments that train a network of callbacks/own_networks.py on the concrete data."""
    folder = tmp_path / "own" / "model"
    folder.mkdir(parents=True)

    def chosen(name: str) -> tuple[str, ...]:
        (folder / "mine.yaml").write_text(
            "# @package _global_\ndefaults: [{/data@_global_.data: concrete}, _self_]\n"
            f"model: {{_target_: own_networks.{name}, init: torch, loss: mse}}\n"
            "default_epochs: 2\ndefault_lr: {adam: 0.01, sgd: 0.01}\n"
        )
        return (f"--config-dir={tmp_path / 'own'}", "model=mine", "threads=1")

    return chosen


def read_layers(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / record.LAYERS)


def read_folds(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / record.FOLDS)


def as_dict(frame: pandas.DataFrame) -> dict[tuple, float]:
    keys = list(zip(frame.epoch, frame.layer, frame.tensor, frame.quantity, strict=True))
    assert len(set(keys)) == len(keys), "a value is there twice"
    return dict(zip(keys, frame.value, strict=True))
