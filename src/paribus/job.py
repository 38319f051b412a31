"""A run that is to be made, as plain values: another process can make it."""

import logging.config
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from paribus.compose import ORDERS
from paribus.config import Choices


@dataclass(frozen=True)
class Job:
    """What was asked for.

    Attributes:
        directory: where its record goes; absolute.
        composed: the configuration as Hydra composed it, without Hydra's own.
        hydra: Hydra's own.
        choices: what the configuration says, checked; None: that is still to be done, by the process that composed it.
    """

    directory: Path
    composed: DictConfig
    hydra: HydraConf
    choices: Choices | None = None

    @classmethod
    def of_hydra(cls, config: DictConfig) -> "Job":
        """The single run that Hydra has been asked for, and has composed `config` for."""
        hydra = HydraConfig.get()
        return cls(Path(hydra.runtime.output_dir), config, hydra)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, resolved. Of a job that has been checked."""
        assert self.choices is not None
        return self.choices.config

    @property
    def of_study(self) -> bool:
        return bool(self.hydra.mode is RunMode.MULTIRUN)

    @property
    def study(self) -> str | None:
        """The study that the run in this directory was begun in; None for a single run."""
        begun = self.directory / ".hydra" / "hydra.yaml"
        mode = OmegaConf.load(begun).hydra.mode if begun.exists() else self.hydra.mode and self.hydra.mode.name
        return str(self.composed.study) if mode == RunMode.MULTIRUN.name else None

    @property
    def overrides(self) -> list[str]:
        """As typed, without what concerns one process alone."""
        orders = tuple(f"{order}=" for order in ORDERS)
        return [str(o) for o in self.hydra.overrides.task if not str(o).startswith(orders)]

    @property
    def command(self) -> str:
        """The command that makes this run again."""
        added = [source.path for source in self.hydra.runtime.config_sources if source.provider == "command-line"]
        flags = [f"--config-dir={path.removeprefix('file://')}" for path in added]
        return shlex.join(["python", "train.py", *flags, *self.overrides])

    def save_composition(self) -> None:
        """Write .hydra/ as Hydra does, which would overwrite that of a run that is there before anybody could refuse.

        hydra.yaml says how the run was begun, and stays when it is taken up.
        """
        folder = self.directory / ".hydra"
        folder.mkdir(exist_ok=True)
        composed = self.composed.copy()
        composed.study = self.composed.study  # resolved: it may have a date in it
        composed.update(dict.fromkeys(ORDERS))
        OmegaConf.save(composed, folder / "config.yaml")
        OmegaConf.save(OmegaConf.create(self.overrides), folder / "overrides.yaml")
        if not (folder / "hydra.yaml").exists():
            OmegaConf.save(OmegaConf.create({"hydra": self.hydra}), folder / "hydra.yaml")

    def configure_logging(self, console: bool) -> None:
        """Log as the configuration says, into the run's directory; without `console`, only into files."""
        whole = OmegaConf.create({"hydra": self.hydra})
        found = OmegaConf.to_container(whole.hydra.job_logging, resolve=True)
        assert isinstance(found, dict)
        if not console:
            found["handlers"] = {name: h for name, h in found["handlers"].items() if "filename" in h}
            found["root"]["handlers"] = [name for name in found["root"]["handlers"] if name in found["handlers"]]
        logging.config.dictConfig({str(key): value for key, value in found.items()})
