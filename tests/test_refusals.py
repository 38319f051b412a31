"""What cannot be right is refused, or fails, with one message; nothing that is there is lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from paribus import record

pytestmark = [pytest.mark.slow, pytest.mark.cases(999)]

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


@pytest.mark.parametrize(("overrides", "message"), [
    (("+anything=1",), r"There is no 'anything' in the configuration. Valid: activation"),
    (("+optim.lrr=1",), r"There is no 'lrr' in optim. Did you mean 'lr'?"),
    (("+model.widht=1",), r"There is no 'widht' in model. Did you mean 'width'?"),
    (("+callbacks.x=1",), r"There is no 'x' in callbacks"),
    (("optim.lr=fast",), r"optim.lr is 'fast'; it must be a number."),
    (("optim.lr=nan",), r"must be a number"),
    (("data.batch_size=1.5",), r"must be a whole number"),
    (("data.train_on_validation=1",), r"must be true or false"),
    (("model.hidden=64",), r"model.hidden is 64; it must be a list of numbers, such as [128, 64]."),
    (("optim.lr=-1",), r"optim.lr is -1; it must be a number, at least 0."),
    (("model.hidden=[3]", "model.width=3", "model.depth=1"), r"model.hidden excludes model.width"),
    (("model.width=3",), r"must be set together"),
    (("loss=cross_entropy",), r"loss (CrossEntropyLoss) is for classification, but Concrete is data for regression."),
    (("model.init=he",), r"There is no 'he' in model.init."),
    (("model=mlp", "data=concrete"), r"Concrete is data for regression"),
    (("data=concrete", "model=mlp", "loss=mse"), r"MLP returns (2, 1) for 2 samples; regression on these data needs (2,)"),
    (("model=vgg6", "data=concrete"), r"Concrete is data for regression"),
    (("trainer.max_epochs=0",), r"trainer.max_epochs is 0; it must be a whole number, at least 1."),
    (("trainer=gpu",), r"trainer.accelerator is 'gpu', and torch finds no GPU here. Choose trainer=cpu"),
    (("data.path=nowhere.csv",), r"nowhere.csv does not exist"),
    (("data.train_subset=99999",), r"the training part has 722"),
    (("data.train_subset=abc",), r"data.train_subset is 'abc'; it must be a whole number"),
    (("data.train_subset=true",), r"data.train_subset is True; it must be a whole number"),
    (("data.batch_size=64.0",), r"data.batch_size is 64.0; it must be a whole number."),
    (("data.val_fraction=null",), r"data.val_fraction is None; it must be a number."),
    (("optim.lr=null",), r"optim.lr is None; it must be a number."),
    (("optim.betas=[a,b]",), r"optim.betas is ['a', 'b']; it must be a list of numbers, such as [0.9, 0.999]."),
    (("optim.betas=[0.9]",), r"optim.betas is [0.9]; it must be a list of 2 numbers"),
    (("seed=-1",), r"seed is -1; it must be a whole number, at least 0."),
    (("seed=null",), r"seed is None"),
    (("threads=0",), r"threads is 0; it must be a whole number, at least 1 and at most"),
    (("trainer.max_epochs=2.0",), r"trainer.max_epochs is 2.0; it must be a whole number, at least 1."),
    (("trainer.max_epochs=null",), r"trainer.max_epochs is None"),
    (("trainer.gradient_clip_val=-1",), r"trainer.gradient_clip_val is -1; it must be a number, above 0"),
    (("trainer=cpu", "trainer.devices=2"), r"trainer.devices=2: a run trains on one device. To train on several, choose trainer=ddp"),
    (("+trainer.enable_progress_bar=true",), r"trainer.enable_progress_bar cannot be set"),
    (("+trainer.limit_train_batches=0",), r"No epoch was trained"),
    (("model.hidden=[0]",), r"model.hidden is [0]; it must be a list of whole numbers, each at least 1."),
    (("model.hidden=[-3]",), r"model.hidden is [-3]; it must be a list"),
    (("model.init=null",), r"model.init is None; it must be a word, such as torch."),
    (("model.hidden=null",), r"model.hidden is None; it must be a list"),
    (("model.width=5", "model.depth=0"), r"depth 0; both must be at least 1"),
    (("model.width=5", "model.depth=2.5"), r"model.depth is 2.5; it must be a whole number"),
    (("model._target_=paribus.models.mlp.MLPP",), r"model._target_: "),
    (("scheduler=step", "scheduler.step_size=0"), r"scheduler.step_size is 0; it must be a whole number, at least 1."),
    (("scheduler=step", "scheduler.interval=stepp"), r"There is no 'stepp' in scheduler.interval. Did you mean 'step'?"),
    (("scheduler=onecycle", "scheduler.total_steps=5"), r"scheduler.total_steps is 5, but the run has 3600 steps."),
    (("~scheduler",), r"scheduler needs one option"),
    (("~optim.lr",), r"optim.lr is missing from the configuration."),
    (("activation=[relu,tanh]",), r"activation needs one option: activation=NAME. To try several, add --multirun"),
    (("model.norm=batch", "data.batch_size=103", "data.train_subset=104"), r"cannot train on a batch of one sample"),
])  # fmt: skip
def test_what_cannot_be_is_refused(train: Train, capsys: Any, overrides: tuple[str, ...], message: str) -> None:
    if "trainer=gpu" in overrides and torch.accelerator.is_available():
        pytest.skip("this machine has a GPU")
    directory = train("model=regression", *overrides, code=1)
    out, err = capsys.readouterr()
    errors = [line for line in (out + err).splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert errors[0] in err
    assert "Traceback" not in out + err
    assert not directory.exists()


def test_a_typo_in_an_experiment_is_refused(train: Train, own: str, capsys: Any) -> None:
    train(own, "experiment=typo", *SHORT, code=1)
    assert "There is no 'optm' in the configuration. Did you mean optim=...?" in capsys.readouterr().err


def test_a_network_with_the_wrong_output_is_refused(train: Train, own: str, capsys: Any) -> None:
    train(own, "model=wrong", code=1)
    said = capsys.readouterr().err
    assert "Wrong returns (2, 1) for 2 samples; regression on these data needs (2,). Leave out the last axis" in said


def test_a_single_run_in_the_directory_of_a_study_is_refused(train: Train, capsys: Any) -> None:
    """It would hide the study: a directory with a summary is a run to all who read records."""
    study = train(*SHORT, directory="study/one").parent
    train(*SHORT, "seed=1", directory="study", code=1)
    assert f"{study} is the directory of a study. Choose another directory" in capsys.readouterr().err
    assert not (study / record.SUMMARY).exists() and not (study / ".hydra").exists()


def test_a_directory_that_holds_a_run_is_left_alone(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    train(*SHORT, "seed=1", code=1)
    assert "already holds the record of a run" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before


def test_a_missing_default_rate_is_said(train: Train, own: str, capsys: Any) -> None:
    train(own, "model=bilinear", "optim=nadam", code=1)
    err = capsys.readouterr().err
    assert "no rate for optim=nadam" in err and "optim.lr=VALUE" in err
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_said_and_the_run_fails(train: Train, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    opened = Path.open

    def full(self: Path, *args: Any, **kwargs: Any) -> Any:
        return opened(Path("/dev/full") if self.name == record.METRICS and args == ("a",) else self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    directory = train(*SHORT, code=1)
    monkeypatch.undo()
    assert "No space left on device" in capsys.readouterr().err
    assert "No space left" in record.read_summary(directory)["message"]
