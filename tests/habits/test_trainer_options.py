"""Options of Lightning's trainer: what is recorded is what was trained, and what cannot be recorded is refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
import torch
from conftest import main

from paribus import load_run, record
from paribus.data.concrete import Concrete
from paribus.run.build import build_data

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[8]", "trainer.max_epochs=3", "threads=1", "logger=none", "callbacks=none")
BATCHES = 12  # of 722 rows in batches of 64


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS).drop(columns="epoch_seconds")


@pytest.fixture
def refuse(train: Train, capsys: Any) -> Callable[..., str]:
    """refuse("x=1"): the one line that a command with this option ends with."""

    def run(*overrides: str) -> str:
        train(*SHORT, *overrides, code=1)
        said = capsys.readouterr().err.strip()
        assert said.startswith("error: ") and "\n" not in said, said
        return said

    return run


def test_max_steps_ends_with_a_validation_of_the_last_weights(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "+trainer.max_steps=20")
    rows = read(directory)
    assert rows.step.tolist() == [12, 20]
    run = load_run(directory, "last")
    run.data.setup("fit")
    assert run.data.val is not None
    inputs, targets = run.data.val
    with torch.no_grad():
        loss = torch.nn.functional.mse_loss(run.network(inputs), targets)
    assert rows["val/loss"][1] == pytest.approx(float(loss), rel=1e-6)
    summary = record.read_summary(directory)
    assert summary["status"] == "completed"
    assert summary["stopped"] == {"epoch": 2, "by": "trainer.max_steps=20"}
    assert "Stopped after 2 of 3 epochs by trainer.max_steps=20." in capsys.readouterr().out


def test_max_steps_beyond_the_epochs_changes_nothing(train: Train) -> None:
    directory = train(*SHORT, "+trainer.max_steps=100")
    assert read(directory).step.tolist() == [12, 24, 36]
    assert "stopped" not in record.read_summary(directory)


def test_max_time(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=100_000", "+trainer.max_time='00:00:00:01'")
    summary = record.read_summary(directory)
    assert summary["stopped"]["epoch"] == len(read(directory)) < 100_000
    assert summary["stopped"]["by"] == "Timer: 1 s of training"
    assert summary["statistics"]["train_seconds"] < 2


@pytest.mark.parametrize("interval", ["4", "0.5", "12"])
def test_more_validations_an_epoch_leave_the_record_as_it_is(train: Train, interval: str) -> None:
    once = read(train(*SHORT, directory="once"))
    often = read(train(*SHORT, f"+trainer.val_check_interval={interval}", directory="often"))
    pandas.testing.assert_frame_equal(once, often, check_exact=True)


@pytest.mark.parametrize(
    "options",
    [
        ("+trainer.check_val_every_n_epoch=2",),
        ("+trainer.check_val_every_n_epoch=null", "+trainer.val_check_interval=24"),
    ],
)
def test_fewer_validations_leave_gaps(train: Train, options: tuple[str, ...]) -> None:
    always, seldom = read(train(*SHORT, directory="always")), read(train(*SHORT, *options, directory="seldom"))
    assert seldom["val/loss"].isna().tolist() == [True, False, True]
    assert seldom["val/loss"][1] == always["val/loss"][1]
    assert seldom["train/loss"].tolist() == always["train/loss"].tolist()
    assert record.read_summary(Path("seldom"))["statistics"]["best_epoch"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("+trainer.val_check_interval=5", "Choose a divisor or a multiple of 12"),
        ("+trainer.val_check_interval=0", "trainer.val_check_interval=0: an epoch has 12 batches"),
        ("+trainer.max_steps=abc", "trainer.max_steps is 'abc'; it must be a whole number"),
        ("+trainer.overfit_batches=abc", "trainer.overfit_batches is 'abc'; it must be a number"),
        ("+trainer.min_epochs=10", "trainer.min_epochs is 10, and trainer.max_epochs 3"),
        ("+trainer.val_check_interval='00:00:00:05'", "trainer.val_check_interval is a time"),
        ("+trainer.val_check_interval=50", "must be less than or equal to the number of the training batches"),
        ("+trainer.limit_val_batches=0.5", "limit_val_batches"),
        ("+trainer.num_sanity_val_steps=2", "the network is tried on two samples"),
        ("+trainer.logger=true", "logger=NAME"),
        ("+trainer.callbacks=[]", "+callbacks.NAME="),
        ("+trainer.enable_progress_bar=true", "TQDMProgressBar"),
        ("+trainer.enable_checkpointing=true", "two checkpoints"),
        ("+trainer.barebones=true", "it would leave out the record"),
        ("+trainer.profiler=nope", "Valid: simple, advanced, pytorch"),
        ("+trainer.strategy=fsdp", "fsdp"),
        ("+trainer.strategy=nope", "invalid strategy name"),
        ("+trainer.limit_train_batches=0", "No epoch was trained"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_line(refuse: Callable[..., str], options: str, said: str) -> None:
    assert said in refuse(options)


def test_ddp_spawn_over_two_processes_is_refused(refuse: Callable[..., str]) -> None:
    assert "trainer.strategy=ddp_spawn: a run takes ddp" in refuse("+trainer.strategy=ddp_spawn", "trainer.devices=2")


def test_limit_train_batches(train: Train) -> None:
    assert read(train(*SHORT, "+trainer.limit_train_batches=3")).step.tolist() == [3, 6, 9]


def test_fast_dev_run_says_what_it_is(train: Train) -> None:
    directory = train(*SHORT, "+trainer.fast_dev_run=true")
    assert read(directory).step.tolist() == [1]
    assert record.read_summary(directory)["stopped"] == {"epoch": 1, "by": "trainer.fast_dev_run"}


def test_overfit_batches_repeats_the_same_batches(train: Train) -> None:
    directory = train(*SHORT, "+trainer.overfit_batches=2", "trainer.max_epochs=2")
    assert read(directory).step.tolist() == [2, 4]
    data = build_data(record.read_summary(directory)["config"])
    assert isinstance(data, Concrete)
    data.setup("fit")

    def first_targets(overfit: float, epoch: int) -> list[float]:
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            overfit_batches=overfit, strategy=strategy, global_rank=0, world_size=1, current_epoch=epoch
        )
        return next(iter(data.train_dataloader()))[1].tolist()

    assert first_targets(0.0, 0) != first_targets(0.0, 1)
    assert first_targets(2, 0) == first_targets(2, 1)


def test_a_profiler_writes_into_the_directory_of_the_run(train: Train) -> None:
    report = (train(*SHORT, "+trainer.profiler=simple") / "fit-profile.txt").read_text()
    assert "run_training_epoch" in report


def test_a_profiler_with_options_of_its_own(train: Train, tmp_path: Path) -> None:
    target = f"{{_target_: lightning.pytorch.profilers.SimpleProfiler, dirpath: {tmp_path}, filename: mine}}"
    train(*SHORT, f"+trainer.profiler={target}")
    assert "run_training_epoch" in (tmp_path / "fit-mine.txt").read_text()


def test_the_trainer_is_checked_by_a_dry_run(capsys: Any) -> None:
    assert main("train.py", *SHORT, "dry_run=true", "+trainer.barebones=true") == 1
    assert "cannot be set" in capsys.readouterr().err
