"""The diagnosis of each run: what its summary holds, or, of older records, made from the record. Never torch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paribus import record
from paribus.diagnosis import Diagnosis, Trace, diagnose, recorded_findings
from paribus.diagnosis.trace import LayerTable, build_tables

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
            found[name] = Diagnosis(findings, tuple(map(str, study.summaries[name].get("undiagnosed") or ())))
    found |= dict(_from_records(study, older)) if older else {}
    return {name: found[name] for name in map(str, finished)}


def _from_records(study: "Study", names: Sequence[str]) -> Iterator[tuple[str, Diagnosis]]:
    tables = _layer_tables(study.layers, names)
    mine = study.curves[study.curves["run"].isin(names)]
    by_run = {str(run): rows for run, rows in mine.groupby("run", observed=True)}
    for name in names:
        metrics = _metrics(by_run[name]) if name in by_run else {}
        yield name, diagnose(Trace(study.summaries[name], metrics, tables.get(name, {})))


def _metrics(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Arrange the curves of a run as the columns of metrics.csv."""
    wide = rows.pivot(index="epoch", columns="metric", values="value")
    steps = rows.drop_duplicates("epoch").set_index("epoch")["step"].reindex(wide.index)
    columns = {str(name): wide[name].to_numpy(dtype=float) for name in wide.columns}
    return {"epoch": wide.index.to_numpy(dtype=float), "step": steps.to_numpy(dtype=float), **columns}


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
