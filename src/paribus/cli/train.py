"""Train one run, or with --multirun the runs of a study: `python train.py`, `paribus train`."""

import sys
from contextlib import nullcontext

import hydra
from omegaconf import DictConfig, OmegaConf

from paribus.cli.arguments import prepare_arguments
from paribus.cli.errors import report_errors
from paribus.installation import find_config_directory, name_commands
from paribus.process import find_rank, importing_torch, interrupt_on_sigterm, prepare_to_train
from paribus.terminal import guarding_streams


def main() -> None:
    """Train the run or study that sys.argv names. Exit with 1 after an error, with 130 after Ctrl-C."""
    OmegaConf.register_new_resolver("command", name_commands, replace=True)  # for the text of --help
    with guarding_streams(), report_errors():
        rank = find_rank()
        if rank is not None:
            with importing_torch():
                from paribus.run.ranks import follow, leading
        if rank:
            follow()
            return
        with interrupt_on_sigterm(), leading() if rank == 0 else nullcontext():
            sys.argv[1:] = prepare_arguments(sys.argv[1:])
            hydra.main(config_path=str(find_config_directory()), config_name="train", version_base="1.3")(train)()


def train(config: DictConfig) -> float | None:
    """Execute a single run, whose configuration Hydra has composed. A study goes to its launcher instead."""
    with importing_torch():  # only for a run, not for --help or --cfg
        from paribus.run.execute import run
    with report_errors(), prepare_to_train():
        return run(config)
