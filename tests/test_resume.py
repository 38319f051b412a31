"""A run that is taken up is, to the last digit, the run that was never disturbed."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import main, read_folds, read_layers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paribus import record
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=6", "threads=1", "model.hidden=[16,8]", "figures=false")
FRACTIONS = "data.val_size=100"


@pytest.fixture(autouse=True)
def _checkpoints_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
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


def assert_same(undisturbed: Path, taken_up: Path) -> None:
    a, b = (pandas.read_csv(d / record.METRICS).drop(columns="epoch_seconds") for d in (undisturbed, taken_up))
    pandas.testing.assert_frame_equal(a, b, check_exact=True)
    pandas.testing.assert_frame_equal(read_layers(undisturbed), read_layers(taken_up), check_exact=True)
    assert (undisturbed / record.FOLDS).exists() == (taken_up / record.FOLDS).exists()
    if (undisturbed / record.FOLDS).exists():
        pandas.testing.assert_frame_equal(read_folds(undisturbed), read_folds(taken_up), check_exact=True)
    for name in (record.BEST, record.LAST):
        assert (undisturbed / name).exists() == (taken_up / name).exists()
        if (taken_up / name).exists():
            one, other = (torch.load(d / name, weights_only=True) for d in (undisturbed, taken_up))
            assert one["paribus"]["epoch"] == other["paribus"]["epoch"]
            for key, tensor in one["state_dict"].items():
                assert torch.equal(tensor.nan_to_num(), other["state_dict"][key].nan_to_num()), f"{name}: {key}"
    with np.load(undisturbed / record.WEIGHTS) as one, np.load(taken_up / record.WEIGHTS) as other:
        assert all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)
    if (undisturbed / record.PREDICTIONS).exists():
        frames = [pandas.read_parquet(d / record.PREDICTIONS) for d in (undisturbed, taken_up)]
        pandas.testing.assert_frame_equal(*frames, check_exact=True)
    one, other = (record.read_summary(d) for d in (undisturbed, taken_up))
    assert one["status"] == other["status"]
    assert one.get("diverged") == other.get("diverged")
    assert one["identity"] == other["identity"]
    for key, value in one["statistics"].items():
        assert "seconds" in key or other["statistics"][key] == value, key


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
    undisturbed = train(f"data.root={fashion_root}", FRACTIONS, "trainer.max_epochs=4", "threads=1", "callbacks=full")
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
        assert log.count(f"folds.parquet {told}") == log.count("The run goes on without it.") == 1
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


def changed(path: Path, content: bytes | None) -> None:
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize(("overrides", "message"), [
    ((), "is finished after 6 epochs. To extend it, raise trainer.max_epochs."),
    (("trainer.max_epochs=3",), "was planned for 6 epochs and cannot be cut to 3."),
    (("optim.lr=0.5",), "optim.lr was 0.01, is now 0.5"),
    (("scheduler=cosine", "trainer.max_epochs=9"), "its schedule depends on their number"),
    (("seed=3",), "seed was 42, is now 3"),
    (("--multirun",), "without --multirun"),
    (("rerun=x",), "are for one run"),
])  # fmt: skip
def test_what_cannot_be_taken_up_is_refused_and_left_alone(
    train: Train, capsys: Any, overrides: tuple[str, ...], message: str
) -> None:
    directory = train(*SHORT)
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file() and p.name != record.LOG}
    assert main("train.py", f"resume={directory}", *overrides) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert "Traceback" not in out + err
    assert "Error executing job" not in err
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file() and p.name != record.LOG} == before


@pytest.mark.parametrize("schedule", ["cosine", "step", "onecycle"])
def test_a_schedule_that_follows_the_length_refuses_another_one(train: Train, capsys: Any, schedule: str) -> None:
    directory = train(*SHORT, f"scheduler={schedule}")
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=9") == 1
    assert "its schedule depends on their number" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "content", "message"), [
    (record.LAST, None, "has no checkpoint to resume from"),
    (record.LAST, b"half", "last.ckpt is damaged"),
    (record.METRICS, b"epoch,step\n1,2\n", "does not reach epoch"),
    (record.METRICS, None, "has no metrics.csv"),
    (record.LAYERS, b"half", "layers.parquet is damaged"),
    (".hydra/overrides.yaml", b"[a: b: c", "overrides.yaml is damaged"),
    (".hydra/overrides.yaml", None, "is not the directory of a run"),
    (".hydra/config.yaml", b"junk", "config.yaml is damaged"),
])  # fmt: skip
def test_a_record_that_is_not_whole_is_named(
    train: Train, snapshot: Any, capsys: Any, name: str, content: bytes | None, message: str
) -> None:
    killed = snapshot(4)
    train(*SHORT)
    changed(killed / name, content)
    assert main("train.py", f"resume={killed}") == 1
    assert message in capsys.readouterr().err
    assert not (killed / record.SUMMARY).exists()


def test_data_that_have_changed_are_not_taken_for_the_same(
    train: Train, snapshot: Any, tmp_path: Path, capsys: Any
) -> None:
    rows = "a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(60)) + "\n"
    (tmp_path / "own.csv").write_text(rows)
    killed = snapshot(3)
    train(*SHORT, "data.path=own.csv", "data.target=b", "data.batch_size=8")
    (tmp_path / "own.csv").write_text(rows.replace("3,3", "3,4"))
    assert main("train.py", f"resume={killed}") == 1
    assert "The data have changed since the run started" in capsys.readouterr().err


def test_what_cannot_begin_leaves_the_record_as_it_was(
    train: Train, snapshot: Any, tmp_path: Path, capsys: Any
) -> None:
    """Neither a finished run nor what an interrupted one has left becomes a failed one."""
    killed = snapshot(3)
    directory = train(*SHORT)
    for where, more in ((directory, "trainer.max_epochs=9"), (killed, "trainer.max_epochs=6")):
        before = {p: p.read_bytes() for p in where.rglob("*") if p.is_file() and p.name != record.LOG}
        for mistake in ("threads=0", "figures=7", "trainer.accelerator=nothing"):
            assert main("train.py", f"resume={where}", more, mistake) == 1
        assert {p: p.read_bytes() for p in where.rglob("*") if p.is_file() and p.name != record.LOG} == before
    capsys.readouterr()


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


def test_a_run_that_diverged_is_not_taken_up(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=10")
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=9") == 1
    assert "has diverged and cannot be resumed" in capsys.readouterr().err


# --- making a run again


def test_a_run_made_again_is_identical(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    assert main("train.py", f"rerun={directory}") == 0
    assert (
        "Identical to the last digit: 6 epochs of metrics.csv, times aside, and layers.parquet, and folds.parquet."
        in capsys.readouterr().out
    )
    again = record.find_runs([Path("outputs")])
    assert len(again) == 1
    assert record.read_summary(again[0])["identity"] == record.read_summary(directory)["identity"]


def test_the_first_epoch_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    text = (directory / record.METRICS).read_text().splitlines()
    cells = text[4].split(",")
    cells[3] = "1.5"
    text[4] = ",".join(cells)
    (directory / record.METRICS).write_text("\n".join(text) + "\n")
    assert main("train.py", f"rerun={directory}") == 1
    assert "The runs differ from epoch 4 on: train/loss was 1.5, is now " in capsys.readouterr().err


def test_of_a_run_from_a_stack_rounding_is_expected_to_differ(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    text = (directory / record.METRICS).read_text()
    first = text.splitlines()[1].split(",")[3]
    (directory / record.METRICS).write_text(text.replace(first, repr(float(first) * (1 + 1e-9)), 1))
    summary = record.read_summary(directory)
    (directory / record.SUMMARY).write_text(json.dumps(summary | {"stacked": 4}))
    assert main("train.py", f"rerun={directory}") == 1
    said = capsys.readouterr().err
    assert "runs trained as one was 4, is now 1" in said
    assert "A stack sums in another order" in said


def test_a_log_that_cannot_be_opened_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    (directory / record.LOG).unlink()
    (directory / record.LOG).mkdir()
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=9") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert record.LOG in said


def test_a_layer_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    frame = read_layers(directory)
    frame.loc[
        (frame.epoch == 3) & (frame.quantity == "weight_norm") & (frame.depth == 1) & (frame.tensor == "bias"), "value"
    ] += 1
    frame.to_parquet(directory / record.LAYERS)
    assert main("train.py", f"rerun={directory}") == 1
    assert (
        "metrics.csv is identical, but layers.parquet is not: in epoch 3 weight_norm of linear2.bias was"
        in capsys.readouterr().err
    )


def test_a_fold_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    frame = read_folds(directory)
    frame.loc[(frame.epoch == 3) & (frame.fold == 2), "val/mae"] += 1
    frame.loc[(frame.epoch == 4) & (frame.fold == 1), "val/loss"] += 1
    frame.to_parquet(directory / record.FOLDS)
    assert main("train.py", f"rerun={directory}") == 1
    assert (
        "metrics.csv is identical, but folds.parquet is not: in epoch 3 val/mae of fold 2 was"
        in capsys.readouterr().err
    )


def test_a_configuration_that_can_no_longer_be_had_is_said(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    summary = record.read_summary(directory)
    summary["config"]["optim"]["eps"] = 1.0  # as if the file had had another default then
    summary["identity"] = record.identify(summary["config"])
    (directory / record.SUMMARY).write_text(json.dumps(summary))
    assert main("train.py", f"rerun={directory}") == 1
    assert "no longer gives its configuration: optim.eps was 1.0, is now 1e-08" in capsys.readouterr().err


def test_a_dry_run_leaves_nothing(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert main("train.py", *SHORT, "dry_run=true") == 0
    assert "Nothing was run (dry_run=true)" in capsys.readouterr().out
    assert not list(tmp_path.rglob("train.log"))
    assert main("train.py", *SHORT, "dry_run=true", "optim.lr=fast") == 1
