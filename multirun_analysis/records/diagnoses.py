"""The diagnosis of each run: what its summary holds, or, of older records, made from the record. Never torch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paribus import record
from paribus.diagnosis import Diagnosis, Trace, diagnose, recorded_findings
from paribus.diagnosis.finding import NAMES
from paribus.diagnosis.trace import STEP_COLUMNS, LayerTable, build_tables, choose_even_steps

if TYPE_CHECKING:
    from multirun_analysis.records.load import Study


def diagnose_runs(study: "Study") -> dict[str, Diagnosis]:
    """Return the diagnosis of every finished run, by name."""
    finished = study.runs.index[study.runs["status"].isin(record.FINISHED)]
    found, older = {}, []
    for name in map(str, finished):
        findings = recorded_findings(study.summaries[name])
        if findings is None:
            older.append(name)
        else:
            # a newer version may know others
            unseen = (one for one in study.summaries[name].get("undiagnosed", ()) if one in NAMES)
            found[name] = Diagnosis(findings, tuple(unseen))
    found |= dict(_from_records(study, older)) if older else {}
    return {name: found[name] for name in map(str, finished)}


def _from_records(study: "Study", names: Sequence[str]) -> Iterator[tuple[str, Diagnosis]]:
    tables = _layer_tables(study.layers, names)
    mine = study.curves[study.curves["run"].isin(names)]
    by_run = {str(run): rows for run, rows in mine.groupby("run", observed=True)}
    steps = dict(_step_columns(study.steps, names))
    for name in names:
        metrics = _metrics(by_run[name]) if name in by_run else {}
        yield name, diagnose(Trace(study.summaries[name], metrics, tables.get(name, {}), steps.get(name, {})))


def _metrics(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrange the curves of a run as the columns of metrics.csv; its epochs are counted from 1."""
    place = rows["epoch"].to_numpy() - 1
    code, words = rows["metric"].cat.codes.to_numpy(), rows["metric"].cat.categories
    whole = np.full((len(words) + 1, int(place.max(initial=-1)) + 1), np.nan)
    whole[code, place] = rows["value"].to_numpy()
    whole[-1, place] = rows["step"].to_numpy()
    named = {str(words[i]): whole[i] for i in np.unique(code)}
    return {**named, "epoch": np.arange(1.0, whole.shape[1] + 1), "step": whole[-1]}


def _step_columns(steps: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Arrange the rows of steps.parquet of these runs as columns; a file without some of the columns is left out."""
    if set(STEP_COLUMNS) <= set(steps.columns):
        for run, rows in steps[steps["run"].isin(names)].groupby("run", observed=True):
            yield str(run), choose_even_steps({name: rows[name].to_numpy(float) for name in STEP_COLUMNS})


def _layer_tables(layers: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, LayerTable]]:
    """Arrange the rows of layers.parquet of these runs; they stand one after the other, run by run."""
    if layers.empty:
        return {}
    run = layers["run"].cat.codes.to_numpy()
    words = {key: [str(word) for word in layers[key].cat.categories] for key in ("layer", "tensor", "quantity")}
    codes = {key: layers[key].cat.codes.to_numpy() for key in words}
    numbers = {key: layers[key].to_numpy() for key in ("epoch", "depth", "value")}
    places = {str(name): i for i, name in enumerate(layers["run"].cat.categories)}
    found = {}
    for name in names:
        if name in places:
            begin, end = np.searchsorted(run, [places[name], places[name] + 1])
            part = {key: values[begin:end] for key, values in codes.items()}
            epoch, depth, value = (numbers[key][begin:end] for key in ("epoch", "depth", "value"))
            found[name] = dict(build_tables(epoch, depth, value.astype(float), part, words))
    return found
