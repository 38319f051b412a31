import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paribus import record
from paribus.record import RecordError
from paribus.record.faults import PARTS
from paribus.record.statistics import summarise_rows
from paribus.record.steps import StepsWriter
from paribus.record.tables import LayersWriter, MetricsWriter
from paribus.record.twins import TwinsWriter

floats = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(floats, floats | st.none()), max_size=20))
def test_metrics_come_back_to_the_last_digit(tmp_path_factory, values) -> None:
    directory = tmp_path_factory.mktemp("run")
    writer = MetricsWriter(directory / record.METRICS, ("epoch", "step", "train/loss", "val/loss"))
    rows = [{"epoch": i + 1, "step": 3 * i, "train/loss": a, "val/loss": b} for i, (a, b) in enumerate(values)]
    for row in rows:
        writer.write(row)
    writer.close([])
    assert record.read_metrics(directory) == rows


def test_nan_and_infinity_are_kept_in_metrics(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / record.METRICS, ("epoch", "step", "train/loss", "val/loss"))
    writer.write({"epoch": 1, "step": 4, "train/loss": math.nan, "val/loss": math.inf})
    writer.close([])
    (row,) = record.read_metrics(tmp_path)
    assert math.isnan(row["train/loss"] or 0)
    assert row["val/loss"] == math.inf


@pytest.mark.parametrize("text", ["epoch,step\n1,2\n3", "epoch,step\n1,2\n3,4,5\n", "epoch,step\n1,x\n"])
def test_a_row_that_is_not_whole_is_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / record.METRICS).write_text(text)
    with pytest.raises(RecordError, match="damaged"):
        record.read_metrics(tmp_path)


VALUES = floats | st.text() | st.none() | st.booleans() | st.integers()
OTHER_KEYS = st.text().filter(lambda key: key not in {*PARTS, "status"})  # those whose kind a run does not fix


@given(st.dictionaries(OTHER_KEYS, st.recursive(VALUES, st.lists), max_size=5))
def test_summary_comes_back(tmp_path_factory, content) -> None:
    directory = tmp_path_factory.mktemp("run")
    record.write_json(directory / record.SUMMARY, {**content, "status": "completed"})
    assert record.read_summary(directory) == {**content, "status": "completed"}


def test_a_failed_write_leaves_the_old_summary(tmp_path: Path) -> None:
    record.write_json(tmp_path / record.SUMMARY, {"status": "completed"})
    with pytest.raises(TypeError):
        record.write_json(tmp_path / record.SUMMARY, {"status": object()})
    assert record.read_summary(tmp_path) == {"status": "completed"}
    assert [p.name for p in tmp_path.iterdir()] == [record.SUMMARY]


def test_json_has_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    record.write_json(tmp_path / "x.json", {"a": math.nan, "b": [math.inf, 1.0]})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 1.0]}


@pytest.mark.parametrize(("content", "message"), [
    ('{"status": "comp', "damaged"), ("[]", "not the summary"), (None, "holds no run"),
])  # fmt: skip
def test_what_is_no_summary_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / record.SUMMARY).write_text(content)
    with pytest.raises(RecordError, match=message):
        record.read_summary(tmp_path)


def test_runs_are_found_below_a_study(tmp_path: Path) -> None:
    for name in ("b", "a", "c/d"):
        (tmp_path / name).mkdir(parents=True)
        record.write_json(tmp_path / name / record.SUMMARY, {"status": "completed"})
    (tmp_path / "unfinished").mkdir()
    a, b, d = tmp_path / "a", tmp_path / "b", tmp_path / "c" / "d"
    assert record.find_runs([tmp_path]) == [a, b, d]
    assert record.find_runs([b, tmp_path]) == [b, a, d]
    with pytest.raises(RecordError, match="does not exist"):
        record.find_runs([tmp_path / "nowhere"])
    with pytest.raises(RecordError, match="holds no run"):
        record.find_runs([tmp_path / "unfinished"])


