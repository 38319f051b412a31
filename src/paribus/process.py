"""Change settings of the whole process.

For entry points only: the commands in cli/, Hydra's plugins, worker processes, jobs on a cluster. What a program may
call or import from the rest of the package leaves its process as it is.
"""

import ctypes
import gc
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from paribus.private_names import import_lightning

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
    """Import torch, Lightning and what the block imports without the garbage collector; keep freed memory from then on.

    The collector would take a sixth of 4 s, looking again and again through objects that stay, and 0.8 s more when the
    process ends. Where torch is imported already, nothing is changed.
    """
    if "torch" in sys.modules:
        yield
        return
    keep_freed_memory()
    collects = gc.isenabled()
    gc.disable()
    try:
        import_lightning()
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


def keep_freed_memory() -> None:
    """Have malloc keep the memory that a step frees for the next one.

    By itself glibc gives large blocks back to the system, which then has to find, and to clear, the same pages again in
    every step: a sixth of the time of VGG6 on a CPU (`python benchmarks/bench.py memory`).

    Only where malloc is glibc's, and the environment (MALLOC_..., GLIBC_TUNABLES) does not say how it should behave.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)  # a threshold above 32 MiB would be refused by a glibc before 2.35
        mallopt(M_TRIM_THRESHOLD, KEPT)


@contextmanager
def prepare_to_train() -> Iterator[None]:
    """Set what training in this process needs: malloc, the loggers of libraries, and in the block flushed denormals.

    Denormals, numbers below 1.2e-38, are what an optimizer's averages of a dead unit fade through; a CPU computes with
    them many times as long. torch's threads take the setting over from the thread that starts them.
    """
    import torch

    keep_freed_memory()
    silence_libraries()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def silence_libraries() -> None:
    """Log warnings instead of printing them, without those that no user can act on."""
    import lightning.pytorch  # noqa: F401  its import sets the levels

    logging.captureWarnings(True)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # each batch is cut out of memory: there are no workers to start
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # Lightning's own affair with newer releases of torch
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    # numpy up to 2.3 notices that denormals are flushed
    warnings.filterwarnings("ignore", ".*smallest subnormal.*")
    # a final fit has no validation
    warnings.filterwarnings("ignore", ".*across ranks is zero.*")
    # scalars are logged once an epoch, whatever the number of steps
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")


@contextmanager
def make_hydra_raise() -> Iterator[None]:
    """Have Hydra raise errors in the block, which it would print in its own way and exit."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block at the first SIGTERM; ignore others, so that records can be written."""

    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Have this process end as soon as the one that started it by multiprocessing has ended, however that was."""

    def follow() -> None:
        from multiprocessing import parent_process

        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
