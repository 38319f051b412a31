"""Mistakes that people make who know other programs: each is answered in a line that contains what they meant."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from paribus.cli.mistakes import check_arguments
from paribus.config.check import read_choices
from paribus.config.compose import Composer
from paribus.config.messages import explain
from paribus.errors import UserError

MISTAKES = {
    "lr=0.1": "optim.lr=",
    "--lr 0.1": "optim.lr=0.1",
    "--lr=0.1": "optim.lr=0.1",
    "-lr 0.1": "optim.lr=0.1",
    "lr 0.1": "optim.lr=0.1",
    "lr:0.1": "optim.lr=0.1",
    "optim.lr:0.1": "optim.lr=0.1",
    "optim.lr==0.1": "optim.lr=0.1",
    "optim..lr=0.1": "optim.lr=0.1",
    "optim/lr=0.1": "optim.lr=",
    "optim_lr=0.1": "optim.lr=",
    "optim.LR=0.1": "optim.lr=",
    "Optim.LR=0.1": "optim.lr=",
    "optimizer.lr=0.1": "optim.lr=",
    "model.lr=0.1": "optim.lr=",
    "~lr": "optim.lr=",
    "optim.lr=0.1,": "optim.lr=0.1.",
    "optim.lr='0.1": "quote is not closed",
    "momentum=0.9": "optim.momentum=...? It comes with optim=muon, optim=nesterov",
    "optim.momentum=0.9": "optim=sgd_momentum",
    "optim.amsgrad=true": "+optim.amsgrad=",
    "weigth_decay=0.1": "optim.weight_decay=",
    "beta1=0.9": "optim.betas=",
    "optimizer=adam": "optim=",
    "adam": "optim=adam",
    "optim=Adam(lr=0.1)": "optim=adam optim.lr=0.1",
    "optim=torch.optim.Adam": "'adam'",
    "batch-size=64": "data.batch_size=",
    "--batch-size 64": "data.batch_size=64",
    "data.batchsize=3": "data.batch_size=",
    "bs=32": "data.batch_size=",
    "data=my.csv": "data.path=my.csv",
    "augment=true": "data.augment=...? It comes with data=cifar10",
    "num_workers=4": "no workers",
    "epochs=5": "trainer.max_epochs=",
    "--epochs=5": "trainer.max_epochs=5",
    "trainer.epochs=5": "trainer.max_epochs=",
    "max_steps=100": "+trainer.max_steps=",
    "trainer.max_steps=100": "+trainer.max_steps=",
    "grad_clip=1": "trainer.gradient_clip_val=",
    "fp16=true": "trainer.precision=",
    "cuda=true": "trainer=gpu",
    "--gpus 2": "trainer=ddp",
    "trainer=cuda": "trainer=gpu",
    "act=relu": "activation=",
    "activation=ReLU": "'relu'",
    "activation=relu, tanh": "activation=relu,tanh",
    "activation=relu ,tanh": "activation=relu,tanh",
    "activation=relu tanh": "--multirun activation=relu,tanh",
    "activation = tanh": "activation=tanh",
    "activation= tanh": "activation=tanh",
    "activation =tanh": "activation=tanh",
    "n_layers=3": "model.depth=",
    "hidden_dim=64": "model.width=",
    "model.hidden=(64,32)": "model.hidden=[64,32]",
    "model.hidden=64": "a list of numbers, such as [128, 64]",
    "criterion=mse": "loss=",
    "vgg6": "model=vgg6",
    "lr_scheduler=cosine": "scheduler=",
    "scheduler=cosine_annealing": "'cosine'",
    "scheduler.T_max=5": "scheduler=cosine",
    "early_stopping=true": "EarlyStopping",
    "callbacks=early_stopping": "EarlyStopping",
    "activation=relu,tanh": "add --multirun for a run each.",
    "logger=csv,tensorboard": "or write a list as logger=[csv,tensorboard].",
    "modle=mlp": "model=...?",
    "mod=mlp": "model=...?",
    "--multirum seed=1,2": "Did you mean --multirun?",
    "seed=[1,2,3]": "--multirun seed=1,2,3",
    "seed=1-5": "--multirun seed=",
    "seeds=1": "seed=",
    "multirun=true": "--multirun",
    "help": "--help",
    "ckpt_path=x": "resume=",
    "output_dir=x": "hydra.run.dir=",
    "exp_name=x": "study=",
    "dry-run=true": "dry_run=",
    "launcher=parallel": "hydra/launcher=",
    "n_jobs=2": "hydra.launcher.n_jobs=",
    "study": "study=VALUE",
    "data.root=🙂": "has to be quoted",
    "=3": "key=value",
    "-x": "--help",
}


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield Composer(GlobalHydra.instance().config_loader(), "train")


def answer(composer: Composer, typed: list[str]) -> str | None:
    """The message for what was typed; None where nothing is wrong with it."""
    try:
        check_arguments(typed)
        composed = composer.compose(["model=regression", *typed])
        read_choices(composed, composed.hydra.runtime.choices, composer)
    except (UserError, HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        return explain(error)
    return None


@pytest.mark.parametrize("typed", MISTAKES)
def test_the_answer_contains_what_is_meant(typed: str, composer: Composer) -> None:
    said = answer(composer, typed.split())
    assert said is not None and MISTAKES[typed] in said
    assert said.count("\n") == 0 and len(said) < 400


@pytest.mark.parametrize(
    "typed", ["optim.lr=0.1", "model.hidden=[64, 32]", "~callbacks.updates", "+trainer.max_steps=9"]
)
def test_what_is_right_has_no_answer(typed: str, composer: Composer) -> None:
    assert answer(composer, [typed]) is None


@pytest.mark.parametrize(("name", "text"), [
    ("experiment/flat", "optim: {lr: 0.1}\n"),
    ("model/flat", "model: {_target_: x}\ndefault_lr: {adam: 1}\n"),
])  # fmt: skip
def test_a_file_without_its_package_line(name: str, text: str, tmp_path: Path, composer: Composer) -> None:
    path = tmp_path / "own" / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    group = name.partition("/")[0]
    search = [f"hydra.searchpath=[file://{tmp_path / 'own'}]"]
    composer = Composer(GlobalHydra.instance().config_loader(), "train", search)
    composed = composer.compose([f"{group}=flat"])
    with pytest.raises(UserError, match=f"{group}=flat: its file must begin with the line `# @package _global_`"):
        read_choices(composed, composed.hydra.runtime.choices, composer)


@pytest.mark.parametrize(("typed", "said"), [
    ("optim=broken", r"broken\.yaml, line 3, column 1: this is not YAML: expected ',' or ']'"),
    ("model=narrow optim=rmsprop", r"no rate for optim=rmsprop\. Give one: optim\.lr=VALUE"),
])  # fmt: skip
def test_what_is_wrong_in_a_file(typed: str, said: str, tmp_path: Path, composer: Composer) -> None:
    files = {
        "optim/broken": "_target_: torch.optim.SGD\nlr: [0.1\n",
        "model/narrow": "# @package _global_\ndefaults: [{/data@_global_.data: concrete}, {/loss@_global_.loss: mse}, _self_]\n"
        "model: {_target_: paribus.models.regression.RegressionNet}\ndefault_epochs: 1\ndefault_lr: {adam: 1}\n",
    }
    for name, text in files.items():
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / f"{name}.yaml").write_text(text)
    search = [f"hydra.searchpath=[file://{tmp_path / 'own'}]"]
    found = answer(Composer(GlobalHydra.instance().config_loader(), "train", search), typed.split())
    assert found is not None and re.search(said, found)


def test_every_word_of_another_program_leads_to_a_key_that_there_is(composer: Composer) -> None:
    from paribus.config.suggestions import OTHER_WORDS, index_groups, index_keys

    for meant in OTHER_WORDS:
        known = meant in index_keys() or meant in index_groups() or meant.startswith(("hydra", "trainer."))
        assert known or meant == "loss", meant
