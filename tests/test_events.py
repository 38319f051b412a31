"""Event files: what TensorBoard itself reads in them."""

import math
from pathlib import Path

import pytest
from conftest import main
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from paribus import record
from paribus.loggers.events import EventFile, ScalarEvents
from paribus.loggers.tensorboard import TensorBoard

NAMES = st.lists(st.text(min_size=1, max_size=300), unique=True, min_size=0, max_size=5)
FLOATS = st.floats(width=32, allow_nan=False, allow_subnormal=False)


@given(NAMES, st.integers(0, 10**12), st.data())
def test_a_template_filled_is_the_message_that_protobuf_makes(tags: list[str], step: int, data: st.DataObject) -> None:
    template = ScalarEvents(tags)
    for _ in range(2):  # filled again it has forgotten
        values = data.draw(st.lists(FLOATS, min_size=len(tags), max_size=len(tags)))
        found = Event.FromString(template.serialise(step, values))
        assert found.step == step and found.wall_time > 1.7e9
        assert found.summary == Summary(
            value=[Summary.Value(tag=tag, simple_value=value) for tag, value in zip(tags, values, strict=True)]
        )


def test_values_that_no_float_holds() -> None:
    event = Event.FromString(ScalarEvents(["nan", "large", "minus"]).serialise(0, [math.nan, 1e300, -math.inf]))
    nan, large, minus = (value.simple_value for value in event.summary.value)
    assert math.isnan(nan) and large == math.inf and minus == -math.inf


def test_tensorboard_finds_every_record_whole(tmp_path: Path) -> None:
    """Its loader checks the checksums of the file that its own writer began and ours went on with."""
    writer = SummaryWriter(str(tmp_path))
    writer.close()
    [path] = tmp_path.iterdir()
    file, template = EventFile(path), ScalarEvents(["a/b", "c"])
    for step in range(300):
        file.write(template.serialise(step, [step / 7, -step]))
    file.add_event(Event(step=300, summary=Summary(value=[Summary.Value(tag="a/b", simple_value=1.5)])))
    file.close()
    assert len(list(RawEventFileLoader(str(path)).Load())) == 1 + 301
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("c")] == [(step, -step) for step in range(300)]
    assert [e.value for e in read.Scalars("a/b")] == pytest.approx([step / 7 for step in range(300)] + [1.5])


def test_what_was_logged_can_be_seen_while_the_run_goes_on(tmp_path: Path) -> None:
    logger = TensorBoard(tmp_path)
    logger.log_metrics({"a": 1.0}, step=1)
    logger.experiment.add_scalar("b", 2.0, 1)  # a user's own way
    logger.save()
    logger.experiment.flush()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [e.value for e in read.Scalars("a")] == [1.0] and [e.value for e in read.Scalars("b")] == [2.0]
    logger.finalize("success")


def test_logging_may_go_on_after_the_end(tmp_path: Path) -> None:
    """As when a cluster takes a run away and it is still going on."""
    logger = TensorBoard(tmp_path)
    logger.log_metrics({"a": 1.0}, step=1)
    logger.finalize("finished")
    logger.log_metrics({"a": 2.0}, step=2.0)  # type: ignore[arg-type]
    logger.finalize("success")
    found = [
        (event.step, value.simple_value)
        for path in sorted(tmp_path.iterdir())
        for raw in RawEventFileLoader(str(path)).Load()
        for event in [Event.FromString(raw)]
        for value in event.summary.value
    ]
    assert found == [(1, 1.0), (2, 2.0)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, a disk that is full, is Linux's")
def test_a_full_disk_interrupts_the_run_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = EventFile.__init__
    monkeypatch.setattr(EventFile, "__init__", lambda self, path: begin(self, Path("/dev/full")))
    run = tmp_path / "run"
    assert main("train.py", "model=regression", "trainer=cpu", "trainer.max_epochs=2", f"hydra.run.dir={run}") == 1
    told = capsys.readouterr()
    assert "/dev/full" in told.err and "No space left on device" in told.err
    assert "Traceback" not in told.err + told.out
    assert record.read_summary(run)["status"] == record.INTERRUPTED
