"""Execute runs in this process, in processes of this machine, or stacked."""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

from paribus import record
from paribus.errors import UserError
from paribus.run.attempt import Outcome, attempt
from paribus.run.spec import Job
from paribus.sweep._workers import allowing_interrupts, end_with_parent, start_forkserver
from paribus.sweep.execute import Executor

log = logging.getLogger(__name__)
SILENCE = 3.0  # seconds without news, after which the workers are looked after


def limit_threads(job: Job, threads: int) -> Job:
    """The job with so many threads in all of its processes, unless it was asked for with a number of its own."""
    trainer = job.config["trainer"]
    if str(trainer.get("strategy")).startswith("ddp") and isinstance(trainer["devices"], int):
        threads = max(1, threads // max(1, trainer["devices"]))
    return replace(job, threads=threads)


def run_serially(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
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

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        at_once = n_jobs or max(map(count_gpus, jobs)) or count_cores()
        yield from run_in_processes([[job] for job in jobs], at_once)

    return engine


def make_stacked_executor(n_jobs: int | None, most: int | None) -> Executor:
    """Runs that are alike as one program, at most `most` of them (None: as many as fit), in each of `n_jobs` processes
    (None: one a core); others by themselves, as `parallel` has them."""
    for name, value in (("n_jobs", n_jobs), ("most", most)):
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(f"hydra.launcher.{name} is {value!r}; it must be a whole number, at least 1, or null.")

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        from paribus.stacked.grouping import group_runs, split_group

        at_once = n_jobs or count_cores()
        groups, alone = group_runs(jobs)
        chunks = [chunk for group in groups for chunk in split_group(group, at_once, most)]
        if chunks:
            number = f"{len(chunks)} stack{'s' * (len(chunks) > 1)}"
            log.info("%d runs in %s, each trained as one.", sum(map(len, chunks)), number)
        for reason, those in alone.items():
            names = ", ".join(job.directory.name for job in those[:3]) + (", ..." if len(those) > 3 else "")
            log.info("%d by themselves, as %s: %s", len(those), reason, names)
        yield from run_in_processes([*chunks, *([job] for those in alone.values() for job in those)], at_once)

    return engine


def attempt_task(jobs: Sequence[Job]) -> list[Outcome]:
    """Make a run by itself, or several as one."""
    with allowing_interrupts():
        if len(jobs) == 1:
            return [attempt(jobs[0], console=False)]
        from paribus.stacked.attempt import attempt_stack

        return attempt_stack(jobs)


def run_in_processes(tasks: Sequence[Sequence[Job]], at_once: int) -> Iterator[tuple[Job, Outcome]]:
    """Make so many tasks at once, each of one run or of several as one in a process."""
    from pebble import ProcessExpired, ProcessPool

    context = start_forkserver()
    with ProcessPool(min(at_once, len(tasks)), initializer=end_with_parent, context=context) as pool:
        waiting = list(tasks)
        running: dict[Future[list[Outcome]], tuple[Sequence[Job], int]] = {}
        slots = list(range(at_once))
        silent: dict[Future[list[Outcome]], int] = {}  # how often in a row nobody was seen to be making a run
        up = False  # whether the workers have come up
        try:
            while waiting or running:
                while waiting and slots:
                    jobs, slot = waiting.pop(0), slots.pop(0)
                    placed_jobs = [assign_device(job, slot, at_once) for job in jobs]
                    running[pool.schedule(attempt_task, (placed_jobs,))] = jobs, slot
                done, _ = wait(running, timeout=SILENCE, return_when=FIRST_COMPLETED)
                if not done:
                    alive = {
                        future
                        for future, (jobs, _) in running.items()
                        if any(record.is_running(job.directory) for job in jobs)
                    }
                    silent = {future: silent.get(future, 0) + 1 for future in set(running) - alive if up}
                    up = up or bool(alive)
                    # the pool does not see that a process has exited in order, in mid-run
                    done = {future for future, times in silent.items() if times >= 3 and future.cancel()}
                up = up or bool(done)
                for future in done:
                    jobs, slot = running.pop(future)
                    slots.append(slot)
                    try:
                        outcomes = future.result()
                    except CancelledError:
                        outcomes = [Outcome(message="its process has ended without a result")] * len(jobs)
                    except ProcessExpired as error:
                        outcomes = [Outcome(message=f"its process was killed (exit code {error.exitcode})")] * len(jobs)
                    yield from zip(jobs, outcomes, strict=True)
        except BrokenProcessPool as error:
            pool.stop()  # else the end of the block would wait for it
            raise UserError("The processes for the runs cannot be started, or were killed.") from error
        except BaseException:
            if running:
                log.info("Interrupted; waiting for %d processes to write down what they have.", len(running))
            wait(running, timeout=10)  # after Ctrl-C the workers write down what they have
            pool.stop()
            raise
