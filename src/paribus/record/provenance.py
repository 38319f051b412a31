"""Collect the versions, the commit and the uncommitted changes that a run was executed with."""

import hashlib
import platform
import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from paribus.record.files import read_summary
from paribus.record.schema import COMPOSITION, PATCH, PLAN

CODE = (".py", ".pyi", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".json", ".sh", ".c", ".cpp", ".cu", ".h")
# New files stay out whose name speaks of what nobody should pass on, or whose kind holds values rather than code.
VALUES = (".json", ".ini", ".cfg")
SECRET = re.compile("secret|credential|passw(or)?d|api_?key|(?<![a-z])tokens?(?![a-z])", re.IGNORECASE)
MOST_BYTES = 256_000  # of a patch, and of a file that git does not track: each run of a study has a copy
MOST_UNTRACKED = 100  # files; more are no code
MOST_NAMED = 20  # files that are left out


@dataclass(frozen=True)
class Code:
    """The state of a checkout.

    Attributes:
        commit: its commit; None outside of git.
        dirty: whether anything is not committed; None outside of git.
        patch: what was not committed of files that are code by their suffix (CODE), as `git apply` takes it.
        left_out: files that are not committed and not in the patch either.
    """

    commit: str | None = None
    dirty: bool | None = None
    patch: bytes = b""
    left_out: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        """Return the entry of summary.json; `patch` is the SHA-256 of code.patch, None without one."""
        named = [*self.left_out[:MOST_NAMED]]
        more = len(self.left_out) - len(named)
        return {
            "commit": self.commit,
            "dirty": self.dirty,
            "patch": hashlib.sha256(self.patch).hexdigest() if self.patch else None,
            "left_out": [*named, f"and {more} more"] if more > 0 else named,
        }


@cache  # provenance of the loaded code, even if files change later
def collect_provenance() -> dict[str, Any]:
    """Return package versions, and the state of the checkout."""
    packages = ("paribus", "torch", "lightning", "hydra-core", "numpy", "pandas")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    return {"versions": versions, "git": collect_code().as_object()}


@cache
def collect_code() -> Code:
    """Return the state of the checkout that this package lies in."""
    return read_code(Path(__file__))


def read_code(file: Path) -> Code:
    """Read the state of the checkout that tracks `file`."""
    if not _git(file.parent, "ls-files", file.name):  # nothing if the package is installed inside another repository
        return Code()
    root = Path(_git(file.parent, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    commit = _git(root, "rev-parse", "HEAD").decode().strip()
    if not _git(root, "status", "--porcelain"):
        return Code(commit or None, False if commit else None)
    changed = [line.split("\t", 2) for line in _split(_git(root, "diff", "HEAD", "--numstat", "-z", "--no-renames"))]
    kept = [name for added, _, name in changed if added != "-" and name.endswith(CODE)]  # "-": binary
    new = _split(_git(root, "ls-files", "--others", "--exclude-standard", "-z"))
    records = _find_records(new)
    code = [name for name in new if name.endswith(CODE) and records.isdisjoint(PurePosixPath(name).parents)]
    safe = [name for name in code if not name.endswith(VALUES) and not SECRET.search(PurePosixPath(name).name)]
    small = [name for name in safe if _is_small(root / name)]
    small = small if len(small) <= MOST_UNTRACKED else []
    patch = _diff(root, "HEAD", "--", *kept) if kept else b""
    patch += b"".join(_diff(root, "--no-index", "--", "/dev/null", name) for name in small)
    others = [name for *_, name in changed if name not in kept] + [name for name in new if name not in small]
    if len(patch) > MOST_BYTES:
        patch, others = b"", [*kept, *small, *others]
    return Code(commit, True, patch, tuple(others))


def _find_records(names: Iterable[str]) -> set[PurePosixPath]:
    """Find the folders of runs and studies that lie in the checkout: their YAML and JSON are results, and no code."""
    paths = [PurePosixPath(name) for name in names]
    studies = {path.parent for path in paths if path.name == PLAN}
    runs = {path.parents[1] for path in paths if path.match(f"*/{COMPOSITION}")}
    return (studies | runs) - {PurePosixPath()}


def _is_small(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_BYTES


def _diff(root: Path, *arguments: str) -> bytes:
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "-U3")
    return _git(root, "diff", *plain, "--src-prefix=a/", "--dst-prefix=b/", *arguments)


def _git(folder: Path, *arguments: str) -> bytes:
    """Return what git prints; nothing where there is no git, or an error."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    differs = arguments[0] == "diff" and done.returncode == 1  # of --no-index
    return done.stdout if done.returncode == 0 or differs else b""


def _split(listed: bytes) -> list[str]:
    return [name for name in listed.decode(errors="surrogateescape").split("\0") if name]


def write_patch(directory: Path) -> None:
    """Write code.patch into a record, or remove that of an earlier attempt where nothing is left to say."""
    code = collect_code()
    if code.patch:
        (directory / PATCH).write_bytes(code.patch)
    else:
        (directory / PATCH).unlink(missing_ok=True)


def explain_other_code(directory: Path, now: Code) -> str | None:
    """Say how to get the code that made a record, where it is not the code of this checkout; None where it is.

    None as well where the record names no commit. Raises RecordError where it cannot be read.
    """
    then = read_summary(directory).get("git")
    if not isinstance(then, Mapping) or not isinstance(then.get("commit"), str):
        return None
    commit, patch = then["commit"], then.get("patch")
    here = now.as_object()
    known = "patch" in then or not then.get("dirty")
    if known and (commit, patch) == (here["commit"], here["patch"]):
        return None
    made = f"{directory} was made by commit {commit[:12]}"
    if patch:
        made += f" with the changes in its {PATCH}"
    elif then.get("dirty") and "patch" not in then:
        made += " with changes that nobody recorded"
    changed = " with other changes" if now.patch else ""
    place = f"at {now.commit[:12]}{changed}" if now.commit else "no checkout"
    steps = [f"git checkout {commit}"] + ([f"git apply {shlex.quote(str(directory / PATCH))}"] if patch else [])
    named = ", ".join(then.get("left_out") or ())
    left_out = f" (not in the patch: {named})" if named else ""
    return f"{made}; this is {place}. For the same code, in a clean checkout: {' && '.join(steps)}{left_out}"
