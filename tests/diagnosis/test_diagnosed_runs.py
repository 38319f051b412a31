"""Runs that are diagnosed: from the record, also where an older version made it."""

import json
from pathlib import Path

import pandas
from conftest import read_layers
from records import edit_summary, write_run

from multirun_analysis import load_runs
from paribus.diagnosis import diagnose_directory, read_trace


def of(directory: Path) -> dict:
    return json.loads((directory / "summary.json").read_text())


def test_old_records_are_diagnosed_when_they_are_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "study" / "a", losses=[12.0] * 10, layers=True)
    layers = read_layers(run)
    layers.loc[layers["quantity"] == "dead_fraction", "value"] = 0.95
    layers.to_parquet(run / "layers.parquet", index=False)
    write_run(tmp_path / "study" / "b", losses=[9.0, 3.0, 2.0, *[1.0] * 7], seed=2, layers=True)
    new = write_run(tmp_path / "study" / "c", losses=[12.0] * 10, seed=3)
    edit_summary(new, diagnosis=[], undiagnosed=["overfits"])
    study = load_runs(tmp_path / "study")
    found = {name: [one.finding for one in one.findings] for name, one in study.diagnoses.items()}
    # a baseline of 10; the last layer of the record is the output layer, where nothing is dead
    assert found == {"a": ["dead_units", "at_baseline"], "b": [], "c": []}
    assert study.diagnoses["a"].findings[0].layers == ("linear1", "linear2")
    direct = diagnose_directory(run, of(run))
    assert direct == study.diagnoses["a"] and study.diagnoses["c"].unseen == ("overfits",)


def test_the_trace_is_the_record(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", losses=[3.0, 2.0], layers=True)
    trace, layers = read_trace(run, of(run)), read_layers(run)
    frame = layers[(layers["quantity"] == "grad_mean_abs") & (layers["tensor"] == "weight")]
    expected = frame.pivot(index="epoch", columns="depth", values="value")
    assert (trace.layers["grad_mean_abs"].values == expected.to_numpy()).all()
    assert trace.layers["grad_mean_abs"].layers == ("linear1", "linear2", "linear3")
    assert trace.metrics["val/loss"].tolist() == pandas.read_csv(run / "metrics.csv")["val/loss"].tolist()
