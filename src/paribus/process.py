"""Settle what a process is to be: its rank among several, its imports, its memory."""

import ctypes
import gc
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 2**30  # bytes at the end of the heap; what is free there beyond goes back to the system
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


def find_rank() -> int | None:
    """Return the rank of this process among those that torchrun or srun has started; None where neither has.

    What srun says in the environment is then said there in the words of torchrun, for torch and Lightning.
    """
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        step, job = os.environ["SLURM_STEP_ID"], os.environ["SLURM_JOB_ID"]
        names = {"RANK": "PROCID", "LOCAL_RANK": "LOCALID", "GROUP_RANK": "NODEID", "WORLD_SIZE": "STEP_NUM_TASKS"}
        os.environ |= {name: os.environ[f"SLURM_{theirs}"] for name, theirs in names.items()}
        os.environ["TORCHELASTIC_RUN_ID"] = f"{job}.{step}"
        # the first host of such a list as "node[3-5,7],other"
        host = re.sub(r"\[(\d+).*", r"\1", os.environ["SLURM_STEP_NODELIST"]).partition(",")[0]
        os.environ.setdefault("MASTER_ADDR", host)
        os.environ.setdefault("MASTER_PORT", str(20000 + (int(job) + int(step)) % 10000))
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else None


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
