"""How the runs of a study are named, and which there are."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, main
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from small_studies import QUICK, sweep

from paribus import record
from paribus.config.compose import Composer
from paribus.errors import UserError
from paribus.sweep.expand import expand_sweep
from paribus.sweep.jobs import name_run
from paribus.sweep.labels import label_runs, split_labels


@pytest.fixture(scope="module")
def composer() -> Composer:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    return Composer(loader, "train")


@pytest.mark.parametrize(("overrides", "expected"), [
    ([], "defaults"),
    (["optim=sgd", "activation=relu"], "activation=relu,optim=sgd"),
    (["seed=1", "threads=2", "data.root=x", "study=y", "logger=none", "figures=true", "hydra.job.num=3"], "seed=1"),
    (["experiment=study", "seed=1"], "seed=1"),
    (["experiment=other", "seed=1"], "experiment=other,seed=1"),
    (["model.hidden=[64,32]"], "model.hidden=[64,32]"),
])  # fmt: skip
def test_a_run_is_named_by_its_choices_sorted(composer: Composer, overrides: list[str], expected: str) -> None:
    assert name_run(overrides, composer, "study") == expected


@given(st.lists(st.text("ab /\\'\"=,äß日\t~*?", min_size=0, max_size=60), min_size=1, max_size=3))
def test_a_name_is_safe_short_and_tells_apart(composer: Composer, texts: list[str]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    overrides = [f"+k{i}={quoted(text)}" for i, text in enumerate(texts)]
    found = name_run(overrides, composer, "study")
    assert len(found.encode()) <= 100
    assert not set(found) & set("/\\'\" \t*?~ä日")
    assert found not in (".", "..")
    assert name_run(list(reversed(overrides)), composer, "study") == found
    assert name_run([*overrides, "+other=1"], composer, "study") != found
    assert name_run([overrides[0][:-1] + 'x"', *overrides[1:]], composer, "study") != found


def expanded(arguments: Sequence[str], params: Any = None, grids: Any = None) -> list[list[str]]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return expand_sweep(arguments, loader, loader.load_configuration("train", [], RunMode.MULTIRUN), params, grids)


def test_every_combination_is_a_run() -> None:
    assert expanded(["optim=sgd,adam", "seed=range(1,3)", "~callbacks.updates", "model.hidden=[8],[8,4]"]) == [
        [f"optim={optim}", f"seed={seed}", "~callbacks.updates", f"model.hidden={hidden}"]
        for optim in ("sgd", "adam") for seed in (1, 2) for hidden in ("[8]", "[8,4]")
    ]  # fmt: skip


def test_an_experiment_lists_grids_and_points() -> None:
    grids = [{"optim": "sgd,adam", "optim.lr": [0.1, 0.01]}, {"optim": "sgd_momentum", "optim.momentum": 0.5},
             {"model.hidden": [[8], [8, 4]], "data.log_age": True, "data.train_subset": None}]  # fmt: skip
    found = expanded(["seed=1,2"], {"scheduler": "none"}, OmegaConf.create(grids))
    with_seeds = [
        ["scheduler=none", "optim=sgd", "optim.lr=0.1"], ["scheduler=none", "optim=sgd", "optim.lr=0.01"],
        ["scheduler=none", "optim=adam", "optim.lr=0.1"], ["scheduler=none", "optim=adam", "optim.lr=0.01"],
        ["scheduler=none", "optim=sgd_momentum", "optim.momentum=0.5"],
        ["scheduler=none", "model.hidden=[8]", "data.log_age=true", "data.train_subset=null"],
        ["scheduler=none", "model.hidden=[8,4]", "data.log_age=true", "data.train_subset=null"],
    ]  # fmt: skip
    assert found == [[*run, f"seed={seed}"] for run in with_seeds for seed in (1, 2)]


def test_a_run_with_none_of_the_varied_keys_has_its_own_name_in_tables() -> None:
    """As the empty grid beside another has it, with one seed."""
    runs: Any = [
        SimpleNamespace(name=name, job=SimpleNamespace(varying=varying))
        for name, varying in (("plain", ()), ("muon", ("optim=muon", "optim.lr=0.06")))
    ]
    assert split_labels(runs) == (["run", "optim", "lr"], [["plain", "", ""], ["", "muon", "0.06"]])


def test_runs_of_several_looks_are_named_by_what_they_differ_in_over_all() -> None:
    @dataclass(frozen=True)
    class OneJob:
        overrides: tuple[str, ...]
        varying: tuple[str, ...] = ()

    @dataclass(frozen=True)
    class Planned:
        job: OneJob

    common = ("optim=sgd", "trainer=cpu", "sequential=true", "study=s")
    typed = [(*common, "seed=1"), (*common, "seed=2", "confirm=true")]
    labelled, shared = label_runs([Planned(OneJob(each)) for each in typed])  # type: ignore[misc]
    assert [run.job.varying for run in labelled] == [("seed=1",), ("seed=2",)]
    assert shared == ["optim=sgd", "trainer=cpu"]


def test_what_is_typed_wins_over_a_grid() -> None:
    assert expanded(["optim=adagrad"], None, [{"optim": "sgd,adam", "optim.lr": 1}]) == [
        ["optim=adagrad", "optim.lr=1"]
    ]


def test_a_grid_that_is_none_and_an_interval_are_refused() -> None:
    with pytest.raises(UserError, match="a grid gives values by key"):
        expanded([], None, ["optim"])
    with pytest.raises(UserError, match="an interval is not a list of values"):
        expanded(["optim.lr=interval(0,1)"])


@pytest.mark.slow
def test_a_study_written_as_an_experiment(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    for letter, optim in (("a", "sgd"), ("b", "adagrad")):
        (folder / f"{letter}.yaml").write_text(
            f"# @package _global_\nhydra: {{sweeper: {{grids: [{{optim: {optim}}}, {{optim: adam, optim.lr: '0.1,0.2'}}]}}}}\n"
        )
    own = f"--config-dir={tmp_path / 'own'}"
    one, two = sweep(own, "experiment=a"), sweep(own, "experiment=a,b", of="t")
    assert len([d for d in one.iterdir() if d.is_dir()]) == 3
    assert len([d for d in two.iterdir() if d.is_dir()]) == 4  # adam's runs are the same in both
    assert main("train.py", own, "experiment=a", *QUICK) == 1
    assert "This experiment is a study: it lists several runs. Add --multirun" in capsys.readouterr().err
    run = next(d for d in one.iterdir() if d.is_dir())
    assert main("train.py", f"rerun={run}", "trust=true") == 0
    command = shlex.split(record.read_summary(run)["command"])
    assert main("train.py", *command[2:], "threads=1", "hydra.run.dir=again") == 0
    assert record.read_metrics(Path("again"))[-1]["train/loss"] == record.read_metrics(run)[-1]["train/loss"]
