"""A resumed run is, to the last digit, the run that was never interrupted."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import main, read_folds, read_layers
from resumed_runs import SHORT, Train, assert_same, changed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paribus import record
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("checkpoints_every_epoch")]


@pytest.mark.parametrize("when", [2, 5, "end"])
def test_it_equals_the_undisturbed_run_wherever_it_was_killed(train: Train, snapshot: Any, when: int | str) -> None:
    killed = snapshot(when)
    undisturbed = train(*SHORT, "model.dropout=0.1", "model.norm=batch")
    assert main("train.py", f"resume={killed}") == 0
    assert_same(undisturbed, killed)
    assert record.read_summary(killed)["taken_up"] == [6 if when == "end" else int(when) - 1]


@pytest.mark.parametrize("overrides", [
    ("optim=sgd_momentum", "scheduler=cosine"),
    ("optim=nadam", "scheduler=onecycle"),
    ("optim=rmsprop", "scheduler=step"),
    ("optim=adagrad", "scheduler=exponential", "+trainer.check_val_every_n_epoch=2"),
    ("optim=adamw", "+trainer.accumulate_grad_batches=4", "trainer.gradient_clip_val=0.5"),
    ("data.train_on_validation=true",),
    ("optim=sgd", "optim.lr=0.1"),
    ("+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping", "+callbacks.stop.monitor=val/loss",
     "+callbacks.stop.patience=3", "+callbacks.stop.min_delta=900"),
])  # fmt: skip
@pytest.mark.cases(2)
def test_it_equals_the_undisturbed_run_whatever_it_is(train: Train, snapshot: Any, overrides: tuple[str, ...]) -> None:
    killed = [snapshot(3), snapshot("end")]
    undisturbed = train(*SHORT, *overrides)
    diverges = "optim.lr=0.1" in overrides
    assert killed[1].exists() and (killed[0].exists() or diverges)
    for directory in killed[diverges:]:
        assert main("train.py", f"resume={directory}") == 0
        assert_same(undisturbed, directory)


def test_it_equals_the_undisturbed_run_of_images(train: Train, snapshot: Any, fashion_root: Path) -> None:
    killed = snapshot(3)
    undisturbed = train(
        f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=4", "threads=1", "callbacks=full"
    )
    assert main("train.py", f"resume={killed}") == 0
    assert_same(undisturbed, killed)


def test_what_the_record_holds_past_the_checkpoint_is_cut(train: Train, snapshot: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 1e9)  # one after the first epoch, one at the end
    killed = snapshot(5)
    undisturbed = train(*SHORT)
    assert len(record.read_metrics(killed)) == 4
    shutil.copy(undisturbed / record.FOLDS, killed)  # longer than the checkpoint, as Ctrl-C leaves it
    with (killed / record.METRICS).open("a") as file:
        file.write("5,60,0.0")  # half a row, as a full disk leaves it
    assert main("train.py", f"resume={killed}") == 0
    assert record.read_summary(killed)["taken_up"] == [1]
    assert_same(undisturbed, killed)


def test_a_run_whose_folds_are_not_whole_goes_on_without_them(train: Train, snapshot: Any, tmp_path: Path) -> None:
    """Because an older version began it, or the file is damaged."""
    left = snapshot(4)
    undisturbed = train(*SHORT)
    folds = read_folds(left)
    assert folds["epoch"].max() == 3
    for name, frame, told in (
        ("older", None, "does not exist"),
        ("half", b"half", "is damaged"),
        ("short", folds.query("epoch < 3"), "does not have all epochs up to 3"),
        ("a row less", folds.drop(index=7), "does not have all epochs up to 3"),
        ("a column less", folds.drop(columns="val/mae"), "is damaged"),
        ("words", folds.assign(**{"val/mae": "many"}), "is damaged"),
    ):
        killed = tmp_path / name
        shutil.copytree(left, killed)
        if isinstance(frame, pandas.DataFrame):
            frame.to_parquet(killed / record.FOLDS)
        else:
            changed(killed / record.FOLDS, frame)
        assert main("train.py", f"resume={killed}") == 0
        log = (killed / record.LOG).read_text()
        assert log.count(f"folds.parquet {told}") == log.count("The run continues without it.") == 1
        assert not (killed / record.FOLDS).exists()
        shutil.copy(undisturbed / record.FOLDS, killed)
        assert_same(undisturbed, killed)


def test_tensorboard_shows_each_epoch_once(train: Train, snapshot: Any, monkeypatch: Any) -> None:
    killed = snapshot(5)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 1e9)
    undisturbed = train(*SHORT)
    assert main("train.py", f"resume={killed}") == 0
    events = [EventAccumulator(str(d), size_guidance={"scalars": 0}).Reload() for d in (undisturbed, killed)]
    for tag in ("train/loss", "val/loss", "~grad_norm/0_linear1.weight"):
        one, other = ([(e.step, e.value) for e in found.Scalars(tag)] for found in events)
        assert one == other


def test_an_instrument_of_ones_own_goes_on_with_its_state(
    train: Train, snapshot: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "counting.py").write_text(
        "import torch\nfrom paribus import Instrument, Measured\n"
        "class Counter(Instrument):\n"
        "    steps = 0\n"
        "    def after_step(self, step): self.steps += 1\n"
        "    def measure(self, epoch):\n"
        "        layers = self.learner.layers\n"
        "        yield Measured('steps_so_far', 'weight', layers, torch.full((len(layers),), float(self.steps)))\n"
        "    def state_dict(self): return {'steps': self.steps}\n"
        "    def load_state_dict(self, state): self.steps = state['steps']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    killed = snapshot(4)
    undisturbed = train(*SHORT, "+callbacks.counter._target_=counting.Counter")
    assert main("train.py", f"resume={killed}", "trust=true") == 0
    assert_same(undisturbed, killed)
    steps = read_layers(killed).query("quantity == 'steps_so_far' and depth == 0")
    assert steps.value.tolist() == [12.0 * epoch for epoch in range(7)]


@pytest.mark.parametrize("schedule", [(), ("scheduler=step", "scheduler.step_size=2")])
def test_more_epochs_make_the_run_that_had_them_from_the_start(train: Train, schedule: tuple[str, ...]) -> None:
    short = train(*SHORT, *schedule, directory="short")
    assert main("train.py", f"resume={short}", "trainer.max_epochs=9") == 0
    assert_same(train(*SHORT, *schedule, "trainer.max_epochs=9", directory="long"), short)
    summary = record.read_summary(short)
    assert summary["set"]["trainer.max_epochs"] == 9
    assert "trainer.max_epochs=9" in summary["command"]
    assert "resume" not in summary["command"]


def test_a_process_that_is_told_to_end_leaves_a_run_that_goes_on(train: Train, monkeypatch: Any, capsys: Any) -> None:
    """By SIGTERM, as kill and clusters do."""
    undisturbed = train(*SHORT)
    begun = Recorder.on_train_epoch_start

    def terminated(self: Recorder, trainer: Any, *rest: Any) -> None:
        begun(self, trainer, *rest)
        if trainer.current_epoch == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "on_train_epoch_start", terminated)
        run = train(*SHORT, directory="ended", code=130)
    assert record.read_summary(run)["status"] == record.INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err
    assert main("train.py", f"resume={run}") == 0
    assert record.read_summary(run)["taken_up"] == [3]
    assert_same(undisturbed, run)


def test_it_can_be_interrupted_again_and_again(train: Train, snapshot: Any, own: str) -> None:
    killed = snapshot(3)
    undisturbed = train(*SHORT)
    for _ in range(2):
        again = killed.with_name("again")
        again.mkdir()
        shutil.copytree(killed, again, dirs_exist_ok=True)
        shutil.rmtree(killed)
        again.rename(killed)
    assert main("train.py", f"resume={killed}") == 0
    assert_same(undisturbed, killed)


def test_it_goes_on_with_the_threads_that_it_began_with(train: Train, snapshot: Any) -> None:
    killed = snapshot(3)
    train(*(o for o in SHORT if o != "threads=1"), "threads=3")
    overrides = killed / ".hydra" / "overrides.yaml"
    overrides.write_text(overrides.read_text().replace("- threads=3\n", ""))  # as if a launcher had said so
    assert main("train.py", f"resume={killed}") == 0
    assert record.read_summary(killed)["threads"] == 3


@pytest.mark.parametrize("content", ["", "hydra: {a: b: c", "other: 1\n"])
def test_a_half_written_composition_is_written_anew(train: Train, snapshot: Any, content: str, tmp_path: Path) -> None:
    left = snapshot(3)
    undisturbed = train(*SHORT)
    killed = tmp_path / "alone" / "run"
    shutil.copytree(left, killed)
    (killed / ".hydra" / "hydra.yaml").write_text(content)
    assert main("train.py", *SHORT, f"resume={killed}") == 1  # what the run was begun with cannot be known
    assert (
        main(
            "train.py",
            "--multirun",
            *SHORT,
            "study=x",
            f"hydra.sweep.dir={killed.parent}",
            f"hydra.sweep.subdir={killed.name}",
        )
        == 0
    )
    assert_same(undisturbed, killed)
