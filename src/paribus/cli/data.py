"""Inspect a data set before training: `python -m paribus.data concrete`."""

import argparse
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from paribus.cli.errors import report_errors
from paribus.errors import UserError, unknown_name
from paribus.installation import name_commands
from paribus.paths import parse_path

if TYPE_CHECKING:  # slow imports, which at run time follow the check of the options
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

DESCRIPTION = """\
Inspect a data set before training: figures in a directory, a table on the terminal.

  python -m paribus.data concrete          columns: histograms, box plots, histograms with the target
  python -m paribus.data fashion_mnist     images: classes counted, samples of each
  python -m paribus.data cifar10
  python -m paribus.data concrete --path my.csv --target column     a table of your own

Of the test images only the labels are used; a table includes all its rows.
"""
NAMES = ("concrete", "fashion_mnist", "cifar10")
OPTION_DATA_SETS = {"path": NAMES[:1], "target": NAMES[:1], "root": NAMES[1:], "no_verify": NAMES[2:]}
MAX_COLUMNS = 24  # in a figure


def parse_arguments(typed: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line. Raises UserError for an unknown data set or an option of another one."""
    parser = argparse.ArgumentParser(
        description=name_commands(DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog=name_commands("python -m paribus.data"),
        usage="%(prog)s NAME [options]",
    )
    out, path = (partial(parse_path, option=option) for option in ("--out", "--path"))
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=out, metavar="DIR", help="where figures go; default: outputs/data/NAME")
    parser.add_argument("--pdf", action="store_true", help="also write figures as PDF")
    parser.add_argument("--path", type=path, metavar="FILE", help="concrete: another CSV with a header and numbers")
    parser.add_argument("--target", metavar="COLUMN", help="concrete: the column to predict; default: strength")
    parser.add_argument("--root", metavar="DIR", help="images: their directory; default: PARIBUS_DATA, or data")
    parser.add_argument("--no-verify", action="store_true", help="cifar10: a copy with other checksums")
    options = parser.parse_args(typed)
    if options.name not in NAMES:
        raise unknown_name(options.name, "the data sets", NAMES)
    for option, names in OPTION_DATA_SETS.items():
        if getattr(options, option) and options.name not in names:
            flag = f"--{option.replace('_', '-')}"
            raise UserError(f"{flag} is for {' and '.join(names)}, not for {options.name}: leave it out.")
    if options.out is None:
        options.out = Path("outputs/data", options.path.stem if options.path else options.name)
    return options


def main(typed: Sequence[str] | None = None) -> None:
    """Run the command; exit with 1 after an error."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("paribus").setLevel(logging.INFO)  # to show downloads
    with report_errors():
        inspect_data(typed)


def inspect_data(typed: Sequence[str] | None = None) -> None:
    """Describe the data set on the terminal and write its figures."""
    options = parse_arguments(typed)
    from paribus.terminal import make_console

    console = make_console()
    if options.name == "concrete":
        figures = describe_table(console, options.path, options.target or "strength")
    else:
        root = os.environ.get("PARIBUS_DATA", "data") if options.root is None else options.root
        figures = describe_images(console, options.name, root, not options.no_verify)
    with _naming_remedy(options.out, "Write elsewhere with --out DIR."):
        options.out.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for kind in ("png", "pdf") if options.pdf else ("png",):
                figure.savefig(options.out / f"{name}.{kind}")
    also = " (and PDF)" if options.pdf else ""
    message = f"In {options.out}: {', '.join(f'{name}.png' for name in figures)}{also}"
    console.print(message, soft_wrap=True)


def describe_table(console: "Console", path: Path | None, target: str) -> dict[str, "Figure"]:
    """Print statistics of a table's columns, and return its figures by name. `path` None: the concrete data."""
    from paribus.data import concrete, plots

    with _naming_remedy(path, "Name another file with --path FILE."):
        table, _ = concrete.read_table(path or concrete.CONCRETE, target)
    features = table.columns.drop(target)
    table = table[[*features, target]]
    rows = f"{len(table):,} rows; {table.duplicated().sum():,} duplicate an earlier row"
    if concrete.AGE in features and len(features) > 1:
        mixes = len(table[features.drop(concrete.AGE)].drop_duplicates())
        rows += f"\n{mixes:,} mixes (rows that differ in {concrete.AGE} and {target} alone)"
    if path is None:
        units = {concrete.AGE: "days", "strength": "MPa"}
        labels = {name: f"{name.replace('_', ' ')} ({units.get(name, 'kg/m³')})" for name in map(str, table)}
        table, target = table.rename(columns=labels), labels[target]
    correlation = table.corrwith(table[target])
    _print_columns(console, table, correlation)
    console.print(rows)
    if len(table.columns) > MAX_COLUMNS:
        strongest = correlation.drop(target).abs().nlargest(MAX_COLUMNS - 1).index
        table = table[[*strongest, target]]
        console.print(f"Figures show {target} and the {MAX_COLUMNS - 1} features most correlated with it.")
    return {
        "histograms": plots.plot_histograms(table),
        "box_plots": plots.plot_boxes(table),
        "with_target": plots.plot_against_target(table, target),
    }


def _print_columns(console: "Console", table: "pd.DataFrame", correlation: "pd.Series") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    shown.add_column("column", overflow="fold")
    for heading in ("n", "mean", "sd", "min", "median", "max", "corr"):
        shown.add_column(heading, justify="right", overflow="fold")
    for name, row in table.describe().T.iterrows():
        cells = [_format_number(row[key]) for key in ("count", "mean", "std", "min", "50%", "max")]
        shown.add_row(str(name), *cells, f"{correlation[str(name)]:+.2f}".replace("+nan", "none"))
    shown.caption = f"corr: Pearson's correlation with {table.columns[-1]}"
    shown.caption_justify = "left"
    console.print(shown)


def describe_images(console: "Console", name: str, root: str, verify: bool) -> dict[str, "Figure"]:
    """Print class counts and pixel statistics of an image set, and return its figures by name."""
    import numpy as np
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from paribus.data import plots
    from paribus.data.cifar10 import CIFAR10
    from paribus.data.fashion_mnist import FashionMNIST
    from paribus.data.module import Images

    data: Images
    with _naming_remedy(root, "Name another directory with --root DIR."):
        # Reading depends on root and verify alone; the other arguments are for training.
        if name == "cifar10":
            data = CIFAR10(root, verify, 1, 1, None, False, False, [0.5] * 3, [1.0] * 3, seed=0)
        else:
            data = FashionMNIST(root, 1, 1, None, False, [0.5], [1.0], seed=0)
        data.prepare_data()
        images, labels = (tensor.numpy() for tensor in data.read(test=False))
        test_labels = data.read(test=True)[1].numpy()
    names = data.class_names or []
    counts = {
        "training and validation": np.bincount(labels, minlength=len(names)),
        "test": np.bincount(test_labels, minlength=len(names)),
    }
    shown = Table(box=SIMPLE_HEAD, show_footer=True)
    shown.add_column("class", "all", no_wrap=True)
    for part, numbers in counts.items():
        shown.add_column(part, f"{numbers.sum():,}", justify="right")
    for i, class_name in enumerate(names):
        shown.add_row(class_name, *(f"{numbers[i]:,}" for numbers in counts.values()))
    console.print(shown)
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


@contextmanager
def _naming_remedy(where: object, remedy: str) -> Iterator[None]:
    """Replace the remedies in errors, which name options of training, by options of this command."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or where}: {error.strerror or error}. {remedy}") from None
    except UserError as error:
        message = str(error).replace("data.verify=false", "--no-verify")
        message = re.sub(r"\bdata\.(root|path|target)=", r"--\1 ", message)
        raise UserError(re.sub(r"\bdata\.(root|path|target)\b", r"--\1", message)) from None
