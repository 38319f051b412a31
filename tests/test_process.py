"""Settings of a whole process: memory, and that only entry points change them."""

import os
import platform
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT

from paribus.randomness import restoring_seed_variables, seed_globally

pytestmark = pytest.mark.slow

PAGES = """
import resource, sys
from paribus.process import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    block = bytearray(b"1") * 40_000_000  # 9,766 pages
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")  # pages of another size may stand for these


def faults(**environment: str) -> int:
    """Pages that the system had to find for 50 blocks, one after the other."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=own | environment)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not glibc's")
@pytest.mark.skipif(HUGE.exists() and "[always]" in HUGE.read_text(), reason="pages are huge")
def test_what_is_freed_is_used_again_unless_the_user_says_otherwise() -> None:
    assert faults() < 15_000
    assert faults(MALLOC_MMAP_THRESHOLD_="131072") > 400_000
    assert faults(GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072") > 400_000


SETTERS = re.compile(
    r"mallopt\(|gc\.(freeze|disable|enable)|set_flush_denormal|excepthook|signal\.signal\(|captureWarnings"
    r"|filterwarnings|simplefilter|os\.environ(\[[^\]]*\] = | \|= |\.(pop|update|setdefault)\()"
)
# Beside process.py, what is run first in a process of its own: a command, a worker, a rank.
ENTRY_POINTS = ("process.py", "cli/", "sweep/_preload.py", "sweep/workers.py", "run/ranks.py",
                "run/followers.py")  # fmt: skip
# What a call leaves as it found it: see test_seed_variables_are_restored.
RESTORING = ("randomness.py", "private_names.py")


def test_only_entry_points_change_the_process() -> None:
    source = ROOT / "src" / "paribus"
    changing = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*.py")
        if SETTERS.search(path.read_text(encoding="utf-8"))
    }
    assert not {name for name in changing if not name.startswith((*ENTRY_POINTS, *RESTORING))}


@pytest.mark.parametrize("before", [None, "7"])
def test_seed_variables_are_restored(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_SEED_WORKERS", raising=False)
    if before is None:
        monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    else:
        monkeypatch.setenv("PL_GLOBAL_SEED", before)
    with suppress(KeyError), restoring_seed_variables():
        seed_globally(1, "split")
        assert os.environ["PL_SEED_WORKERS"] == "1" and os.environ["PL_GLOBAL_SEED"] != before
        raise KeyError
    assert os.environ.get("PL_GLOBAL_SEED") == before and "PL_SEED_WORKERS" not in os.environ


CALLED = """
import gc, logging, os, signal, sys, threading, warnings
import torch
import lightning  # which changes the filters of warnings itself
small = torch.tensor([1e-39])
def settings():
    numbers = signal.SIGINT, signal.SIGTERM
    return (dict(os.environ), gc.get_freeze_count(), gc.isenabled(), threading.excepthook, sys.excepthook,
            [signal.getsignal(number) for number in numbers], warnings.filters[:], warnings.showwarning, float(small * 1))
before = settings()
import paribus.run.execute, paribus.run.load, paribus.stacked.attempt, paribus.sweep.launch
from paribus.sweep.clusters import make_slurm_executor
assert settings() == before
"""


def test_importing_the_library_leaves_the_process_as_it_is() -> None:
    done = subprocess.run([sys.executable, "-c", CALLED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
