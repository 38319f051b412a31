"""Collect the data of the page's script as plain values: runs, curves and layers, long ones thinned."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import numbers
from multirun_analysis.figures.by_step import average_bins
from multirun_analysis.figures.layers import joined
from multirun_analysis.records.described import in_words, order
from multirun_analysis.report import tables

QUANTITIES = [  # key, tensor, what it is, whether it spans powers of ten
    ("grad_mean_abs", "joined", "mean |gradient| (weight and bias)", True),
    ("grad_norm", "weight", "gradient norm (weight)", True),
    ("grad_zero_fraction", "weight", "share of zero gradients (weight)", False),
    ("update_ratio", "weight", "update / weight", True),
    ("weight_norm", "weight", "weight norm", True),
    ("activation_std", "activation", "standard deviation of activations", True),
    ("dead_fraction", "activation", "share of dead units", False),
    ("saturated_fraction", "activation", "share of saturated outputs", False),
]
MOST_VALUES = 700_000  # of layers in one page, some 6 bytes each
MOST_POINTS = 600_000  # of curves


def data_of(comparison: Comparison) -> dict[str, Any]:
    """Collect the data that the page's script draws: plain values, None for missing ones."""
    study, metric = comparison.study, comparison.metric
    settings = comparison.settings
    factors, places = [], {}
    for factor in comparison.factors:
        levels = order(settings.loc[settings["cell"] >= 0, factor])
        places[factor] = {level: i for i, level in enumerate(levels)}
        factors.append({"name": factor, "labels": [in_words(level) for level in levels], "numbers": numbers(levels)})
    table = tables.runs(comparison)
    runs = []
    records, cells = study.runs.to_dict("index"), settings.to_dict("index")
    for name in table.index:
        row = records[name]
        value = float(comparison.values[name])
        runs.append(
            {
                "name": str(name),
                "status": row["status"],
                "message": _text(row.get("message")),
                "command": _text(row.get("command")),
                "cell": cells[name]["cell"],
                "same": comparison.duplicates.get(str(name)),
                # None where it is not known what was tried
                "levels": [
                    places[factor][cells[name][factor]] if cells[name]["cell"] >= 0 else None
                    for factor in comparison.factors
                ],
                "value": _number(value),
                "shown": metric.show(value) or row["status"],
            }
        )
    names = [run["name"] for run in runs]
    return {
        "metric": {"name": metric.name, "share": metric.is_share, "sign": metric.sign},
        "factors": factors,
        "runs": runs,
        "table": {"columns": list(table.columns), "rows": table.to_numpy().tolist()},
        "curves": _curves(comparison, names),
        "layers": _layers(comparison, names),
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


EXACT = 1e-17  # powers of ten up to 1e22 are floats, by which values of at least this size can be rounded


def _rounded(values: np.ndarray) -> list[Any]:
    """Return values of any shape as lists, to five digits; None for those that are not finite."""
    finite = np.isfinite(values)
    known = np.where(finite, values, 0.0)
    size = np.floor(np.log10(np.maximum(np.abs(known), EXACT)))
    up, down = 10.0 ** np.maximum(4 - size, 0), 10.0 ** np.maximum(size - 4, 0)
    rounded = (np.round(known * up / down) / up * down).astype(object)
    rounded[~finite] = None
    for place in np.argwhere(finite & (known != 0) & ((np.abs(known) < EXACT) | (np.abs(known) > 1 / EXACT))):
        rounded[tuple(place)] = _number(float(known[tuple(place)]))
    return list(rounded.tolist())


def _find_rows(runs: pd.Series, names: Sequence[str]) -> np.ndarray:
    """Return the place among `names` of the run of each row."""
    codes, known = pd.factorize(runs)
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[str(run)] for run in known], dtype=int)[codes]


