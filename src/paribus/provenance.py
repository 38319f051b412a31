"""Where a run comes from: its configuration as composed, the command that makes it, versions, commit."""

import platform
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


def save_composition(config: DictConfig, hydra: HydraConf, directory: Path) -> None:
    """Write .hydra/ as Hydra does, which would overwrite that of a run that is there before anybody could refuse.

    hydra.yaml says how the run was begun, and stays when it is taken up.
    """
    folder = directory / ".hydra"
    folder.mkdir(exist_ok=True)
    composed = config.copy()
    composed.study, composed.resume = config.study, None
    OmegaConf.save(composed, folder / "config.yaml")
    OmegaConf.save(OmegaConf.create(own_overrides(hydra)), folder / "overrides.yaml")
    if not (folder / "hydra.yaml").exists():
        OmegaConf.save(OmegaConf.create({"hydra": hydra}), folder / "hydra.yaml")


def study(hydra: HydraConf, directory: Path, config: DictConfig) -> str | None:
    """The study that the run was begun in; None for a single run."""
    begun = OmegaConf.load(directory / ".hydra" / "hydra.yaml")
    return str(config.study) if begun.hydra.mode == RunMode.MULTIRUN.name else None


def own_overrides(hydra: HydraConf) -> list[str]:
    """What was typed, without what concerns this process alone."""
    return [str(o) for o in hydra.overrides.task if not str(o).startswith(("resume=", "rerun="))]


def command(hydra: HydraConf) -> str:
    """The command that makes this run again."""
    added = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    flags = [f"--config-dir={path.removeprefix('file://')}" for path in added]
    return shlex.join(["python", "train.py", *flags, *own_overrides(hydra)])


def versions_and_commit() -> dict[str, Any]:
    """Versions of what ran, and the commit it ran from with whether it had been changed (None outside git)."""
    packages = ("paribus", "torch", "lightning", "hydra-core", "numpy", "pandas")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    tracked = git("ls-files", here.name)  # not so where the package is installed inside somebody else's repository
    commit = git("rev-parse", "HEAD") if tracked else None
    dirty = bool(git("status", "--porcelain")) if commit else None
    return {"versions": versions, "git": {"commit": commit, "dirty": dirty}}
