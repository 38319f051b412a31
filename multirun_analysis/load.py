"""Run records as data frames: what was tried, what came of it, epoch by epoch and layer by layer. Never torch.

    from multirun_analysis import load_runs
    study = load_runs("outputs/STUDY")
    study.runs                                       # a row a run
    study.curves.query("metric == 'val/loss'")       # a row an epoch
    study.layers.query("quantity == 'dead_fraction'")

Nothing is left out: a run that diverged, failed, was interrupted, is being made or cannot be read has its row, with
its status, and with what is wrong in `message`.
"""

import csv
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.factors import GROUPS, Described, columns_of, describe
from paribus import record

ALWAYS = ("status", "message", "task", *GROUPS, "seed", "command", "directory", "diverged_epoch")
SKIPPED = ("checkpoints", ".submitit", ".hydra", "__pycache__")
WRITTEN = {"report.html", "comparison.csv"}  # a directory with these is an analysis, not runs
# What the parts of a summary have to be, where they are there.
KINDS = {
    **dict.fromkeys(("choices", "set", "config", "statistics", "versions", "git", "data", "test", "diverged"), dict),
    **dict.fromkeys(("command", "message", "identity", "device"), str),
}


@dataclass(frozen=True)
class Study:
    """Runs, as frames.

    Attributes:
        runs: a row a run, index its name (its directory below the common one): status, message, task, a column for
            each group of choices and each value that was set, seed, the summary statistics, `final_` and `best_` of
            every column of metrics.csv (best: largest accuracy, smallest other, of the epochs before it diverged),
            `test_` figures where it was evaluated, `diverged_epoch`, command, directory.
        curves: run, epoch, step, metric, value; a row an epoch and metric (seconds: since training began).
        described: what was tried in each run, for comparing; by name.
        summaries: each run's summary.json, {} where it has none.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    described: dict[str, Described]
    summaries: dict[str, dict[str, Any]]

    @cached_property
    def layers(self) -> pd.DataFrame:
        """run, epoch, layer, depth, tensor, quantity, value: all layers.parquet, read at first use.

        A file that cannot be read has its run's name in `unread`, with the reason.
        """
        return self._layers[0]

    def of(self, task: str) -> "Study":
        """The runs of one task, and those of which nobody can tell."""
        mine = self.runs["task"].eq(task) | self.runs["task"].isna()
        if mine.all():
            return self
        runs = self.runs[mine].dropna(axis="columns", how="all")
        runs = runs.reindex(columns=[c for c in self.runs if c in runs or c in ALWAYS])
        curves = self.curves[self.curves["run"].isin(runs.index)]
        return Study(
            runs, curves, {n: self.described[n] for n in runs.index}, {n: self.summaries[n] for n in runs.index}
        )

    @property
    def unread(self) -> dict[str, str]:
        """Runs whose layers.parquet cannot be read, and why."""
        return self._layers[1]

    @cached_property
    def _layers(self) -> tuple[pd.DataFrame, dict[str, str]]:
        return read_layers(
            {name: Path(path) for name, path in zip(self.described, self.runs["directory"], strict=True)}
        )


def load_runs(
    paths: str | Path | Iterable[str | Path], progress: Callable[[Sequence[Path]], Iterable[Path]] = iter
) -> Study:
    """All runs in and below `paths` (runs, studies, directories of studies). `progress` is put around their reading.

    Raises RecordError for a path that does not exist or cannot be read, or where there is no run at all.
    """
    given = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    directories = find(given)
    common = Path(os.path.commonpath([d.absolute().parent for d in directories]))
    rows, curves, described, summaries = {}, {}, {}, {}
    for directory in progress(directories):
        name = str(directory.absolute().relative_to(common))
        row, curves[name], described[name], summaries[name] = read_run(directory)
        rows[name] = row
    runs = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    tried = columns_of(described)
    first = ["status", "message", "task", *tried.columns, "seed"]
    runs = runs.join(tried)
    rest = [column for column in runs.columns if column not in first]
    return Study(runs[[*first, *rest]], _tidy(curves), described, summaries)


def find(paths: Iterable[Path]) -> list[Path]:
    """The directories of runs among and below `paths`, sorted, each once."""

    def refuse(error: OSError) -> None:
        raise record.RecordError(
            f"{error.filename} cannot be read ({error.strerror}). Allow it, or name other directories: a table "
            "without its runs would mislead."
        )

    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise record.RecordError(f"{path} does not exist.")
        if not path.is_dir():
            raise record.RecordError(f"{path} is a file. Give the directory of a run or of a study.")
        here = []
        seen = set()
        for folder, below, files in os.walk(path, onerror=refuse, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen or set(files) >= WRITTEN:
                below.clear()
                continue
            seen.add(real)
            if record.SUMMARY in files or record.METRICS in files or (Path(folder) / record.COMPOSITION).exists():
                here.append(Path(folder))
                below.clear()
            else:
                below[:] = sorted(name for name in below if name not in SKIPPED)
        if not here:
            raise record.RecordError(
                f"{path} holds no run: there is no {record.SUMMARY} or {record.METRICS} in or below it."
            )
        found |= {run.resolve(): run for run in here if run.resolve() not in found}
    return sorted(found.values())


def read_run(directory: Path) -> tuple[dict[str, Any], pd.DataFrame, Described, dict[str, Any]]:
    """A run's row, its metrics.csv as it stands, what was tried, and its summary."""
    status, summary = record.state(directory)
    message = (summary or {}).get("message")
    if summary is not None:
        wrong = _wrong(summary)
        if wrong:
            status, message = record.DAMAGED, f"{record.SUMMARY} is damaged: {wrong}. Make the run again."
            kept = {key: value for key, value in summary.items() if isinstance(value, KINDS.get(key, object))}
            summary = {**kept, "statistics": {}, "test": {}, "choices": {}}
    if summary is None:
        if status == record.DAMAGED:
            message = _damage(directory)
        elif _running(directory):
            status = record.RUNNING
        else:
            status = record.UNFINISHED
    metrics, damage = read_metrics(directory)
    wanted = (summary or {}).get("statistics", {}).get("epochs")
    if status in record.FINISHED and damage is None and wanted not in (None, len(metrics)):
        damage = f"{record.METRICS} has {len(metrics)} epochs, {record.SUMMARY} speaks of {wanted}"
    if status in record.FINISHED and damage is not None:
        status, message = record.DAMAGED, f"{damage}. Make the run again."
    described = describe(directory, summary)
    if described.problem and status in record.FINISHED:
        status, message = record.DAMAGED, described.problem
    row = {"status": status, "message": message, "task": _task(metrics, described), "seed": described.replicate}
    statistics = (summary or {}).get("statistics", {})
    row |= {key: value for key, value in statistics.items() if not isinstance(value, dict | list)}
    row |= _of_curves(metrics, statistics)
    tested = (summary or {}).get("test") or {}
    row |= {f"test_{key}": value for key, value in tested.items() if isinstance(value, int | float)}
    row["diverged_epoch"] = ((summary or {}).get("diverged") or {}).get("epoch")
    row["command"] = (summary or {}).get("command")
    row["directory"] = str(directory)
    return row, metrics, described, summary or {}


