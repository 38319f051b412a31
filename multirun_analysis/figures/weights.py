"""Weights before and after training, and predictions, of single runs; and which run of a level to look at."""

import textwrap
from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import UNUSABLE_SHARE
from multirun_analysis.figures.registry import Drawing, figure, main_factors
from multirun_analysis.figures.style import pick, plain
from multirun_analysis.records.described import in_words, order
from paribus import plots as figures
from paribus import record

MOST_LAYERS = 16  # drawn of a network
MOST_RUNS = 4  # whose predictions are side by side
Arrays = dict[str, np.ndarray]


@figure("weights")
def of_representatives(comparison: Comparison) -> Iterator[tuple[str, Drawing]]:
    """Yield weights and predictions of the run in the middle of each level's best setting."""
    factor = next(iter(main_factors(comparison)), None)
    if factor:
        chosen = {in_words(level): run for level, run in representatives(comparison, factor).items()}
    else:
        finished = comparison.study.runs["status"].isin(record.FINISHED)
        chosen = {run: run for run in comparison.study.runs.index[finished]}
    shown = dict(list(chosen.items())[:MOST_RUNS])
    directories = {level: Path(str(comparison.study.runs.loc[run, "directory"])) for level, run in shown.items()}
    for level, directory in directories.items():
        summary = comparison.study.summaries[shown[level]]
        yield f"weights_{level}", partial(histograms, directory, summary)
        yield f"weights_{level}_first_layer", partial(first_heat_map, directory)
        yield f"predictions_{level}", partial(predicted, directory, summary)
    if len(directories) > 1:
        yield "predictions", partial(predicted_side_by_side, directories)


