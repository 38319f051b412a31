"""What a run was made with: versions, and the commit."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any


@cache  # it is the code that this process has loaded, whatever becomes of the files
def collect_provenance() -> dict[str, Any]:
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
