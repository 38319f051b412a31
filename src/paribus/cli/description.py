"""Describe a data set on the terminal and in figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from paribus.config.ranges import check_ranges
from paribus.data import plots
from paribus.data.concrete import AGE, CONCRETE, Concrete
from paribus.data.module import Images, InMemory
from paribus.data.table import Table
from paribus.run.factory import make_factory

MAX_COLUMNS = 24  # in a figure


def describe(console: Console, node: dict[str, Any]) -> dict[str, Figure]:
    """Describe the data set of a configuration on the terminal, and return its figures by name."""
    check_ranges({"data": node})
    data = make_factory("data", node, InMemory)()  # type: ignore[type-abstract]
    if isinstance(data, Table):
        return describe_table(console, data)
    assert isinstance(data, Images)
    return describe_images(console, data)


def describe_table(console: Console, data: Table) -> dict[str, Figure]:
    """Print statistics of a table's columns, and return its figures by name."""
    sheet, target = data.prepare(data.read())
    targets, features = data.read_targets(sheet, target), data.read_features(sheet, target)
    for note in sheet.notes:
        console.print(note, markup=False)
    rows = f"{len(features):,} rows; {sheet.raw.duplicated().sum():,} duplicate an earlier row"
    if isinstance(data, Concrete) and AGE in features and len(features.columns) > 1:
        mixes = len(features.drop(columns=AGE).drop_duplicates())
        rows += f"\n{mixes:,} mixes (rows that differ in {AGE} and {target} alone)"
    encoded = [f"{name} ({len(values)})" for name, values in data.categories.items()]
    rows += f"\nText, an input for each value: {', '.join(encoded)}" if encoded else ""
    table = features.drop(columns=[*data.categories]).astype(float)
    if data.task == "regression":
        table[target] = sheet.get_numbers(target)
    if data.path == CONCRETE:
        units = {AGE: "days", "strength": "MPa"}
        labels = {name: f"{name.replace('_', ' ')} ({units.get(name, 'kg/m³')})" for name in map(str, table)}
        table, target = table.rename(columns=labels), labels[target]
    if data.task == "classification":
        names = data.class_names or []
        counts = {"all rows": np.bincount(targets, minlength=len(names))}
        _print_counts(console, counts, names)
        figures = {"class_counts": plots.plot_class_counts(counts, names, "rows")}
        if len(table.columns):
            _print_columns(console, table)
            shown = table.iloc[:, :MAX_COLUMNS]
            figures |= {"histograms": plots.plot_histograms(shown), "box_plots": plots.plot_boxes(shown)}
            figures["with_target"] = plots.plot_by_class(shown, targets.numpy(), names)
        console.print(rows, markup=False)
        return figures
    correlation = table.corrwith(table[target])
    _print_columns(console, table, correlation)
    console.print(rows, markup=False)
    if len(table.columns) > MAX_COLUMNS:
        strongest = correlation.drop(target).abs().nlargest(MAX_COLUMNS - 1).index
        table = table[[*strongest, target]]
        console.print(
            f"Figures show {target} and the {MAX_COLUMNS - 1} features most correlated with it.", markup=False
        )
    figures = {"histograms": plots.plot_histograms(table), "box_plots": plots.plot_boxes(table)}
    return figures | ({"with_target": plots.plot_against_target(table, target)} if len(table.columns) > 1 else {})


def _print_columns(console: Console, table: pd.DataFrame, correlation: pd.Series | None = None) -> None:
    shown = Shown(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    shown.add_column("column", overflow="fold")
    for heading in ("n", "mean", "sd", "min", "median", "max", *(() if correlation is None else ("corr",))):
        shown.add_column(heading, justify="right", overflow="fold")
    for name, row in table.describe().T.iterrows():
        cells = [_format_number(row[key]) for key in ("count", "mean", "std", "min", "50%", "max")]
        if correlation is not None:
            cells.append(f"{correlation[str(name)]:+.2f}".replace("+nan", "none"))
        shown.add_row(Text(str(name)), *cells)
    if correlation is not None:
        shown.caption = Text(f"corr: Pearson's correlation with {table.columns[-1]}")
        shown.caption_justify = "left"
    console.print(shown)


def _print_counts(console: Console, counts: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    shown = Shown(box=SIMPLE_HEAD, show_footer=True)
    shown.add_column("class", "all", no_wrap=True)
    for part, numbers in counts.items():
        shown.add_column(part, f"{numbers.sum():,}", justify="right")
    for i, class_name in enumerate(names):
        shown.add_row(Text(class_name), *(f"{numbers[i]:,}" for numbers in counts.values()))
    console.print(shown)


def describe_images(console: Console, data: Images) -> dict[str, Figure]:
    """Print class counts and pixel statistics of an image set, and return its figures by name."""
    data.prepare_data()
    images, labels = (tensor.numpy() for tensor in data.read(test=False))
    test_labels = data.read(test=True)[1].numpy()
    names = data.class_names or []
    counts = {"training and validation": np.bincount(labels, minlength=len(names))}
    if len(test_labels):
        counts["test"] = np.bincount(test_labels, minlength=len(names))
    _print_counts(console, counts, names)
    shape = " x ".join(map(str, images.shape[1:]))
    console.print(f"Images of {shape} (channels, rows, columns). Training pixels, 0 to 1:")
    values = np.arange(256) / 255
    for channel, colour in enumerate(("red", "green", "blue") if images.shape[1] == 3 else ("grey",)):
        weights = np.bincount(images[:, channel].ravel(), minlength=256)  # exact, without a float copy of all pixels
        mean = np.average(values, weights=weights)
        deviation = np.average((values - mean) ** 2, weights=weights) ** 0.5
        console.print(f"  {colour:<5}  mean {mean:.4f}  sd {deviation:.4f}")
    return {
        "class_counts": plots.plot_class_counts(counts, names),
        "samples": plots.plot_samples(images, labels, names),
    }


def _format_number(value: float) -> str:
    """Format a number with four digits, or as an integer from 1,000 to 10 million."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
