"""Getting files and being sure of them: locks, downloads, Debian packages, checksums."""

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

log = logging.getLogger(__name__)

NETWORK_TIMEOUT = 20  # seconds without an answer


@contextmanager
def preparing(root: Path) -> Iterator[Path]:
    """Hold the lock on `root` (made if need be) and lend a temporary directory inside it, on the same file system.

    Whoever else prepares data there waits. What is to stay is moved out of the temporary directory when it is whole,
    so that a process that is killed leaves no half-written file under a real name.
    """
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout:
        log.info("Another process is preparing data in %s; waiting for it.", root)
        lock.acquire()
    try:
        for left_over in root.glob(".preparing-*"):  # of a process that was killed; it does not hold the lock
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(dir=root, prefix=".preparing-") as temporary:
            yield Path(temporary)
    finally:
        lock.release()


def compute_digest(content: bytes, algorithm: str = "sha256") -> str:
    """The checksum of `content` in hexadecimal digits. Not for secrets: md5 is allowed."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


def download(url: str, path: Path) -> None:
    """Fetch `url` into `path`, showing progress. Raises OSError, with the reason, where that does not work."""
    from http.client import HTTPException

    from torch.hub import download_url_to_file

    log.info("Downloading %s", url)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        download_url_to_file(url, str(path), progress=sys.stderr.isatty())
    except HTTPException as error:
        raise OSError(f"the server's answer makes no sense ({type(error).__name__})") from None
    finally:
        socket.setdefaulttimeout(before)


def download_debian_package(name: str, directory: Path) -> Path:
    """Download a Debian or Ubuntu package and unpack it below `directory`; needs neither root nor an installation.

    Where the system has no list of packages, one is made in `directory` from the system's own sources.
    Returns the directory that stands for `/`. Raises OSError, with the reason, where that does not work.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise OSError("this system has no apt-get and dpkg-deb")
    timeout = [f"-oAcquire::{p}::Timeout={NETWORK_TIMEOUT}" for p in ("http", "https")]
    apt = ["apt-get", "-q", "-oAPT::Sandbox::User=root", *timeout]
    log.info("Downloading the Debian package %s", name)
    try:
        _run_command([*apt, "download", name], directory)
    except OSError:
        for folder in ("lists/partial", "cache/archives/partial"):
            (directory / folder).mkdir(parents=True)
        apt += [f"-oDir::State::Lists={directory / 'lists'}", f"-oDir::Cache={directory / 'cache'}"]
        log.info("Making a list of the packages of this system's sources")
        _run_command([*apt, "update"], directory)
        _run_command([*apt, "download", name], directory)
    (package,) = directory.glob(f"{name}_*.deb")
    _run_command(["dpkg-deb", "-x", package.name, "unpacked"], directory)
    return directory / "unpacked"


def _run_command(command: list[str], directory: Path) -> None:
    """Run `command` in `directory`; OSError with the end of what it said where it fails."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.startswith(("E:", "dpkg"))]
        raise OSError(f"{command[0]} {command[-1]}: {' '.join(lines[:2]) or f'exit code {done.returncode}'}")