def read_metrics(directory: Path) -> tuple[pd.DataFrame, str | None]:
    """The whole rows of metrics.csv, and what is wrong with the file where something is."""
    path = directory / record.METRICS
    rows: list[list[float]] = []
    header: list[str] = []
    damage = None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            for cells in reader:
                if len(cells) != len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} columns of {len(header)}")
                rows.append([float(cell) if cell else np.nan for cell in cells])
        if "epoch" not in header or "step" not in header:
            raise ValueError("it has no columns epoch and step")
        counted = [[row[header.index(key)] for key in ("epoch", "step")] for row in rows]
        good = next(
            (i for i, (epoch, step) in enumerate(counted) if epoch != i + 1 or not np.isfinite(step)), len(rows)
        )
        if good < len(rows):
            del rows[good:]
            raise ValueError(f"row {good + 1} is not of epoch {good + 1}")
    except FileNotFoundError:
        return pd.DataFrame(columns=["epoch", "step"], dtype=float), f"{record.METRICS} is missing"
    except (ValueError, csv.Error) as error:
        damage = f"{record.METRICS} is damaged: {error}"
        if "epoch" not in header or "step" not in header:
            return pd.DataFrame(columns=["epoch", "step"], dtype=float), damage
    return pd.DataFrame(np.array(rows, dtype=float).reshape(len(rows), len(header)), columns=header), damage


def read_layers(directories: Mapping[str, Path]) -> tuple[pd.DataFrame, dict[str, str]]:
    """All layers.parquet as one frame, and by run why one cannot be read. A run without the file has no rows."""
    import pyarrow
    import pyarrow.parquet

    tables, names, unread = [], [], {}
    columns = ["epoch", "layer", "depth", "tensor", "quantity", "value"]
    for name, directory in directories.items():
        path = directory / record.LAYERS
        try:
            table = pyarrow.parquet.ParquetFile(path, memory_map=True).read(columns, use_threads=False)
            if set(columns) <= set(table.column_names):
                table = _as_written(table.select(columns))
        except FileNotFoundError:
            continue
        except (pyarrow.ArrowException, OSError) as error:
            unread[name] = f"{record.LAYERS} cannot be read ({str(error).splitlines()[0]})"
            continue
        missing = set(columns) - set(table.column_names)
        if missing:
            unread[name] = f"{record.LAYERS} lacks {', '.join(sorted(missing))}"
            continue
        tables.append(table)
        names.append(name)
    if not tables:
        return pd.DataFrame({"run": pd.Categorical([]), **{c: [] for c in columns}}), unread
    sizes = [table.num_rows for table in tables]
    joined = pyarrow.concat_tables(tables, promote_options="permissive").unify_dictionaries()
    frame = joined.to_pandas()
    run = pd.Categorical.from_codes(np.repeat(np.arange(len(names)), sizes), pd.Index(names))
    frame.insert(0, "run", pd.Series(run))
    return frame, unread


