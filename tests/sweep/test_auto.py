"""hydra/launcher=auto: what it chooses, records and goes on with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from small_studies import statuses, sweep

from paribus import record
from paribus.config.check import Choices
from paribus.run.spec import Composed, Job
from paribus.sweep import auto
from paribus.sweep.auto import Choice, make_choice, recall_choice, record_choice

CPU = {"accelerator": "cpu", "devices": 1}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the seconds of a step by engine, or the reasons why there are none, on four cores."""

    def set_times(**times: Any) -> None:
        monkeypatch.setattr(auto, "count_cores", lambda: 4)
        monkeypatch.setattr(auto, "measure", lambda job, cores, size: times)

    return set_times


def jobs(n: int, trainer: Any = CPU) -> list[Job]:
    composed = Composed(OmegaConf.create(), OmegaConf.create())  # type: ignore[arg-type]
    return [Job(Path(str(i)), composed, Choices({}, {}, {"trainer": trainer, "threads": None})) for i in range(n)]


@pytest.mark.parametrize(("runs", "times", "engine", "totals"), [
    # 8 runs: 8 steps; 2 turns of 4 runs; 4 stacks of 2 at once
    (8, {"serial": 0.1, "parallel": 0.3, "stacked": 0.5}, "stacked", {"serial": 0.8, "parallel": 0.6, "stacked": 0.5}),
    (8, {"serial": 0.1, "parallel": 0.3, "stacked": 0.7}, "parallel", {"serial": 0.8, "parallel": 0.6, "stacked": 0.7}),
    (8, {"serial": 0.1, "parallel": 0.38, "stacked": 0.8}, "serial", {"serial": 0.8, "parallel": 0.76, "stacked": 0.8}),
    (5, {"serial": 0.1, "parallel": 0.3, "stacked": "no"}, "serial", {"serial": 0.5, "parallel": 0.6}),
    # 4 stacks of 64, of which 32 were measured
    (256, {"serial": 1.0, "parallel": 1.0, "stacked": 4.0}, "stacked", {"serial": 256, "parallel": 64, "stacked": 8}),
])  # fmt: skip
def test_the_engine_of_least_time_is_chosen_and_the_simpler_of_two_alike(
    measured: Any, runs: int, times: Any, engine: str, totals: dict[str, float]
) -> None:
    measured(**times)
    all_runs = jobs(runs)
    choice = make_choice([all_runs[i::4] for i in range(4)], [])
    assert choice.engine == engine
    assert choice.seconds == pytest.approx(totals)


@pytest.mark.parametrize(("runs", "trainer", "said"), [
    (3, CPU, "3 runs serial: nothing can be measured (its data have not been downloaded yet)."),
    (1, CPU, "1 run serial: no other run is like it."),
    (2, {"accelerator": "cpu", "devices": 2}, "2 runs serial: a run in several processes is not measured."),
])  # fmt: skip
def test_what_cannot_be_measured_is_said_and_serial(measured: Any, runs: int, trainer: Any, said: str) -> None:
    measured(serial="its data have not been downloaded yet")
    choice = make_choice([], jobs(runs, trainer))
    assert (choice.engine, choice.seconds, choice.describe(runs)) == ("serial", {}, said)


def test_an_engine_that_cannot_be_measured_is_named_with_its_reason(measured: Any, tmp_path: Path) -> None:
    measured(serial=0.1, parallel=0.3, stacked="Net fails in a stack")
    choice = make_choice([jobs(4)], [])
    said = "4 runs parallel, by measurement: a step of a run takes 75 ms parallel, 100 ms serial; "
    assert choice.describe(4) == f"{said}stacked could not be measured (Net fails in a stack)."
    record_choice(tmp_path, "a", choice)
    assert recall_choice(tmp_path, "a", 4) == choice


def test_a_choice_holds_for_later_runs_until_there_are_many_more(tmp_path: Path) -> None:
    record_choice(tmp_path, "a", Choice("parallel", 10, {"serial": 2.0, "parallel": 1.0}))
    record_choice(tmp_path, "b", Choice("stacked", 3, {"stacked": 1.0}))
    record_choice(tmp_path, "c", Choice("serial", 1, reason="no other run is like it"))
    found = [recall_choice(tmp_path, key, n) for key, n in (("a", 1), ("a", 20), ("a", 21), ("b", 6), ("c", 1))]
    assert [choice and choice.engine for choice in found] == ["parallel", "parallel", None, "stacked", None]
    assert found[0] is not None and found[0].describe(1) == (
        "1 run parallel, by measurement: a step of a run takes 100 ms parallel, 200 ms serial."
    )
    for damaged in (
        "{",
        "[1]",
        '{"a": {"engine": "serial"}}',
        '{"a": {"engine": "fast", "runs": 1}}',
        '{"a": {"x": 1}}',
    ):
        (tmp_path / auto.CHOICES).write_text(damaged)
        with pytest.raises(record.RecordError, match="measures again"):
            recall_choice(tmp_path, "a", 1)


def read_losses(directory: Path) -> dict[str, list[Any]]:
    runs = sorted(run for run in directory.iterdir() if run.is_dir())
    return {run.name: [{**row, "epoch_seconds": 0} for row in record.read_metrics(run)] for run in runs}


@pytest.mark.slow
def test_runs_are_those_of_the_chosen_launcher_and_go_on_as_they_began(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Whichever engine is measured to be the fastest here."""
    study = ("seed=1,2,3,4", "hydra/launcher=auto")
    directory = sweep(*study, of="a")
    (choice,) = json.loads((directory / auto.CHOICES).read_text()).values()
    engine = choice["engine"]
    assert choice["runs"] == 4
    assert set(choice["seconds"]) >= {"serial", "stacked"}
    assert f"hydra/launcher=auto: 4 runs {engine}, by measurement" in capsys.readouterr().out
    assert read_losses(directory) == read_losses(sweep("seed=1,2,3,4", f"hydra/launcher={engine}", of="b"))
    monkeypatch.setattr(auto, "make_choice", lambda *_: pytest.fail("measured again"))
    begun = sweep("seed=1,2,3,4", "hydra/launcher=stacked", "pause=1", of="c")
    sweep("seed=1,2,3,4", "hydra/launcher=auto", of="c")
    assert "4 runs stacked: they began in stacks" in capsys.readouterr().out
    assert read_losses(begun) == read_losses(sweep("seed=1,2,3,4", "hydra/launcher=stacked", of="d"))
    assert statuses(begun) == ["completed"] * 4