def _curves(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """By metric, by run, a value an epoch; `epochs` are those shown of long runs, `step` the steps done by then."""
    curves = comparison.study.curves
    curves = curves[~curves["metric"].isin(["epoch_seconds"])]
    metrics = [str(m) for m in curves["metric"].unique() if m != "seconds"]
    first = ["val/acc", "val/loss", "train/acc", "train/loss"]
    metrics.sort(key=lambda m: (first.index(m) if m in first else len(first), m))
    longest = int(curves["epoch"].max()) if len(curves) else 0
    total = len(curves)
    epochs = _thinned(np.arange(1, longest + 1), max(2, int(longest * MOST_POINTS / max(total, 1))))
    kept = curves[curves["epoch"].isin(epochs)]
    values: dict[str, list[list[float | None]]] = {}
    for column in [*metrics, "step", "seconds"]:
        mine = kept if column == "step" else kept[kept["metric"] == column]  # of any metric that a run has
        grid = np.full((len(names), len(epochs)), np.nan)
        places = np.searchsorted(epochs, mine["epoch"])
        grid[_find_rows(mine["run"], names), places] = mine["step" if column == "step" else "value"]
        values[column] = [_rounded(_trimmed(line)) for line in grid]
    by_step = _by_step(comparison, names)
    return {
        "metrics": [*metrics, *by_step],
        "epochs": epochs.tolist(),
        "values": values | {name: lines for name, (_, lines) in by_step.items()},
        "steps": {name: steps for name, (steps, _) in by_step.items()},
    }


def _by_step(comparison: Comparison, names: Sequence[str]) -> dict[str, tuple[list[float], list[list[float | None]]]]:
    """Average what is recorded of every step over bins of steps: by name, the bins' centres and a line a run."""
    found = {}
    for column in ("train/loss", "grad_norm"):
        table = average_bins(comparison.study.steps, column)
        if len(table):
            lines = table.reindex(list(names)).to_numpy(dtype=float)
            centres = [round(float(centre), 1) for centre in table.columns]
            found[f"{column} by step"] = centres, [_rounded(_trimmed(line)) for line in lines]
    return found


def _trimmed(line: np.ndarray) -> np.ndarray:
    """Without what comes after its last value."""
    there = np.flatnonzero(~np.isnan(line))
    return line[: there[-1] + 1] if len(there) else line[:0]


def _thinned(epochs: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the epochs, the first and last among them, evenly spread."""
    if len(epochs) <= most:
        return epochs
    return epochs[np.unique(np.linspace(0, len(epochs) - 1, most).round().astype(int))]


def _layers(comparison: Comparison, names: Sequence[str]) -> dict[str, Any]:
    """By quantity, by run, by layer (nearest the input first), a value for each of `epochs`."""
    layers = comparison.study.layers
    gradient = joined(layers).assign(quantity="grad_mean_abs", tensor="joined")
    whole = pd.concat([layers[layers["quantity"] != "grad_mean_abs"], gradient])
    parts = []
    for key, tensor, label, powers in QUANTITIES:
        mine = whole[(whole["quantity"] == key) & (whole["tensor"] == tensor)]
        if len(mine) and mine["value"].notna().any():
            parts.append((key, label, powers, mine))
    if not parts:
        return {"quantities": [], "epochs": [], "names": [], "values": {}}
    all_epochs = np.unique(np.concatenate([mine["epoch"].unique() for *_, mine in parts]))
    total = sum(len(mine) for *_, mine in parts)
    epochs = _thinned(all_epochs, max(2, int(len(all_epochs) * MOST_VALUES / total)))
    known = layers[["run", "layer", "depth"]].drop_duplicates()
    sizes = known.groupby("run", observed=True)["depth"].max()
    by_depth = known.sort_values("depth", kind="stable").groupby("run", observed=True)["layer"]
    by_run = {str(run): layer.astype(str).tolist() for run, layer in by_depth}
    values = {}
    for key, _, _, mine in parts:
        mine = mine[mine["epoch"].isin(epochs)]
        grid = np.full((len(names), int(sizes.max()) + 1, len(epochs)), np.nan)
        grid[_find_rows(mine["run"], names), mine["depth"], np.searchsorted(epochs, mine["epoch"])] = mine["value"]
        lines = zip(names, _rounded(grid), strict=True)
        values[key] = [line[: len(by_run.get(name, []))] for name, line in lines]
    architectures = sorted({tuple(layer_names) for layer_names in by_run.values()})
    places = {a: i for i, a in enumerate(architectures)}
    return {
        "quantities": [{"key": key, "label": label, "log": powers} for key, label, powers, _ in parts],
        "epochs": epochs.tolist(),
        "architectures": [list(a) for a in architectures],
        "of": [places.get(tuple(by_run.get(name, [])), -1) for name in names],
        "values": values,
    }