def test_identity_ignores_order_spelling_and_how_a_run_is_carried_out() -> None:
    config = {
        "optim": {"lr": 1e-3, "momentum": 1},
        "data": {"root": "a", "n": [1, 2]},
        "logger": {"x": {}},
        "threads": 2,
    }
    same = {"threads": None, "data": {"n": [1, 2.0], "root": "b"}, "optim": {"momentum": 1.0, "lr": 0.001}}
    assert record.identify(config) == record.identify(same)


@pytest.mark.parametrize("change", [{"seed": 2}, {"optim": {"lr": 0.002}}, {"data": {"n": [2, 1]}}])
def test_identity_sees_what_is_tried(change: dict) -> None:
    config = {"seed": 1, "optim": {"lr": 0.001}, "data": {"n": [1, 2]}}
    assert record.identify(config) != record.identify({**config, **change})


def test_statistics_of_a_classifier_by_hand() -> None:
    losses, accuracies = [2.0, 1.0, 0.5, 0.25], [0.5, 0.75, 0.8, 0.8]
    rows = [
        {"epoch": i + 1, "train/loss": loss, "val/loss": loss + 1, "val/acc": acc, "epoch_seconds": 2.0}
        for i, (loss, acc) in enumerate(zip(losses, accuracies, strict=True))
    ]
    found = summarise_rows(rows)
    # population variance by its definition: the mean is 0.9375
    variance = sum((x - 0.9375) ** 2 for x in losses) / 4
    assert variance == pytest.approx(statistics.pvariance(losses))
    assert found == {
        "epochs": 4, "final_train_loss": 0.25, "final_val_loss": 1.25, "best_val_acc": 0.8, "best_epoch": 3,
        "epochs_to_90pct": 2, "stability_score": pytest.approx(1 / (1 + variance)),
        "mean_epoch_seconds": 2.0, "train_seconds": 8.0,
    }  # fmt: skip


def test_losses_whose_squares_leave_double_precision_are_not_stable() -> None:
    rows = [{"epoch": e, "train/loss": loss, "epoch_seconds": 1.0} for e, loss in ((1, 1.0), (2, 1e300))]
    assert summarise_rows(rows)["stability_score"] == 0


def test_statistics_of_a_regression_ignore_epochs_that_are_no_number() -> None:
    rows = [
        {"epoch": 1, "train/loss": 5.0, "val/loss": 4.0, "epoch_seconds": 1.0},
        {"epoch": 2, "train/loss": math.nan, "val/loss": math.nan, "epoch_seconds": 1.0},
    ]
    found = summarise_rows(rows)
    assert (found["best_val_loss"], found["best_epoch"], found["stability_score"]) == (4.0, 1, None)


def test_statistics_without_validation() -> None:
    found = summarise_rows([{"epoch": 1, "train/loss": 5.0, "val/loss": None, "epoch_seconds": 1.0}])
    assert found["best_val_loss"] is None
    assert found["best_epoch"] is None


def add_steps(writer: StepsWriter, epoch: int) -> None:
    writer.add({"step": np.arange(10 * epoch - 9, 10 * epoch + 1), "epoch": np.full(10, epoch)})


def add_layer(writer: LayersWriter, epoch: int) -> None:
    writer.add(epoch, (("linear1", 0, "weight", "grad_norm"),), np.array([float(epoch)]))


def add_twins(writer: TwinsWriter, epoch: int) -> None:
    writer.add(epoch, (np.zeros(3, np.int16), np.zeros(4, np.float32)))


@pytest.mark.parametrize(
    ("make", "add"),
    [
        (lambda path: StepsWriter(path, ["val/loss"]), add_steps),
        (LayersWriter, add_layer),
        (TwinsWriter, add_twins),
    ],
)
def test_a_table_is_written_again_only_if_it_has_grown_or_was_removed(tmp_path: Path, make: Any, add: Any) -> None:
    writer = make(tmp_path / "table")
    writer.write()
    assert not writer.path.exists()
    written = []
    for epoch in (1, 2):
        add(writer, epoch)
        for _ in range(2):
            writer.write()
            written.append(writer.path.stat().st_ino)
    assert written[0] == written[1] != written[2] == written[3]
    content = writer.path.read_bytes()
    writer.path.unlink()
    writer.write()
    assert writer.path.read_bytes() == content
