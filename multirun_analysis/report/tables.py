"""Tables of runs and settings: with numbers as one reads them, or, for CSV, with all digits."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import interval
from multirun_analysis.compare.interactions import Interaction
from multirun_analysis.records.described import ABSENT, in_words, order
from paribus import record

# The columns of the reports' tables, by the task; the heading, and where it comes from in Described or Study.runs.
TRIED = {
    "regression": {"optimizer": "optim", "scheduler": "scheduler", "momentum": "optim.momentum",
                   "hidden": "model.hidden", "lr": "optim.lr", "epochs": "trainer.max_epochs"},
    "classification": {"activation": "activation", "optimizer": "optim", "scheduler": "scheduler", "lr": "optim.lr",
                       "batch size": "data.batch_size", "epochs": "trainer.max_epochs"},
}  # fmt: skip
FIGURES = {
    "regression": {"final train loss": "final_train_loss", "final val loss": "final_val_loss",
                   "best val loss": "best_val_loss", "time (s)": "train_seconds", "parameters": "parameters"},
    "classification": {"best val acc": "best_val_acc", "at epoch": "best_epoch", "to 90 %": "epochs_to_90pct",
                       "final train loss": "final_train_loss", "final val loss": "final_val_loss",
                       "stability": "stability_score", "early gradient": "early_layer_gradient",
                       "time (s)": "train_seconds"},
}  # fmt: skip


def runs_csv(comparison: Comparison) -> pd.DataFrame:
    """A row a run, with everything that is known of it; `value` is what is compared, inf or -inf where it diverged."""
    runs = comparison.study.runs
    levels = comparison.settings[comparison.factors].map(in_words)
    extra = levels[[factor for factor in levels if factor not in runs]]
    table = runs.join(extra).assign(metric=comparison.metric.name, value=comparison.values)
    return defuse_formulas(table.rename(defuse_formula))


def defuse_formula(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would compute. Other values are returned as they are."""
    active = isinstance(cell, str) and (cell[:1] in ("=", "+", "@", "\t", "\r") or (cell[:1] == "-" and cell != ABSENT))
    return f"'{cell}" if active else cell


def defuse_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for a CSV file, none of whose texts a spreadsheet would compute."""
    texts = table.select_dtypes(include=["object", "string", "category"]).columns
    return table.assign(**{str(column): table[column].map(defuse_formula) for column in texts})


def runs(comparison: Comparison) -> pd.DataFrame:
    """The reports' table of runs, best first: what was tried, what came of it. Those without a value stand below."""
    study = comparison.study
    rows: dict[str, dict[str, str]] = {}
    records = study.runs.to_dict("index")
    for name, run in comparison.described.items():
        figures = records[name]
        tried = _tried(comparison, name)
        shown = {heading: _cell(column, figures.get(column)) for heading, column in FIGURES[comparison.task].items()}
        if figures["status"] == record.DIVERGED and not pd.isna(figures["diverged_epoch"]):
            status = f"diverged in epoch {int(figures['diverged_epoch'])}"
        else:
            status = str(figures["status"])
        rows[name] = {**tried, "seed": run.seed_in_words if run.choices else "", "status": status, **shown}
        if comparison.metric.name not in FIGURES[comparison.task].values():
            rows[name][comparison.metric.name] = comparison.metric.show(comparison.values[name])
    order = (-(comparison.metric.sign or 1) * comparison.values).sort_values(kind="stable", na_position="last").index
    return pd.DataFrame.from_dict({name: rows[name] for name in order}, orient="index").fillna("")


def _tried(comparison: Comparison, name: str) -> dict[str, str]:
    """The reports' columns of what was tried, and other factors beside them."""
    run = comparison.described[name]
    columns = TRIED[comparison.task]
    others = [factor for factor in comparison.factors if factor not in columns.values()]
    if not run.choices:
        return dict.fromkeys([*columns, *others], "")
    return {heading: in_words(run.level(key)) for heading, key in {**columns, **{f: f for f in others}}.items()}


