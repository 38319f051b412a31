"""Execute runs in this process, in processes of this machine, or stacked."""

import logging
import os
import sys
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import cache

from paribus.config.ranges import COUNT, MOST_PROCESSES, Range, check_value
from paribus.errors import UserError
from paribus.process import importing_torch, prepare_to_train
from paribus.run.attempt import Outcome, attempt
from paribus.run.spec import Job
from paribus.sweep.execute import Executor
from paribus.sweep.workers import Worker, stop_workers, wait_for_workers

AT_ONCE = Range(1, MOST_PROCESSES, whole=True)
log = logging.getLogger(__name__)


def limit_threads(job: Job, threads: int) -> Job:
    """Return the job with `threads` in all of its processes together, unless its configuration sets a number."""
    trainer = job.config["trainer"]
    if str(trainer.get("strategy")).startswith("ddp") and isinstance(trainer["devices"], int):
        threads = max(1, threads // max(1, trainer["devices"]))
    return replace(job, threads=threads)


def run_serially(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
    """Execute runs one after the other, in this process."""
    for number, job in enumerate(jobs, 1):
        if job.find_study_stop():
            return
        log.info("\nRun %d of %d: %s", number, len(jobs), job.label)
        yield job, attempt_task([job], console=True)[0]


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_gpus(job: Job) -> int:
    """Count the GPUs that the job could use; return 0 if it trains on the CPU."""
    return count_devices() if job.config["trainer"]["accelerator"] in ("auto", "gpu", "cuda", "mps") else 0


def count_devices() -> int:
    """Count the GPUs of this machine: in a worker where this process has not imported torch, and can do without."""
    if "torch" in sys.modules:
        return _count_devices_here()
    return _count_devices_in_worker()


def _count_devices_here() -> int:
    import torch

    return torch.accelerator.device_count()


@cache
def _count_devices_in_worker() -> int:
    worker = Worker(_count_devices_here)
    worker.start()
    while not wait_for_workers([worker]):
        pass
    if worker.result is None:
        raise UserError(f"The GPUs cannot be counted: {worker.explain_exit()}. Set hydra.launcher.n_jobs=N.")
    worker.retire()
    return int(worker.result)


def assign_device(job: Job, slot: int, slots: int) -> Job:
    """Return the job with the cores and the GPU of its slot, one of `slots` that run at once.

    Several GPUs are assigned in turn to jobs for one device.
    """
    job, gpus = limit_threads(job, max(1, count_cores() // slots)), count_gpus(job)
    if gpus < 2 or job.config["trainer"]["devices"] != 1:
        return job
    assert job.choices is not None
    trainer = {**job.config["trainer"], "devices": [slot % gpus]}
    return replace(job, choices=replace(job.choices, config={**job.config, "trainer": trainer}))


def make_parallel_executor(n_jobs: int | None) -> Executor:
    """Return an executor of `n_jobs` runs at once, each in a process (None: one a GPU, or one a core without GPUs).

    Each run gets an equal share of the cores, even when fewer are left, so that all have the same number of threads.
    """
    check_value("hydra.launcher.n_jobs", n_jobs, AT_ONCE)

    def execute_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        at_once = n_jobs or max(map(count_gpus, jobs)) or count_cores()
        yield from run_in_processes([[job] for job in jobs], at_once)

    return execute_jobs


def make_stacked_executor(n_jobs: int | None, most: int | None) -> Executor:
    """Return an executor that trains similar runs as stacks in `n_jobs` processes (None: one a GPU, or one a core).

    A stack has at most `most` runs (None: as many as fit). Other runs are trained alone, as by `parallel`.
    """
    check_value("hydra.launcher.n_jobs", n_jobs, AT_ONCE)
    check_value("hydra.launcher.most", most, COUNT)

    def execute_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        with importing_torch():
            from paribus.stacked.grouping import group_runs, split_group

        at_once = n_jobs or max(map(count_gpus, jobs)) or count_cores()
        groups, alone = group_runs(jobs)
        chunks = [chunk for group in groups for chunk in split_group(group, at_once, most)]
        if chunks:
            stacks = f"{len(chunks)} stack{'s' * (len(chunks) > 1)}"
            log.info("%d runs in %s, each trained as one program.", sum(map(len, chunks)), stacks)
        for reason, jobs_alone in alone.items():
            names = "; ".join(job.label for job in jobs_alone[:3]) + ("; ..." if len(jobs_alone) > 3 else "")
            log.info("%d trained alone, because %s: %s", len(jobs_alone), reason, names)
        yield from run_in_processes([*chunks, *([job] for jobs_alone in alone.values() for job in jobs_alone)], at_once)

    return execute_jobs


def attempt_task(jobs: Sequence[Job], console: bool = False) -> list[Outcome]:
    """Execute one run, or several as a stack; with `console`, a run also logs to the terminal."""
    with importing_torch():  # here and not before: a study whose runs are all finished needs no torch
        import paribus.run.execute  # noqa: F401
    jobs = [job.compose() for job in jobs]
    with prepare_to_train():
        if len(jobs) == 1:
            return [attempt(jobs[0], console)]
        from paribus.stacked.attempt import attempt_stack

        return attempt_stack(jobs)


def run_in_processes(
    tasks: Sequence[Sequence[Job]], at_once: int, share_cores: bool = True
) -> Generator[tuple[Job, Outcome], None, None]:
    """Execute the tasks, `at_once` at a time, each a run or a stack of runs, in one of so many processes.

    Without `share_cores`, each has as many threads as by itself in the main process.
    When the block that consumes the results is left, running workers save their state, and end.
    """
    waiting, slots = deque(tasks), deque(range(at_once))
    running: dict[Worker, tuple[Sequence[Job], int]] = {}
    idle: list[Worker] = []
    try:
        while True:
            while waiting and slots and not waiting[0][0].find_study_stop():
                jobs, slot = waiting.popleft(), slots.popleft()
                task = [assign_device(job, slot, at_once) for job in jobs] if share_cores else list(jobs)
                if idle and idle[-1].call_again(task):
                    running[idle.pop()] = jobs, slot
                    continue
                worker = Worker(attempt_task, task)
                running[worker] = jobs, slot  # before its start, so that an interruption finds it
                worker.start()
            if not running:
                break
            for worker in wait_for_workers(running):
                jobs, slot = running.pop(worker)
                slots.append(slot)
                if worker.result is not None:
                    idle.append(worker)
                outcomes = worker.result or [Outcome(message=worker.explain_exit())] * len(jobs)
                yield from zip(jobs, outcomes, strict=True)
    finally:
        if running:
            log.info("Waiting for %d processes to save their state.", len(running))
        stop_workers(running)
        for worker in idle:
            worker.retire()
