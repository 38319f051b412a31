"""Make one run (or, with --multirun, many): `python train.py --help` says how."""

import sys

import hydra
from omegaconf import DictConfig

from paribus.command import arguments, report_errors
from paribus.importing import heavy_imports


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(config: DictConfig) -> float | None:
    with heavy_imports():  # only when there is something to run
        from paribus.run import run
    with report_errors():
        return run(config)


if __name__ == "__main__":
    with report_errors():
        sys.argv[1:] = arguments(sys.argv[1:])
        main()
