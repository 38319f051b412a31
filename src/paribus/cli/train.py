"""Train one run, or with --multirun the runs of a study: `python train.py`, `paribus train`."""

import sys
from contextlib import nullcontext
from pathlib import Path

import hydra
from omegaconf import DictConfig

from paribus.cli.arguments import prepare_arguments
from paribus.cli.errors import report_errors
from paribus.process import find_rank, importing_torch


def find_config_directory() -> Path:
    """Return the directory of the configuration files: inside the installed package, or in a checkout beside src/."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def main() -> None:
    """Train what sys.argv asks for. Exits with 1 after an error, with 130 after Ctrl-C."""
    with report_errors():
        rank = find_rank()
        if rank is not None:
            with importing_torch():
                from paribus.run.ranks import follow, leading
        if rank:
            follow()
            return
        with leading() if rank == 0 else nullcontext():
            sys.argv[1:] = prepare_arguments(sys.argv[1:])
            hydra.main(config_path=str(find_config_directory()), config_name="train", version_base="1.3")(train)()


def train(config: DictConfig) -> float | None:
    """Execute the single run that Hydra has composed `config` for; a study goes to the launcher instead."""
    with importing_torch():  # only when there is something to run
        from paribus.run.execute import run
    with report_errors():
        return run(config)
