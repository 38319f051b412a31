"""Hydra's lists of options, removed groups, missing values, and targets that name nothing: composed, or one message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import main

from paribus import record

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=1", "threads=1")


@pytest.mark.parametrize(
    ("options", "choices", "callbacks"),
    [
        (("logger=[tensorboard,csv]", "callbacks=none"), {"logger": "[tensorboard,csv]", "callbacks": "none"}, 0),
        (("logger=[tensorboard,none]", "callbacks=none"), {"logger": "[tensorboard,none]"}, 0),
        (("~logger", "~callbacks"), {"logger": "none", "callbacks": "none"}, 0),
        (("logger=[]", "callbacks=[]"), {"logger": "none", "callbacks": "none"}, 0),
        (("logger=none", "callbacks=[default,none]"), {"callbacks": "[default,none]"}, 8),
        (("logger=none", "callbacks=[none,default]"), {"callbacks": "[none,default]"}, 8),
        (("logger=none", "~callbacks.updates"), {"callbacks": "default"}, 7),
    ],
)
def test_lists_and_removals_compose(
    train: Train, options: tuple[str, ...], choices: dict[str, str], callbacks: int
) -> None:
    directory = train(*SHORT, *options)
    summary = record.read_summary(directory)
    assert {group: summary["choices"][group] for group in choices} == choices
    assert len(summary["config"]["callbacks"]) == callbacks
    assert summary["set"] == {"trainer.max_epochs": 1}
    resumed = ("trainer.max_epochs=2", f"resume={directory}")
    assert main("train.py", *resumed) == 0  # the record's own overrides, once more
    assert len(pandas.read_csv(directory / record.METRICS)) == 2


def test_a_removed_group_is_the_same_run_as_none(train: Train) -> None:
    one, two = (
        train(*SHORT, "~logger", "~callbacks", directory="1"),
        train(*SHORT, "logger=none", "callbacks=none", directory="2"),
    )
    assert record.read_summary(one)["identity"] == record.read_summary(two)["identity"]


def test_lists_in_a_sweep() -> None:
    sweep = ("--multirun", *SHORT, "trainer=cpu", "study=s", "logger=[csv,none]", "callbacks=none", "seed=1,2")
    assert main("train.py", *sweep) == 0
    assert len(list(Path("outputs/s").glob("*/csv/version_0/metrics.csv"))) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("logger=[tensorboard,nope]",), "There is no 'nope' in logger"),
        (("optim=[adam,sgd]",), "optim needs one option"),
        (("~optim",), "optim needs one option"),
        (("model._target_=abc",), "model._target_: abc is a module, which cannot be called"),
        (("model._target_=no.such.thing",), "model._target_: Python finds no module 'no'"),
        (("model._target_=null",), "model._target_ is null; it must name a class"),
        (("trainer._target_=null",), "trainer._target_ is null"),
        (("callbacks.progress._target_=null",), "callbacks.progress._target_ is null"),
        (("callbacks.progress=null",), "~callbacks.progress leaves it out"),
        (("seed=???",), "seed has no value yet. Give it one: seed=VALUE"),
        (("hydra.sweeper.params=3",), "--multirun"),
        (("--multirun", "hydra.sweeper.params=3"), "hydra.sweeper.params is 3; it gives values by key"),
        (("--multirun", "hydra.sweeper.grids=3"), "hydra.sweeper.grids is 3; it must be a list"),
        (("--multirun", "hydra.sweeper.grids=[3]"), "hydra.sweeper.grids has 3"),
    ],
)
def test_what_does_not_compose_is_one_message(options: tuple[str, ...], said: str, capsys: Any) -> None:
    assert main("train.py", *SHORT, "trainer=cpu", *options) == 1
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """--config-dir with a model that has a width and no depth, and data whose path has to be given."""
    files = {
        "model/wide": "# @package _global_\ndefaults: [{/data@_global_.data: concrete}, _self_]\n"
        "model: {_target_: wide_parts.Wide, width: 4, init: torch, loss: mse}\ndefault_epochs: 1\ndefault_lr: {adam: 0.01}\n",
        "data/mine": "_target_: paribus.data.concrete.Concrete\npath: ???\ntarget: strength\nsplit: random\nlog_age: false\n"
        "bins: null\nbatch_size: 8\nval_fraction: 0.2\ntest_fraction: 0.2\ntrain_subset: null\ntrain_on_validation: false\n"
        "seed: ${seed}\n",
    }
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / f"{name}.yaml").write_text(text)
    (tmp_path / "wide_parts.py").write_text(
        "from torch import nn\n"
        "class Wide(nn.Module):\n"
        "    def __init__(self, in_shape, out_features, activation, width):\n"
        "        super().__init__()\n"
        "        self.first, self.last = nn.Linear(in_shape[0], width), nn.Linear(width, out_features)\n"
        "    def forward(self, x):\n"
        "        return self.last(self.first(x)).squeeze(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return f"--config-dir={tmp_path / 'own'}"


def test_an_own_model_with_a_width_and_no_depth(train: Train, own_parts: str) -> None:
    runs = [
        train(
            own_parts, "model=wide", "callbacks=none", "logger=none", "threads=1", f"model.width={n}", directory=str(n)
        )
        for n in (4, 8)
    ]
    summaries = [record.read_summary(run) for run in runs]
    assert [summary["statistics"]["parameters"] for summary in summaries] == [41, 81]  # 9 n + n + 1
    assert summaries[0]["identity"] != summaries[1]["identity"]


def test_a_path_that_an_own_yaml_leaves_open(train: Train, own_parts: str, tmp_path: Path, capsys: Any) -> None:
    random = np.random.default_rng(0)
    pandas.DataFrame(random.random((60, 4)), columns=["a", "b", "c", "strength"]).to_csv(
        tmp_path / "x.csv", index=False
    )
    options = (*SHORT, "data=mine", "callbacks=none", "logger=none")
    directory = train(own_parts, *options, f"data.path={tmp_path / 'x.csv'}")
    assert record.read_summary(directory)["data"]["train"] == 36
    train(own_parts, *options, directory="without", code=1)
    assert "data.path has no value yet. Give it one: data.path=VALUE." in capsys.readouterr().err
