"""Compose and check the jobs of a study."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from paribus import record
from paribus.config.check import check_choices, read_choices
from paribus.config.compose import Composer
from paribus.config.siblings import Siblings, make_siblings, read_values
from paribus.record import PROCESS_KEYS
from paribus.run.spec import Composed, Job

MAX_NAME_BYTES = 100  # of a directory's name
SUBDIRECTORY = "${hydra.job.override_dirname}"  # hydra.sweep.subdir, unless it is set


class JobComposer:
    """Composes and checks the jobs of a study.

    Runs that set the same keys are composed and checked in full once: the configurations of the others are derived from
    the first, and composed by Hydra when they are executed. So a finished run costs little time and memory.
    """

    def __init__(self, composer: Composer, study: DictConfig):
        self._composer = composer
        self._study = study
        self._directory = Path(study.hydra.sweep.dir).absolute()
        self._name = str(study.study)  # resolved, since another process would use another date
        self._families: dict[tuple[str, ...], _Family | None] = {}

    def compose_job(self, number: int, overrides: Sequence[str]) -> Job:
        """Compose and check the job of a run. Raises UserError, or an error of Hydra's, for an invalid one."""
        options, values = self._composer.split(overrides)
        # the study's name is resolved once, for all runs
        given = read_values([value for value in values if value.key_or_group != "study"])
        family_key = (*(str(o.input_line) for o in options), "", *(given or ()))
        family = None if given is None else self._families.get(family_key)
        if given is not None and family is not None:
            directory = self._directory / name_run(overrides, self._composer, self._name)
            raw, resolved = family.siblings.derive(given)
            choices = check_choices(raw, lambda: resolved, family.chosen, self._composer, keys_checked=True)
            return Job(directory, LateComposition(self, number, tuple(overrides), directory, raw.get("pause")), choices)
        composed = self.make(number, overrides)
        directory = Path(composed.hydra.runtime.output_dir)
        chosen = composed.hydra.runtime.choices
        choices = read_choices(composed.config, chosen, self._composer)
        if given is not None and family_key not in self._families:
            siblings = make_siblings(composed.config, given) if self._names_directories(composed) else None
            self._families[family_key] = None if siblings is None else _Family(siblings, dict(chosen))
            if siblings is not None:
                composition = LateComposition(self, number, tuple(overrides), directory, composed.pause)
                return Job(directory, composition, choices)
        return Job(directory, composed, choices)

    def make(self, number: int, overrides: Sequence[str]) -> Composed:
        """Have Hydra compose what the `number`-th run is executed with."""
        composed = self._composer.compose(overrides)
        OmegaConf.copy_cache(self._study, composed)  # keeps the date of the start in the study's name
        HydraConfig.instance().cfg = cast(Any, composed)  # for ${hydra:...} in it
        with open_dict(composed):
            composed.hydra.job.num, composed.hydra.job.id = number, str(number)
            composed.study = self._name
            composed.hydra.job.override_dirname = name_run(overrides, self._composer, self._name)
            composed.hydra.runtime.output_dir = str(self._directory / composed.hydra.sweep.subdir)
            hydra = HydraConfig.get()
            del composed["hydra"]
        return Composed(composed, hydra)

    @staticmethod
    def _names_directories(composed: Composed) -> bool:
        """Return whether directories have the names of name_run."""
        sweep = cast(DictConfig, composed.hydra.sweep)
        return dict(sweep.items_ex(resolve=False))["subdir"] == SUBDIRECTORY


@dataclass(frozen=True)
class _Family:
    """Runs that set the same keys, with the options that they choose by group."""

    siblings: Siblings
    chosen: dict[str, Any]


@dataclass(frozen=True)
class LateComposition:
    """A composition that is made where it is needed, and never kept: a thousand of them would take 200 MB."""

    composer: JobComposer
    number: int
    overrides: tuple[str, ...]
    directory: Path
    pause: int | None

    @property
    def in_study(self) -> bool:
        return True

    def make(self) -> Composed:
        """Return the composition, made."""
        return self.composer.make(self.number, self.overrides).move_to(self.directory)

    def move_to(self, directory: Path) -> "LateComposition":
        """Return the composition for the same run with its record in another directory."""
        return replace(self, directory=directory)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send another process the composition itself."""
        composed = self.make()
        return Composed, (composed.config, composed.hydra)


def name_run(overrides: Sequence[str], composer: Composer, study: str) -> str:
    """Name a run's directory by its sorted overrides as typed, without those that are not part of the experiment.

    An experiment that has the study's name is left out too. Characters that are unsafe in a file name become _. A name
    of more than 100 bytes is cut. A changed name ends with a hash, which makes it unique.
    """
    kept = []
    for override in map(composer.parse, overrides):
        key = override.key_or_group
        tables = ("default_lr", "default_epochs")  # their values are part of the experiment
        execution = any(
            key == k or key.startswith(f"{k}.") for k in (*record.EXECUTION_KEYS, *PROCESS_KEYS) if k not in tables
        )
        named = key == "experiment" and override.value() == study
        if not execution and not named and not override.is_hydra_override():
            kept.append(str(override.input_line))
    text = ",".join(sorted(kept)) or "defaults"
    safe = re.sub(r"[^A-Za-z0-9._=,+\-\[\]]", "_", text)
    if safe == text and len(text) <= MAX_NAME_BYTES:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{safe[: MAX_NAME_BYTES - 9]}-{digest}"
