"""Collect the versions and the commit that a run was executed with."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any


@cache  # provenance of the loaded code, even if files change later
def collect_provenance() -> dict[str, Any]:
    """Return package versions, and the commit with whether the checkout was dirty (None outside git)."""
    packages = ("paribus", "torch", "lightning", "hydra-core", "numpy", "pandas")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    here = Path(__file__)

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=here.parent, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    tracked = git("ls-files", here.name)  # false if the package is installed inside another repository
    commit = git("rev-parse", "HEAD") if tracked else None
    dirty = bool(git("status", "--porcelain")) if commit else None
    return {"versions": versions, "git": {"commit": commit, "dirty": dirty}}
