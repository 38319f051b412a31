"""Download files safely: locks, staging directories, Debian packages, checksums."""

import hashlib
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from paribus.errors import UserError

log = logging.getLogger(__name__)

NETWORK_TIMEOUT_S = 20  # without an answer


@contextmanager
def stage_files(root: Path, title: str) -> Iterator[Path]:
    """Lock `root`, created if missing, and yield a temporary directory inside it, to download the data `title` into.

    Other processes that download into `root` wait. Complete files are moved out of the temporary directory, which is
    on the same file system, so that a killed process leaves no partial file under a final name.
    """
    if not root.exists():  # the name may be mistyped, and the data be elsewhere
        log.info("%s is new: %s is downloaded into it", root, title)
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        log.info("Another process is downloading into %s; waiting for it.", root)
        lock.acquire()
    try:
        for stale in root.glob(".preparing-*"):  # left by a killed process, which no longer holds the lock
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=root, prefix=".preparing-") as temporary:
            yield Path(temporary)
    finally:
        lock.release()


def compute_digest(content: bytes, algorithm: str = "sha256") -> str:
    """Return the checksum of `content` in hexadecimal digits; not for secrets, so md5 is allowed."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def require_memory(needed: float, what: str) -> None:
    """Raise UserError where `needed` bytes are more than the memory of this machine, before it is gone."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not every system reports it
        return
    if needed > memory:
        raise UserError(
            f"{what} needs {needed / 2**30:,.1f} GiB of memory; this machine has {memory / 2**30:,.1f}. Use fewer rows "
            "or columns, fewer data.bins, or a smaller data.size of images."
        )


def download(url: str, path: Path) -> None:
    """Download `url` to `path` and show progress. Raises OSError with the reason of a failure."""
    from http.client import HTTPException

    from torch.hub import download_url_to_file

    log.info("Downloading %s", url)
    try:
        with network_timeout():
            download_url_to_file(url, str(path), progress=sys.stderr.isatty())
    except HTTPException as error:
        raise OSError(f"the server sent an invalid response ({type(error).__name__})") from None


@contextmanager
def network_timeout() -> Iterator[None]:
    """Have connections made in the block fail after NETWORK_TIMEOUT_S seconds without an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def download_debian_package(name: str, directory: Path) -> Path:
    """Download a Debian or Ubuntu package, unpack it below `directory`, and return the directory that stands for `/`.

    Needs no root rights and installs nothing. If the system has no package list, one is created in `directory` from
    the system's sources. Raises OSError with the reason of a failure.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise OSError("this system has no apt-get and dpkg-deb")
    timeout = [f"-oAcquire::{p}::Timeout={NETWORK_TIMEOUT_S}" for p in ("http", "https")]
    apt = ["apt-get", "-q", "-oAPT::Sandbox::User=root", *timeout]
    log.info("Downloading the Debian package %s", name)
    try:
        _run_command([*apt, "download", name], directory)
    except OSError:
        for folder in ("lists/partial", "cache/archives/partial"):
            (directory / folder).mkdir(parents=True)
        apt += [f"-oDir::State::Lists={directory / 'lists'}", f"-oDir::Cache={directory / 'cache'}"]
        log.info("Updating a private package list from this system's sources")
        _run_command([*apt, "update"], directory)
        _run_command([*apt, "download", name], directory)
    (package,) = directory.glob(f"{name}_*.deb")
    _run_command(["dpkg-deb", "-x", package.name, "unpacked"], directory)
    return directory / "unpacked"


def _run_command(command: list[str], directory: Path) -> None:
    """Run `command` in `directory`. Raises OSError with its first error lines if it fails."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.startswith(("E:", "dpkg"))]
        raise OSError(f"{command[0]} {command[-1]}: {' '.join(lines[:2]) or f'exit code {done.returncode}'}")
