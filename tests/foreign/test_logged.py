"""What is logged with self.log, by callbacks too, is a column of metrics.csv; metric= chooses by it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest

from paribus import load_run, record
from paribus.errors import UserError
from paribus.record import Metric, parse_metric, to_columns

pytestmark = pytest.mark.slow

CALLBACK = """
import lightning

class Talk(lightning.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.log("by_step", float(batch_idx))

    def on_validation_epoch_end(self, trainer, module):
        self.log("val_twice", 2.0 * trainer.current_epoch)

    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch % 2 == 0:
            self.log("hill", 10.0 - (trainer.current_epoch - 2) ** 2)
"""


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "talking.py").write_text(CALLBACK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "talking", raising=False)
    return "+callbacks.talk={_target_: talking.Talk}"


def test_a_callback_adds_columns(train: Callable[..., Path], talk: str) -> None:
    run = train("model=regression", "trainer.max_epochs=4", "threads=1", "logger=none", talk, "metric=hill:higher")
    rows, summary = pandas.read_csv(run / record.METRICS), record.read_summary(run)
    own = ["epoch", "step", "lr", "train/loss", "val/loss", "val/mse", "val/mae"]
    assert sorted(rows) == sorted([*own, "by_step", "val/twice", "hill", "epoch_seconds"])
    assert list(rows)[:7] == own and list(rows)[-1] == "epoch_seconds"
    steps = rows["step"].iloc[0]
    # of 722 samples in batches of 64 the last one has 18
    weighted = sum(64 * i for i in range(steps - 1)) + 18 * (steps - 1)
    assert rows["by_step"].tolist() == pytest.approx([weighted / 722] * 4)
    assert rows["val/twice"].tolist() == [0, 2, 4, 6]
    assert rows["hill"].dropna().to_dict() == {0: 6.0, 2: 10.0}, "what was not logged again is not recorded again"
    assert summary["metric"] == {"name": "hill", "direction": "higher"}
    assert (summary["statistics"]["best_metric"], summary["statistics"]["best_epoch"]) == (10.0, 3)
    assert load_run(run, trust=True).epoch == 3


def test_without_a_callback_the_record_is_as_before(train: Callable[..., Path]) -> None:
    run = train("model=regression", "trainer.max_epochs=1", "threads=1", "logger=none")
    assert (run / record.METRICS).read_text().splitlines()[0] == (
        "epoch,step,lr,train/loss,val/loss,val/mse,val/mae,epoch_seconds"
    )
    assert "metric" not in record.read_summary(run) and "limits" not in record.read_summary(run)


def test_a_metric_that_no_callback_logs_ends_the_run_with_what_there_is(
    train: Callable[..., Path], talk: str, capfd: pytest.CaptureFixture[str]
) -> None:
    train("model=regression", "trainer.max_epochs=2", "threads=1", "logger=none", talk, "metric=val/f1", code=1)
    shown = "".join(capfd.readouterr())
    assert "There is no 'val/f1'" in shown and "val/twice" in shown and "Traceback" not in shown


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("val/f1", Metric("val/f1", True)),
        ("val_f1", Metric("val/f1", True)),
        ("valid_loss", Metric("val/loss", False)),
        ("validation/top_5_acc", Metric("val/top_5_acc", True)),
        ("accuracy_error", Metric("accuracy_error", False)),
        ("val/x:lower", Metric("val/x", False)),
        ("fid:higher", Metric("fid", True)),
    ],
)
def test_a_metric_is_read_with_its_direction(text: str, metric: Metric) -> None:
    assert parse_metric(text) == metric


@pytest.mark.parametrize("text", ["val/x", "val/f1:up", ":higher", "", "f1:", "null_hypothesis"])
def test_an_unknown_direction_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"higher or metric=.*lower"):
        parse_metric(text)


def test_columns_of_names() -> None:
    assert to_columns(["val_loss", "train/acc", "x_y", "val/loss"]) == {
        "val/loss": "val/loss", "train/acc": "train/acc", "x_y": "x_y", "val_loss": "val_loss",
    }  # fmt: skip


def test_a_score_is_higher_for_the_better() -> None:
    assert Metric("a", False).score({"a": 2.0}) == -2.0
    assert Metric("a", True).score({"a": 2.0, "val/loss": float("nan")}) is None
    assert Metric("a", True).score({"a": float("inf")}) is None
    assert Metric("a", False).value(-2.0) == 2.0
