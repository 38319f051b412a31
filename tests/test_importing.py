"""How a process that trains has its memory."""

import os
import subprocess
import sys

import pytest

PAGES = """
import resource, sys
from paribus.importing import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    block = bytearray(b"1") * 40_000_000  # 9,766 pages
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> int:
    """Pages that the system had to find for 50 blocks, one after the other."""
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="malloc is not glibc's")
def test_what_is_freed_is_used_again_unless_the_user_says_otherwise() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    assert faults(**own) < 15_000
    assert faults(**own, MALLOC_ARENA_MAX="2") > 400_000
    assert faults(**own, GLIBC_TUNABLES="") > 400_000