def _cell(column: str, value: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    if column.endswith("_acc"):
        return f"{100 * value:.2f} %"
    if column in ("parameters", "best_epoch", "epochs_to_90pct"):
        return f"{int(value):,}"
    return f"{value:.1f}" if column == "train_seconds" else f"{value:.4g}"


def settings(comparison: Comparison) -> pd.DataFrame:
    """The reports' table, a row a setting, best first, block by block: means with the half of their 95 % interval."""
    study = comparison.study
    rows: list[tuple[int, float, dict[str, str]]] = []
    blocks = list(dict.fromkeys(setting.block(comparison.blocks) for setting in comparison.tried))  # in order
    cells = comparison.settings["cell"]
    status = study.runs["status"].to_dict()
    compared = comparison.values.to_dict()
    columns = dict(FIGURES[comparison.task])
    if comparison.metric.name not in columns.values():
        columns[comparison.metric.name] = comparison.metric.name
    found = {column: study.runs[column].to_dict() for column in columns.values() if column in study.runs}
    for _, names in cells[cells >= 0].groupby(cells).groups.items():
        mine = [str(name) for name in names if name not in comparison.duplicates]
        if not mine:  # all of them are counted elsewhere
            continue
        statuses = Counter(status[name] for name in mine)
        completed = [name for name in mine if status[name] == record.COMPLETED]
        row = {**_tried(comparison, mine[0]), "seeds": str(len(mine))}
        for heading, column in columns.items():
            values = [found[column][name] for name in completed] if column in found else []
            row[heading] = _mean(column, np.array([value for value in values if not pd.isna(value)], dtype=float))
        row["not completed"] = ", ".join(f"{n} {what}" for what, n in statuses.items() if what != record.COMPLETED)
        value = np.array([compared[name] for name in mine])
        broken = float(np.isinf(value).sum()) or (math.inf if np.isnan(value).all() else 0.0)
        badness = -(comparison.metric.sign or 1) * (
            value[np.isfinite(value)].mean() if np.isfinite(value).any() else math.nan
        )
        block = tuple(comparison.described[str(names[0])].level(factor) for factor in comparison.blocks)
        rows.append(
            (blocks.index(block) if block in blocks else len(blocks), broken * 1e300 if broken else badness, row)
        )
    rows.sort(key=lambda entry: (entry[0], math.isnan(entry[1]), entry[1]))
    return pd.DataFrame([row for *_, row in rows]).fillna("")


def _mean(column: str, values: np.ndarray) -> str:
    """Mean and half of its 95 % interval, both to the interval's second digit; the mean alone where there is none."""
    if not len(values):
        return ""
    mean, low, high = interval(values)
    half = (high - low) / 2
    if column == "parameters" or len(values) < 2:
        return _cell(column, mean)
    if column in ("epochs_to_90pct", "best_epoch"):
        return f"{mean:.1f}"
    unit = ""
    if column.endswith("_acc"):
        mean, half, unit = 100 * mean, 100 * half, " %"
    if not 0 < half < math.inf:
        return f"{mean:.4g}{unit}"
    digits = min(12, max(0, 1 - math.floor(math.log10(half))))
    return f"{mean:,.{digits}f} ± {half:,.{digits}f}{unit}"


def crossed(interaction: Interaction, comparison: Comparison) -> pd.DataFrame:
    """Tabulate means over seeds, and how many diverged: a row a level of one factor, a column one of the other."""
    a, b = interaction.factors
    shown: dict[Hashable, dict[str, str]] = {}
    for row in interaction.cells.to_dict("records"):
        text = comparison.metric.show(row["mean"]) if math.isfinite(row["mean"]) else ""
        broken = f"{row['diverged']}/{row['seeds']} diverged" if row["diverged"] else ""
        shown.setdefault(row[a], {})[f"{b}={in_words(row[b])}"] = ", ".join(part for part in (text, broken) if part)
    columns = [f"{b}={in_words(level)}" for level in order(interaction.cells[b])]
    return pd.DataFrame([{a: in_words(x), **{c: shown[x].get(c, "") for c in columns}} for x in order(shown)])


def numeric(column: Iterable[str]) -> bool:
    return all(str(cell)[:1].isdigit() or str(cell)[:1] in ("", "-") for cell in column)
