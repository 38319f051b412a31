"""Importing what is large, in a process that is to train."""

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 2**30  # bytes at the end of the heap; what is free there beyond goes back to the system
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


@contextmanager
def importing_torch() -> Iterator[None]:
    """For the imports of torch and Lightning: while they go on the garbage collector would take a sixth of 4 s, looking
    again and again through what has come to stay, and once more 0.8 s when the process ends. What is freed from then on
    is kept. Where torch is there already nothing is changed."""
    if "torch" in sys.modules:
        yield
        return
    keep_freed_memory()
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_freed_memory() -> None:
    """Have malloc keep what a step frees for the next one. By itself glibc gives large blocks back to the system, which
    then has to find, and to clear, the same pages again in every step: a sixth of the time of VGG6 on a CPU
    (`python benchmarks/bench.py memory`).

    Only where malloc is glibc's, and the environment (MALLOC_..., GLIBC_TUNABLES) does not say how it should behave.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # a threshold above 32 MiB would be refused by a glibc before 2.35
        mallopt(M_TRIM_THRESHOLD, KEPT)
