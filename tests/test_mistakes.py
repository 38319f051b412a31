"""Mistyped commands, and the messages that answer them."""

import re
from typing import Any

import pytest
from conftest import main

from paribus.cli.mistakes import check_arguments
from paribus.errors import UserError, unknown_name

MEANT = {
    "lr=0.1": "optim.lr=",
    "learning_rate=0.1": "optim.lr=",
    "batch_size=64": "data.batch_size=",
    "epochs=5": "trainer.max_epochs=",
    "max_epochs=3": "trainer.max_epochs=",
    "dropout=0.1": "model.dropout=",
    "weight_decay=0.1": "optim.weight_decay=",
    "precision=16": "trainer.precision=",
    "train_subset=10": "data.train_subset=",
    "device=cuda": "trainer=gpu",
    "gpus=1": "trainer=gpu",
    "wandb=true": "logger=wandb",
    "early_stopping=true": "EarlyStopping",
    "num_workers=4": "no workers",
    "optimizer=adam": "optim=",
    "+lr=0.1": "optim.lr=",
}


@pytest.mark.parametrize("typed", MEANT)
def test_a_bare_key_is_answered_with_the_key_that_is_meant(typed: str, capsys: Any) -> None:
    assert main("train.py", "model=regression", "dry_run=true", typed) == 1
    said = capsys.readouterr().err
    assert f"There is no '{typed.lstrip('+').partition('=')[0]}' in the configuration." in said
    assert MEANT[typed] in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--lr", "0.1"], "no flag --lr. Options are written key=value: optim.lr=0.1"),
        (["--max-epochs=3"], "trainer.max_epochs=3"),
        (["activation", "=", "tanh"], "without blanks"),
        (["activation=", "tanh"], "without blanks"),
        (["--multirun", "activation=relu,", "tanh"], "activation=relu,tanh"),
    ],
)
def test_the_grammar(typed: list[str], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        check_arguments(typed)


@pytest.mark.parametrize(
    "typed",
    [
        ["--multirun", "seed=1,2"],
        ["-m", "a=b"],
        ["--cfg", "job"],
        ["--config-dir=x"],
        ["-cn", "train"],
        ["a="],
        ["a=[1, 2]"],
        [],
    ],
)
def test_what_is_right_passes(typed: list[str]) -> None:
    check_arguments(typed)


def test_a_list_of_seeds(capsys: Any) -> None:
    for more in ("dry_run=true", "trainer=cpu"):
        assert main("train.py", "model=regression", "seed=[1,2,3]", more) == 1
        assert "--multirun seed=1,2,3" in capsys.readouterr().err


def test_names_are_suggested_whatever_their_case(capsys: Any) -> None:
    assert main("train.py", "model=regression", "dry_run=true", "activation=ReLU") == 1
    assert "Did you mean 'relu'?" in capsys.readouterr().err
    assert "Did you mean" not in str(unknown_name("0", "x", ["0"]))
