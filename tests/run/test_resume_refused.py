"""Runs that cannot be resumed are left as they were."""

from pathlib import Path
from typing import Any

import pytest
from conftest import main
from resumed_runs import SHORT, Train, changed

from paribus import record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("checkpoints_every_epoch")]


@pytest.mark.parametrize(("overrides", "message"), [
    ((), "is finished after 6 epochs. To extend it, raise trainer.max_epochs, where"),
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


def test_a_run_that_diverged_is_not_taken_up(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=10")
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=9") == 1
    assert "has diverged and cannot be resumed" in capsys.readouterr().err


def test_a_log_that_cannot_be_opened_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    (directory / record.LOG).unlink()
    (directory / record.LOG).mkdir()
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=9") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert record.LOG in said
