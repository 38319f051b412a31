"""A run that is to be made, as plain values: another process can make it."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from paribus import record
from paribus.config.check import Choices
from paribus.config.compose import PROCESS_KEYS, to_unresolved
from paribus.installation import name_commands
from paribus.private_names import resolve_below_root
from paribus.record import replace_file


@dataclass(frozen=True)
class Job:
    """What was asked for.

    Attributes:
        directory: where its record goes; absolute.
        composed: the configuration as Hydra composed it, without Hydra's own.
        hydra: Hydra's own.
        choices: what the configuration says, checked; None: that is still to be done, by the process that composed it.
        threads: for a run that was asked for without a number of its own; None: torch's choice.
    """

    directory: Path
    composed: DictConfig
    hydra: HydraConf
    choices: Choices | None = None
    threads: int | None = None

    @classmethod
    def of_hydra(cls, config: DictConfig) -> "Job":
        """The single run that Hydra has been asked for, and has composed `config` for."""
        hydra = HydraConfig.get()
        return cls(Path(hydra.runtime.output_dir), config, hydra)

    def moved_to(self, directory: Path) -> "Job":
        """The same run in another directory, its log too. This job is no longer to be used."""
        with open_dict(cast(DictConfig, self.hydra)):
            self.hydra.runtime.output_dir = str(directory)
        return replace(self, directory=directory)

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
        of_study = self.of_study if self._begun is None else self._begun.hydra.mode == RunMode.MULTIRUN.name
        return str(self.composed.study) if of_study else None

    @property
    def _begun(self) -> DictConfig | None:
        """Hydra's own configuration when the run in the directory was begun; None where nobody can tell."""
        try:
            found = OmegaConf.create(record.read_yaml(self.directory / ".hydra" / "hydra.yaml"))
        except (OSError, record.RecordError):
            return None
        return found if isinstance(found, DictConfig) and "hydra" in found else None

    @property
    def overrides(self) -> list[str]:
        """As typed, without what concerns one process alone."""
        orders = tuple(f"{order}=" for order in PROCESS_KEYS)
        return [text for text in plain_list(self.hydra.overrides.task) if not text.startswith(orders)]

    @property
    def command(self) -> str:
        """The command that makes this run again."""
        added = [source.path for source in self.hydra.runtime.config_sources if source.provider == "command-line"]
        flags = [f"--config-dir={path.removeprefix('file://')}" for path in added]
        if self.hydra.job.config_name != "train":
            flags.append(f"--config-name={self.hydra.job.config_name}")
        own = [text for text in plain_list(self.hydra.overrides.hydra) if text.startswith("hydra.searchpath=")]
        own += [f"hydra.sweeper.{key}=null" for key in ("params", "grids") if self.hydra.sweeper.get(key)]
        return name_commands(shlex.join(["python", "train.py", *flags, *self.overrides, *own]))

    def save_composition(self) -> None:
        """Write .hydra/ as Hydra does, which would overwrite that of a run that is there before anybody could refuse.

        hydra.yaml says how the run was begun, and stays when it is taken up.
        """
        folder = self.directory / ".hydra"
        folder.mkdir(exist_ok=True)
        composed = to_unresolved(self.composed) | dict.fromkeys(PROCESS_KEYS)
        composed["study"] = self.composed.study  # resolved: it may have a date in it
        files: dict[str, Any] = {"config": composed, "overrides": self.overrides}
        if self._begun is None:
            files["hydra"] = {"hydra": OmegaConf.to_container(self.hydra, resolve=False, enum_to_str=True)}
        for name, content in files.items():
            with replace_file(folder / f"{name}.yaml") as temporary:
                temporary.write_text(_yaml(content), encoding="utf-8")

    def configure_logging(self, console: bool) -> None:
        """Log as the configuration says, into the run's directory; without `console`, only into files."""
        found = resolve_below_root(cast(DictConfig, self.hydra), "hydra", "job_logging")
        if not console and found.get("handlers"):
            found["handlers"] = {name: h for name, h in found["handlers"].items() if "filename" in h}
            found["root"]["handlers"] = [name for name in found["root"]["handlers"] if name in found["handlers"]]
        configure_log(OmegaConf.create(found), self.hydra.verbose)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Write what OmegaConf.to_yaml would, which takes 7 ms more a run: 3.6 s of a study of 500."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote a text that OmegaConf would read as a number or a truth value."""
    try:
        float(text)
        quoted = True
    except ValueError:
        quoted = text.lower() in ("y", "yes", "n", "no", "true", "false", "on", "off")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _represent_text)


def _yaml(content: Any) -> str:
    return yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def plain_list(texts: Any) -> list[str]:
    """Overrides as typed: an interpolation in one of them stays what it is."""
    return [str(text) for text in OmegaConf.to_container(texts, resolve=False) or ()]