def _as_written(table: Any) -> Any:
    """A table of layers with columns of the kinds that a run writes; raises ArrowException where they cannot be."""
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {"epoch": pyarrow.int32(), "layer": text, "depth": pyarrow.int32(), "tensor": text, "quantity": text,
             "value": pyarrow.float64()}  # fmt: skip
    if all(pyarrow.types.is_dictionary(table.schema.field(key).type) for key, kind in kinds.items() if kind == text):
        kinds = {key: kind for key, kind in kinds.items() if kind != text}  # whatever the width of their indices
    for key, kind in kinds.items():
        i = table.schema.get_field_index(key)
        if table.schema.field(i).type != kind:
            column = table.column(i).cast(pyarrow.string() if kind == text else kind)
            table = table.set_column(i, key, column.dictionary_encode() if kind == text else column)
    if table.column("epoch").null_count or table.column("depth").null_count:
        raise pyarrow.ArrowInvalid("an epoch or depth is missing")
    return table


def _wrong(summary: Mapping[str, Any]) -> str | None:
    """What in a summary is of another kind than it has to be."""
    for key, kind in KINDS.items():
        value = summary.get(key)
        if value is not None and not isinstance(value, kind):
            return f"{key} is {value!r}"
    if not all(isinstance(option, str) for option in (summary.get("choices") or {}).values()):
        return f"choices is {summary['choices']!r}"
    for name, value in (summary.get("statistics") or {}).items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"statistics.{name} is {value!r}"
    return None


def _damage(directory: Path) -> str:
    """What is wrong with a summary.json that cannot be used."""
    try:
        found = record.read_summary(directory)
    except record.RecordError as error:
        return str(error)
    lacking = [key for key in ("identity", "statistics", "config") if not isinstance(found.get(key), dict | str)]
    version = (found.get("versions") or {}).get("paribus", "unknown")
    return f"{record.SUMMARY} lacks {', '.join(lacking)} (made by version {version}). Make the run again."


def _running(directory: Path) -> bool:
    try:
        return record.is_running(directory)
    except OSError:  # the lock of a record that we may not write to
        return False


def _task(metrics: pd.DataFrame, described: Described) -> str | None:
    """classification, regression, or None where nobody can tell."""
    if len(metrics.columns) > 2:
        return "classification" if "train/acc" in metrics or "val/acc" in metrics else "regression"
    loss = described.flat.get("model.loss")
    return None if loss is None else "classification" if loss == "cross_entropy" else "regression"


def _of_curves(metrics: pd.DataFrame, statistics: Mapping[str, Any]) -> dict[str, float]:
    """Last and best of every column, by the names that the summary statistics have: val/mse gives best_val_mse.

    As there, an epoch whose validation loss is not finite has no best figure.
    """
    found: dict[str, float] = {}
    usable = np.isfinite(metrics["val/loss"].to_numpy()) if "val/loss" in metrics else np.zeros(len(metrics), bool)
    for column in metrics.columns.difference(["epoch", "step", "epoch_seconds", "lr"]):
        name, values = column.replace("/", "_"), metrics[column].to_numpy()
        if len(values):
            found[f"final_{name}"] = values[-1]
        good = values[usable & np.isfinite(values)]
        if len(good) and column.startswith("val/"):
            found[f"best_{name}"] = good.max() if higher_is_better(column) else good.min()
    return {key: value for key, value in found.items() if key not in statistics}


def higher_is_better(metric: str) -> bool:
    """Whether more of it is better: accuracies, R2 and stability; of losses, errors and times less is."""
    return bool({"acc", "accuracy", "r2", "stability"} & set(metric.replace("/", "_").split("_")))


def _tidy(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts: dict[tuple[str, ...], list[pd.DataFrame]] = {}  # by their columns, which differ between tasks
    for name, metrics in curves.items():
        wide = metrics.assign(run=name)
        if "epoch_seconds" in wide:
            wide["seconds"] = wide["epoch_seconds"].cumsum()
        parts.setdefault(tuple(wide.columns), []).append(wide)
    keys = ["run", "epoch", "step"]
    long = [pd.concat(alike).melt(keys, var_name="metric", value_name="value") for alike in parts.values()]
    tidy = pd.concat(long, ignore_index=True).astype({"epoch": int, "step": int})
    tidy["run"] = pd.Categorical(tidy["run"], list(curves))
    tidy["metric"] = tidy["metric"].astype("category")
    return tidy.sort_values(["run", "metric", "epoch"], ignore_index=True)