def representatives(comparison: Comparison, factor: str) -> dict[Hashable, str]:
    """Choose by level of the factor the run to look at: in the level's best setting, the one with the median figure.

    The best setting is chosen by validation; one that is unusable is below all others. Of an even number of runs the
    better one of the two in the middle. A level of which no run has ended is left out.
    """
    settings = comparison.settings.drop(index=list(comparison.duplicates)).query("cell >= 0")
    frame = pd.DataFrame({
        "level": settings[factor].map(in_words),
        "cell": settings["cell"],
        "selected": -(comparison.selection.sign or 1) * comparison.selection.of(comparison.study)[settings.index],
        "badness": -(comparison.metric.sign or 1) * comparison.values[settings.index],
    })  # fmt: skip
    # a figure without a better end has no infinitely bad one either: what diverged comes last of all the same
    diverged = comparison.study.runs["status"][settings.index] == record.DIVERGED
    frame["badness"] = frame["badness"].mask(diverged, np.inf)
    frame = frame.dropna(subset="badness").sort_index()
    finite = frame["selected"].where(np.isfinite(frame["selected"]))
    by_cell = frame.assign(broken=finite.isna(), finite=finite).groupby(["level", "cell"])[["broken", "finite"]].mean()
    by_cell["broken"] = by_cell["broken"] > UNUSABLE_SHARE
    cells = by_cell.sort_values(["broken", "finite"], kind="stable").reset_index().groupby("level")["cell"].first()
    found: dict[Hashable, str] = {}
    for level in order(settings[factor]):
        if in_words(level) in cells:
            runs = frame.loc[frame["cell"] == cells[in_words(level)], "badness"].sort_values(kind="stable")
            found[level] = str(runs.index[(len(runs) - 1) // 2])
    return found


def histograms(directory: Path, summary: Mapping[str, Any]) -> Figure | None:
    """Draw a panel for each layer: shares of its weights before and after training, and +-1/sqrt(fan_in)."""
    before, after = _weights(directory)
    shown = pick(list(after), MOST_LAYERS)
    if not shown:
        return None
    known = [layer for layer in shown if after[layer].ndim > 1 and after[layer].size]
    of = f"\n{len(shown)} of {len(after)} layers" if len(shown) < len(after) else ""
    names = {layer: _whole(layer, 34) for layer in shown}
    return figures.plot_weight_histograms(
        {names[layer]: after[layer] for layer in shown},
        {names[layer]: before[layer] for layer in shown},
        {names[layer]: after[layer][0].size ** -0.5 for layer in known},  # 1/sqrt(fan_in)
        plain(_run(summary), 200) + of,
    )


def first_heat_map(directory: Path) -> Figure | None:
    """Draw the weights of the layer nearest the input, before and after training: a row a unit, a column an input."""
    before, after = _weights(directory)
    layer = next(iter(after), None)
    if layer is None or after[layer].ndim < 2 or not after[layer].size:
        return None
    return figures.plot_heat_maps(plain(layer, len(layer)), before[layer], after[layer])


def predicted(directory: Path, summary: Mapping[str, Any]) -> Figure | None:
    """Draw a panel for each split: predictions against targets, their MSE, and that of the mean training target."""
    parts = _predictions(directory)
    if not parts or not all(np.isfinite(predicted).all() for _, predicted in parts.values()):
        return None  # of a run that diverged there is nothing to see
    figure = figures.plot_predictions(parts, _training_mean(parts))
    figure.suptitle(_whole(f"{_run(summary)}{_ended(summary)}", 42 * len(parts)), fontsize=10)
    return figure


def _run(summary: Mapping[str, Any]) -> str:
    """Name a run by model, activation, optimizer, what was set beyond them, seed."""
    typed = [f"{key}={in_words(tuple(x) if isinstance(x, list) else x)}" for key, x in summary.get("set", {}).items()]
    chosen = summary.get("choices", {})
    words = [str(chosen[group]) for group in ("model", "activation", "optim") if group in chosen]
    return ", ".join([*words, *typed, *([f"seed {summary['seed']}"] if "seed" in summary else [])])


def predicted_side_by_side(directories: Mapping[str, Path]) -> Figure | None:
    """Draw a panel for each run, by its label: predictions against targets on the validation part."""
    found = {label: parts for label, path in directories.items() if "val" in (parts := _predictions(path))}
    found = {label: parts for label, parts in found.items() if np.isfinite(parts["val"][1]).all()}
    if not found:
        return None
    labels = {label: _whole(label, 26) for label in pick(list(found), MOST_RUNS)}
    figure = figures.plot_predictions(
        {name: found[label]["val"] for label, name in labels.items()},
        {name: _training_mean(found[label]) for label, name in labels.items()},
    )
    of = f" ({len(labels)} of {len(found)} runs)" if len(labels) < len(found) else ""
    figure.suptitle(f"Predictions on validation samples{of}", fontsize=12)
    return figure


def _whole(name: str, width: int) -> str:
    """Wrap a name to lines of so many characters, not shortened: two would be alike."""
    return textwrap.fill(plain(name, len(name)), width)


def _ended(summary: Mapping[str, Any]) -> str:
    if summary.get("status") != record.DIVERGED:
        return ""
    epoch = summary.get("diverged", {}).get("epoch")
    return ", diverged" + (f" in epoch {epoch}" if epoch is not None else "")


def _weights(directory: Path) -> tuple[Arrays, Arrays]:
    """Read weights before and after training, by layer; none where the run has no file.

    Raises RecordError for a damaged file.
    """
    try:
        with np.load(directory / record.WEIGHTS) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        return {}, {}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise record.RecordError(f"{directory / record.WEIGHTS} is damaged ({error}).") from error
    after = {name.removeprefix("after/"): array for name, array in arrays.items() if name.startswith("after/")}
    before = {layer: arrays[f"before/{layer}"] for layer in after if f"before/{layer}" in arrays}
    return before, {layer: after[layer] for layer in before}


def _predictions(directory: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read targets and predictions by split; none where the run has no file. Raises RecordError for a damaged file."""
    try:
        frame = pd.read_parquet(directory / record.PREDICTIONS)
        parts = {str(split): part for split, part in frame.groupby("split", sort=False)}
        return {s: (p["target"].to_numpy(float), p["prediction"].to_numpy(float)) for s, p in parts.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError) as error:  # pyarrow's are ValueErrors
        raise record.RecordError(f"{directory / record.PREDICTIONS} is damaged ({error}).") from error


def _training_mean(parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> float:
    """Return what the baseline predicts; NaN, which is drawn as nothing, where the training part is not there."""
    return float(np.mean(parts["train"][0])) if "train" in parts else float("nan")
