"""Inspect a data set before training: `python -m paribus.data concrete`."""

import argparse
import inspect
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_object
from omegaconf import OmegaConf

from paribus.cli.errors import report_errors
from paribus.errors import UserError, unknown_name
from paribus.installation import find_config_directory, name_commands
from paribus.paths import parse_path
from paribus.process import importing_torch

DESCRIPTION = """\
Inspect a data set before training: figures in a directory, a table on the terminal.

  python -m paribus.data concrete          columns: histograms, box plots, histograms with the target
  python -m paribus.data fashion_mnist     images: classes counted, samples of each
  python -m paribus.data table path=my.csv target=price             a table of your own
  python -m paribus.data image_folder path=photos size=64           images of your own

Values are those of data.NAME in training. Of the test images only the labels are used; a table includes all its rows.
"""
FLAGS = ("path", "target", "root")  # values that also have an option of their own


def list_names() -> list[str]:
    """List the data sets that have a configuration."""
    return sorted(path.stem for path in (find_config_directory() / "data").glob("*.yaml"))


def parse_arguments(typed: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line. Raises UserError for an unknown data set, or a value that it does not have."""
    parser = argparse.ArgumentParser(
        description=name_commands(DESCRIPTION),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog=name_commands("python -m paribus.data"),
        usage="%(prog)s NAME [key=value ...] [options]",
    )
    out, path = (partial(parse_path, option=option) for option in ("--out", "--path"))
    parser.add_argument("name", metavar="NAME", help=", ".join(list_names()))
    parser.add_argument("values", metavar="key=value", nargs="*", help="values of the data set, as in training")
    parser.add_argument("--out", type=out, metavar="DIR", help="where figures go; default: outputs/data/NAME")
    parser.add_argument("--pdf", action="store_true", help="also write figures as PDF")
    parser.add_argument("--path", type=path, metavar="FILE", help="the same as path=FILE")
    parser.add_argument("--target", metavar="COLUMN", help="the same as target=COLUMN")
    parser.add_argument("--root", metavar="DIR", help="the same as root=DIR; default: PARIBUS_DATA, or data")
    parser.add_argument("--no-verify", action="store_true", help="the same as verify=false: accept other checksums")
    options = parser.parse_intermixed_args(typed)
    if options.name not in list_names():
        raise unknown_name(options.name, "the data sets", list_names())
    options.node = read_node(options)
    if options.out is None:
        given = options.node.get("path") if options.path or any("path=" in text for text in options.values) else None
        options.out = Path("outputs/data", Path(given).stem if given else options.name)
    return options


def read_node(options: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration of the data set with the values that were typed."""
    config = OmegaConf.load(find_config_directory() / "data" / f"{options.name}.yaml")
    node: Any = OmegaConf.to_container(OmegaConf.create({"seed": 0, "data": config}), resolve=True)
    node = node["data"]
    with importing_torch():
        signature = inspect.signature(get_object(node["_target_"]))
    valid = sorted({*node, *signature.parameters} - {"_target_", "others"})
    typed = {name: str(value) for name in FLAGS if (value := getattr(options, name)) is not None}
    for name in typed:
        if name not in valid:
            raise UserError(f"--{name} is not for {options.name}: leave it out.")
    if options.no_verify:
        if "verify" not in valid:
            raise UserError(f"--no-verify is not for {options.name}: leave it out.")
        typed["verify"] = "false"
    for text in options.values:
        key, equals, value = text.partition("=")
        key = key.removeprefix("data.").removeprefix("+data.")
        if not equals:
            raise UserError(f"{text!r} is not of the form key=value.")
        if key not in valid:
            raise unknown_name(key, f"the values of {options.name}", valid)
        typed[key] = value
    for key, value in typed.items():
        plain = key in FLAGS and not (key == "target" and value.isdigit())
        node[key] = value if plain else yaml.safe_load(value)
    return dict(node)


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
    option, where = next((name, options.node[name]) for name in ("path", "root") if name in options.node)
    with _naming_remedy(where, f"Name another with --{option}."):
        from paribus.cli.description import describe

        figures = describe(console, options.node)
    with _naming_remedy(options.out, "Write elsewhere with --out DIR."):
        options.out.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for kind in ("png", "pdf") if options.pdf else ("png",):
                figure.savefig(options.out / f"{name}.{kind}")
    also = " (and PDF)" if options.pdf else ""
    message = f"In {options.out}: {', '.join(f'{name}.png' for name in figures)}{also}"
    console.print(message, soft_wrap=True)


@contextmanager
def _naming_remedy(where: object, remedy: str) -> Iterator[None]:
    """Replace the remedies in errors, which name keys of training, by options and values of this command."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or where}: {error.strerror or error}. {remedy}") from None
    except UserError as error:
        message = str(error).replace("data.verify=false", "--no-verify")
        message = re.sub(r"\bdata\.(root|path|target)=", r"--\1 ", message)
        message = re.sub(r"\bdata\.(root|path|target)\b", r"--\1", message)
        raise UserError(re.sub(r"\+?\bdata\.(\w+)", r"\1", message)) from None
