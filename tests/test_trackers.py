"""Finished runs are exported to Weights & Biases and MLflow once, however often one asks for it."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from records import edit_summary, write_run

from paribus.errors import UserError
from paribus.housekeeping import trackers
from paribus.housekeeping.shelf import add_note, change_tags


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two finished runs and one that failed."""
    for seed in (1, 2):
        run = write_run(
            tmp_path / "s" / f"{seed}", (9.0, 4.0 + seed), seed=seed, status=("completed", "diverged")[seed - 1]
        )
        edit_summary(run, started="2026-01-02T03:04:05+00:00")
    write_run(tmp_path / "s" / "3", seed=3, status="failed")
    add_note(tmp_path / "s" / "1", "the first")
    change_tags(tmp_path / "s" / "1", ["paper"], [])
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "s"


def test_a_run_is_read_with_all_that_trackers_take(study: Path) -> None:
    one = trackers.read_exported(study / "1")
    assert one is not None and (one.name, one.study, one.status, one.note) == ("1", "s", "completed", "the first\n")
    assert one.tags == ["paper"] and one.config["optim.lr"] == 0.01
    assert [row["val/loss"] for row in one.rows] == [9.0, 5.0] and one.statistics["best_val_loss"] == 5.0
    assert one.started == 1767323045000 and one.ended == one.started + 1000
    other = trackers.read_exported(study / "2")
    assert other is not None and other.key != one.key
    assert trackers.read_exported(study / "3") is None


def test_a_tracker_that_is_not_installed_is_named(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"mlflow is not installed. Install it: pip install 'paribus\[mlflow\]'"):
        trackers.export_runs(study, "mlflow")


def test_an_online_export_that_was_killed_is_completed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the server, which knows the summary of each run by its id."""
    server: dict[str, dict[str, Any]] = {}
    logged: list[str] = []

    @contextmanager
    def init(*, id: str, **_: Any) -> Iterator[SimpleNamespace]:
        resumed = id in server
        summary = server.setdefault(id, {})
        yield SimpleNamespace(resumed=resumed, summary=summary, log=lambda *_, **__: logged.append(id))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=lambda **_: None))
    monkeypatch.setenv("WANDB_MODE", "online")
    assert trackers.export_runs(study, "wandb")[:2] == (2, 0)
    assert trackers.export_runs(study, "wandb")[:2] == (0, 2)
    killed = next(iter(server))
    server[killed] = {"val/loss": 9.0}  # the end of an epoch, and not of the export
    logged.clear()
    assert trackers.export_runs(study, "wandb")[:2] == (1, 1)
    assert set(logged) == {killed} and "status" in server[killed]


def test_a_note_longer_than_a_tag_of_mlflow_is_cut_and_says_so(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the client, which refuses what MLflow refuses."""
    kept: dict[str, str] = {}

    class Client:
        def __init__(self, *_: Any) -> None: ...

        def log_batch(self, _: str, tags: Any = (), **__: Any) -> None:
            assert all(len(value) <= 5000 for _, value in tags), "Tag value exceeded length limit of 5000"
            kept.update(tags)

        def create_run(self, *_: Any, **__: Any) -> SimpleNamespace:
            return SimpleNamespace(info=SimpleNamespace(run_id="x"))

        def search_runs(self, *_: Any) -> list[Any]:
            return []

        get_experiment_by_name = create_experiment = set_terminated = lambda *_: None

    entities = SimpleNamespace(Metric=lambda *a: a, Param=lambda *a: a, RunTag=lambda *a: a)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Client, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    add_note(study / "1", "long " * 2000)
    one = trackers.read_exported(study / "1")
    assert one is not None and trackers.export_to_mlflow([one])[0] == 1
    note = kept["mlflow.note.content"]
    assert note.startswith("the first\n\nlong long") and note.endswith("notes.md of the run]") and len(note) == 5000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra [wandb] is not installed")
@pytest.mark.parametrize("place", [None, "elsewhere"])
def test_weights_and_biases_gets_each_run_once(study: Path, place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(place or "") / "wandb"
    if place:
        Path(place).mkdir()
        monkeypatch.setenv("WANDB_DIR", place)
    assert trackers.export_runs(study, "wandb")[:2] == (2, 0)
    assert trackers.export_runs(study, "wandb")[:2] == (0, 2)
    runs = sorted(folder.glob("offline-run-*"))
    assert len(runs) == 2
    (runs[0] / trackers.DONE).unlink()  # as if the export had been killed
    assert trackers.export_runs(study, "wandb")[:2] == (1, 1)
    assert len(list(folder.glob("offline-run-*"))) == 2


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="the extra [mlflow] is not installed")
def test_mlflow_gets_each_run_once_with_its_curves(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trackers.export_runs(study, "mlflow")[:2] == (2, 0)
    assert trackers.export_runs(study, "mlflow")[:2] == (0, 2)
    import mlflow

    client: Any = mlflow.MlflowClient(trackers.STORE)
    experiment = client.get_experiment_by_name(trackers.PROJECT).experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert set(runs) == {"1", "2"} and runs["1"].data.params["optim.lr"] == "0.01"
    assert [m.value for m in client.get_metric_history(runs["1"].info.run_id, "val/loss")] == [9.0, 5.0]
    assert runs["1"].data.tags["tag.paper"] == "yes" and runs["2"].data.tags["status"] == "diverged"
    client.set_terminated(runs["2"].info.run_id, "RUNNING")  # as if the export had been killed
    assert trackers.export_runs(study, "mlflow")[:2] == (1, 1)
    assert len(client.search_runs([experiment])) == 2
