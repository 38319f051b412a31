"""Look at a data set before anything is trained: `python -m paribus.data concrete`."""

import argparse
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from paribus.cli.errors import report_errors
from paribus.errors import UserError, unknown_name
from paribus.installation import name_commands
from paribus.paths import parse_path

if TYPE_CHECKING:  # what is slow to import waits until the options are known to be right
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

DESCRIPTION = """\
Look at a data set before anything is trained: figures in a directory, a table on the terminal.

  python -m paribus.data concrete          columns: histograms, box plots, histograms with the target
  python -m paribus.data fashion_mnist     images: classes counted, samples of each
  python -m paribus.data cifar10
  python -m paribus.data concrete --path my.csv --target column     a table of your own

Of the test images the labels are counted, and nothing else is looked at; a table is shown whole.
"""
NAMES = ("concrete", "fashion_mnist", "cifar10")
FOR = {"path": NAMES[:1], "target": NAMES[:1], "root": NAMES[1:], "no_verify": NAMES[2:]}
SHOWN = 24  # columns in a figure
# How the errors of the data sets name their options, and how this command does.
OPTIONS = {
    "data.root=": "--root ",
    "data.root": "--root",
    "data.path=": "--path ",
    "data.target": "--target",
    "data.verify=false": "--no-verify",
}


def parse_arguments(typed: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=name_commands(DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog=name_commands("python -m paribus.data"),
        usage="%(prog)s NAME [options]",
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--out",
        type=partial(parse_path, option="--out"),
        metavar="DIR",
        help="where figures go; default: outputs/data/NAME",
    )
    parser.add_argument("--pdf", action="store_true", help="figures as PDF too")
    parser.add_argument(
        "--path",
        type=partial(parse_path, option="--path"),
        metavar="FILE",
        help="concrete: another CSV with a header and numbers",
    )
    parser.add_argument("--target", metavar="COLUMN", help="concrete: the column to predict; default: strength")
    parser.add_argument("--root", metavar="DIR", help="images: where they are kept; default: PARIBUS_DATA, or data")
    parser.add_argument("--no-verify", action="store_true", help="cifar10: a copy with other checksums")
    options = parser.parse_args(typed)
    if options.name not in NAMES:
        raise unknown_name(options.name, "the data sets", NAMES)
    for option, names in FOR.items():
        if getattr(options, option) and options.name not in names:
            flag = f"--{option.replace('_', '-')}"
            raise UserError(f"{flag} is for {' and '.join(names)}, not for {options.name}: leave it out.")
    if options.out is None:
        options.out = Path("outputs/data", options.path.stem if options.path else options.name)
    return options


def main(typed: Sequence[str] | None = None) -> None:
    """Look at the data set that the command line names. Exits with 1 after an error."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("paribus").setLevel(logging.INFO)  # what is downloaded, and from where
    with report_errors():
        inspect_data(typed)


def inspect_data(typed: Sequence[str] | None = None) -> None:
    options = parse_arguments(typed)
    from paribus.terminal import make_console

    console = make_console()
    if options.name == "concrete":
        drawn = look_at_table(console, options.path, options.target or "strength")
    else:
        root = os.environ.get("PARIBUS_DATA", "data") if options.root is None else options.root
        drawn = look_at_images(console, options.name, root, not options.no_verify)
    with _naming_remedy(options.out, "Write elsewhere with --out DIR."):
        options.out.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            for kind in ("png", "pdf") if options.pdf else ("png",):
                figure.savefig(options.out / f"{name}.{kind}")
    also = " (and PDF)" if options.pdf else ""
    message = f"In {options.out}: {', '.join(f'{name}.png' for name in drawn)}{also}"
    console.print(message, soft_wrap=True)


def look_at_table(console: "Console", path: Path | None, target: str) -> dict[str, "Figure"]:
    """Print what the columns of a table are like, and return its figures by name. `path` None: the concrete rows."""
    from paribus.data import concrete
    from paribus.data import plots as figures

    with _naming_remedy(path, "Name another file with --path FILE."):
        table, _ = concrete.read_table(path or concrete.CONCRETE, target)
    features = table.columns.drop(target)
    table = table[[*features, target]]
    rows = f"{len(table):,} rows; {table.duplicated().sum():,} of them repeat an earlier one in every column"
    if concrete.AGE in features and len(features) > 1:
        mixes = len(table[features.drop(concrete.AGE)].drop_duplicates())
        rows += f"\n{mixes:,} mixes (rows that agree in all but {concrete.AGE} and {target})"
    if path is None:
        units = {concrete.AGE: "days", "strength": "MPa"}
        labels = {name: f"{name.replace('_', ' ')} ({units.get(name, 'kg/m³')})" for name in map(str, table)}
        table, target = table.rename(columns=labels), labels[target]
    correlation = table.corrwith(table[target])
    _print_columns(console, table, correlation)
    console.print(rows)
    if len(table.columns) > SHOWN:
        strongest = correlation.drop(target).abs().nlargest(SHOWN - 1).index
        table = table[[*strongest, target]]
        console.print(f"Figures show {target} and the {SHOWN - 1} features that correlate most with it.")
    return {
        "histograms": figures.histograms(table),
        "box_plots": figures.box_plots(table),
        "with_target": figures.with_target(table, target),
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


def look_at_images(console: "Console", name: str, root: str, verify: bool) -> dict[str, "Figure"]:
    """Print how many images there are and what their pixels are like, and return the figures by name."""
    import numpy as np
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from paribus.data import plots as figures
    from paribus.data.cifar10 import CIFAR10
    from paribus.data.fashion_mnist import FashionMNIST
    from paribus.data.module import Images

    data: Images
    with _naming_remedy(root, "Name another directory with --root DIR."):
        # Reading depends on root and verify alone; the rest is for training.
        if name == "cifar10":
            data = CIFAR10(root, verify, 1, 1, None, False, False, [0.5] * 3, [1.0] * 3, seed=0)
        else:
            data = FashionMNIST(root, 1, 1, None, False, [0.5], [1.0], seed=0)
        data.prepare_data()
        images, labels = (tensor.numpy() for tensor in data.read(test=False))
        tested = data.read(test=True)[1].numpy()
    names = data.class_names or []
    counts = {
        "training and validation": np.bincount(labels, minlength=len(names)),
        "test": np.bincount(tested, minlength=len(names)),
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
    for channel, (mean, deviation) in enumerate(zip(*compute_channel_statistics(images), strict=True)):
        colour = ("red", "green", "blue")[channel] if images.shape[1] == 3 else "grey"
        console.print(f"  {colour:<5}  mean {mean:.4f}  sd {deviation:.4f}")
    return {"class_counts": figures.class_counts(counts, names), "samples": figures.samples(images, labels, names)}


def compute_channel_statistics(images: "np.ndarray") -> tuple["np.ndarray", "np.ndarray"]:
    """Mean and standard deviation of each channel's pixels, scaled to 0..1, of bytes (n, channels, height, width).

    From counts of the 256 values: exact, and without a copy of all pixels as floats.
    """
    import numpy as np

    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    return mean, np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))


def _format_number(value: float) -> str:
    """Four digits, or all before the point of a number that is not too long."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


@contextmanager
def _naming_remedy(where: object, remedy: str) -> Iterator[None]:
    """Errors leave with the remedies of this command, in place of those of training."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or where}: {error.strerror or error}. {remedy}") from None
    except UserError as error:
        message = str(error)
        for theirs, ours in OPTIONS.items():
            message = message.replace(theirs, ours)
        raise UserError(message) from None
