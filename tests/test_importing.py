"""How a process that trains has its memory."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

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
