"""Name a study that was not named, and write the command that goes on with it."""

import re
import shlex
from pathlib import Path

from omegaconf import DictConfig, open_dict

from paribus.errors import UserError
from paribus.installation import name_commands
from paribus.record import EXECUTION_KEYS, PROCESS_KEYS
from paribus.run.spec import to_plain_list
from paribus.sweep.plan import PlannedRun, find_known_runs

# Overrides with which an experiment remains what its file says; the options of trainer differ in the device only.
TABLES = ("default_lr", "default_epochs")  # their values are the experiment's
HARMLESS = {*EXECUTION_KEYS, *PROCESS_KEYS, "trainer"} - {*TABLES, "tune", "until"}


def name_study(study: DictConfig) -> bool:
    """Give a study without study=NAME the name of its experiment, if it is all of it; return whether it has done so.

    With other values than the experiment's file, a sweep is another study, and keeps its date as its name.
    """
    pairs = [text.lstrip("+~").partition("=") for text in to_plain_list(study.hydra.overrides.task)]
    typed = {key: value for key, _, value in pairs}
    experiment = typed.get("experiment", "")
    changed = set(typed) - {"experiment"} - HARMLESS
    hydra = to_plain_list(study.hydra.overrides.hydra)
    placed = any(text.startswith(("hydra.sweep.", "hydra.sweeper.")) for text in hydra)
    if not is_dated(study) or changed or placed or not re.fullmatch(r"[\w.-]+", experiment):
        return False
    with open_dict(study):
        study.study = experiment
    return True


def require_same_study(planned: list[PlannedRun], directory: Path) -> None:
    """Raise UserError where the directory that was chosen by default holds runs that are not planned now."""
    ours = {run.job.directory for run in planned}
    others = [path.name for path, _ in find_known_runs(directory).values() if path not in ours]
    if others:
        raise UserError(
            f"{directory} holds {len(others)} runs that are not of this experiment as it is now (such as "
            f"{others[0]}). Add study={directory.name} to put the new runs beside them, or study=NAME for another."
        )


def format_command(study: DictConfig) -> str:
    """Return the command that goes on with a study. It names a study whose name is its date."""
    overrides = to_plain_list(study.hydra.overrides.task)
    sources = [source.path for source in study.hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [f"--config-dir={path.removeprefix('file://')}" for path in sources]
    if study.hydra.job.config_name != "train":
        flags.append(f"--config-name={study.hydra.job.config_name}")
    hydra = to_plain_list(study.hydra.overrides.hydra)
    hydra = [text for text in hydra if text != "hydra.mode=MULTIRUN"]
    named = [f"study={study.study}"] if is_dated(study) else []
    return name_commands(shlex.join(["python", "train.py", "--multirun", *flags, *overrides, *hydra, *named]))


def is_dated(study: DictConfig) -> bool:
    """Return whether neither the command nor an experiment names the study."""
    return "${now:" in str(dict(study.items_ex(resolve=False))["study"])
