"""Execute runs in this process, in processes of this machine, or stacked."""

import logging
import os
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import replace

from paribus.errors import UserError
from paribus.process import prepare_to_train
from paribus.run.attempt import Outcome, attempt
from paribus.run.spec import Job
from paribus.sweep._workers import Worker, stop_workers, wait_for_workers
from paribus.sweep.execute import Executor

log = logging.getLogger(__name__)


def limit_threads(job: Job, threads: int) -> Job:
    """The job with so many threads in all of its processes, unless it was asked for with a number of its own."""
    trainer = job.config["trainer"]
    if str(trainer.get("strategy")).startswith("ddp") and isinstance(trainer["devices"], int):
        threads = max(1, threads // max(1, trainer["devices"]))
    return replace(job, threads=threads)


def run_serially(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
    """One after the other, in this process."""
    for number, job in enumerate(jobs, 1):
        log.info("\nRun %d of %d: %s", number, len(jobs), job.directory.name)
        yield job, attempt(job, console=True)


def count_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_gpus(job: Job) -> int:
    """How many GPUs there are, if the job is one for a GPU."""
    import torch

    trainer = job.config["trainer"]
    return torch.accelerator.device_count() if trainer["accelerator"] in ("auto", "gpu", "cuda", "mps") else 0


def assign_device(job: Job, slot: int, slots: int) -> Job:
    """The job as the one in this slot among those that are made at once: with its share of the cores, on a GPU of its
    own where there are several."""
    job, gpus = limit_threads(job, max(1, count_cores() // slots)), count_gpus(job)
    if gpus < 2 or job.config["trainer"]["devices"] != 1:
        return job
    assert job.choices is not None
    trainer = {**job.config["trainer"], "devices": [slot % gpus]}
    return replace(job, choices=replace(job.choices, config={**job.config, "trainer": trainer}))


def make_parallel_executor(n_jobs: int | None) -> Executor:
    """Up to `n_jobs` at once, each in a process; None: one a GPU, or one a core where there is none. They share the
    cores, as if there were always so many: a run has the same threads whether it is the last one or not."""
    if n_jobs is not None and (type(n_jobs) is not int or n_jobs < 1):
        raise UserError(f"hydra.launcher.n_jobs is {n_jobs!r}; it must be a whole number, at least 1, or null.")

    def engine(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        at_once = n_jobs or max(map(count_gpus, jobs)) or count_cores()
        yield from run_in_processes([[job] for job in jobs], at_once)

    return engine


def make_stacked_executor(n_jobs: int | None, most: int | None) -> Executor:
    """Runs that are alike as one program, at most `most` of them (None: as many as fit), in each of `n_jobs` processes
    (None: one a core); others by themselves, as `parallel` has them."""
    for name, value in (("n_jobs", n_jobs), ("most", most)):
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(f"hydra.launcher.{name} is {value!r}; it must be a whole number, at least 1, or null.")

    def engine(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        from paribus.stacked.grouping import group_runs, split_group

        at_once = n_jobs or count_cores()
        groups, alone = group_runs(jobs)
        chunks = [chunk for group in groups for chunk in split_group(group, at_once, most)]
        if chunks:
            number = f"{len(chunks)} stack{'s' * (len(chunks) > 1)}"
            log.info("%d runs in %s, each trained as one.", sum(map(len, chunks)), number)
        for reason, those in alone.items():
            names = ", ".join(job.directory.name for job in those[:3]) + (", ..." if len(those) > 3 else "")
            log.info("%d alone, because %s: %s", len(those), reason, names)
        yield from run_in_processes([*chunks, *([job] for those in alone.values() for job in those)], at_once)

    return engine


def attempt_task(jobs: Sequence[Job]) -> list[Outcome]:
    """Execute one run, or several as a stack."""
    with prepare_to_train():
        if len(jobs) == 1:
            return [attempt(jobs[0], console=False)]
        from paribus.stacked.attempt import attempt_stack

        return attempt_stack(jobs)


def run_in_processes(tasks: Sequence[Sequence[Job]], at_once: int) -> Generator[tuple[Job, Outcome], None, None]:
    """Execute the tasks, `at_once` at a time, each a run or a stack of runs in a process of its own.

    When the block that consumes the results is left, running workers save their state, and end.
    """
    waiting, slots = deque(tasks), deque(range(at_once))
    running: dict[Worker, tuple[Sequence[Job], int]] = {}
    try:
        while waiting or running:
            while waiting and slots:
                jobs, slot = waiting.popleft(), slots.popleft()
                worker = Worker(attempt_task, [assign_device(job, slot, at_once) for job in jobs])
                running[worker] = jobs, slot  # before its start, so that an interruption finds it
                worker.start()
            for worker in wait_for_workers(running):
                jobs, slot = running.pop(worker)
                slots.append(slot)
                outcomes = worker.result or [Outcome(message=worker.explain_exit())] * len(jobs)
                yield from zip(jobs, outcomes, strict=True)
    finally:
        if running:
            log.info("Waiting for %d processes to save their state.", len(running))
        stop_workers(running)
