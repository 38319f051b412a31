"""Where the runs of a study are made: here one by one, in processes of this machine, on a cluster."""

import gc
import logging
import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import env_override, setup_globals

from paribus import record
from paribus.command import RunFailed, explain
from paribus.errors import UserError
from paribus.importing import keep_freed_memory
from paribus.job import Job
from paribus.study import Ended, Engine
from paribus.workers import begin_forkserver, begin_worker, interruptible

log = logging.getLogger(__name__)
SILENCE = 3.0  # seconds without news, after which the workers are looked after


def attempt(job: Job, console: bool) -> Ended:
    """Make a run in this process, whatever becomes of it; with `console`, it says on the terminal how it is going."""
    from paribus.run import perform

    keep_freed_memory()  # in a process of a cluster; elsewhere it has been done
    try:
        setup_globals()  # the resolvers of Hydra, in a process that is new
        job.directory.mkdir(parents=True, exist_ok=True)
        job.configure_logging(console)
        with env_override({str(name): str(value) for name, value in job.hydra.job.env_set.items()}):
            perform(job)
    except BaseException as error:  # noqa: BLE001  sorted there
        return ended_by(error, job, console)
    finally:
        gc.collect()  # Lightning leaves the run's tensors in reference cycles
    return Ended()


def ended_by(error: BaseException, job: Job, console: bool) -> Ended:
    """How an attempt ended that raised `error`; what is not for the run alone is raised again."""
    if isinstance(error, record.Busy):
        return Ended(busy=True)
    if isinstance(error, RunFailed):
        unexpected = isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, UserError | OSError)
        told = "".join(traceback.format_exception(error)) if unexpected else None
        return Ended(message=str(error), traceback=told)
    if isinstance(error, FileExistsError):
        message = f"{job.directory} is a file, where a run's directory should be. Move it away."
        log.error("error: %s", message)
        return Ended(message=message)
    if isinstance(error, KeyboardInterrupt) and not console:
        return Ended(message="interrupted")  # where it was meant for the study, the process that leads it knows
    if isinstance(error, UserError | OSError):  # before there was a record to write it into
        log.error("error: %s", explain(error))
        return Ended(message=explain(error))
    if isinstance(error, Exception):
        log.error("error: %s in %s", type(error).__name__, job.directory, exc_info=error)
        told = "".join(traceback.format_exception(error))
        return Ended(message=f"{type(error).__name__}: {error}", traceback=told)
    raise error


def with_threads(job: Job, threads: int) -> Job:
    """The job with so many threads in all of its processes, unless it was asked for with a number of its own."""
    trainer = job.config["trainer"]
    if str(trainer.get("strategy")).startswith("ddp") and isinstance(trainer["devices"], int):
        threads = max(1, threads // max(1, trainer["devices"]))
    return replace(job, threads=threads)


def serial(jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
    """One after the other, in this process."""
    for number, job in enumerate(jobs, 1):
        log.info("\nRun %d of %d: %s", number, len(jobs), job.directory.name)
        yield job, attempt(job, console=True)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_for(job: Job) -> int:
    """How many GPUs there are, if the job is one for a GPU."""
    import torch

    trainer = job.config["trainer"]
    return torch.accelerator.device_count() if trainer["accelerator"] in ("auto", "gpu", "cuda", "mps") else 0


def placed(job: Job, slot: int, slots: int) -> Job:
    """The job as the one in this slot among those that are made at once: with its share of the cores, on a GPU of its
    own where there are several."""
    job, gpus = with_threads(job, max(1, cores() // slots)), gpus_for(job)
    if gpus < 2 or job.config["trainer"]["devices"] != 1:
        return job
    assert job.choices is not None
    trainer = {**job.config["trainer"], "devices": [slot % gpus]}
    return replace(job, choices=replace(job.choices, config={**job.config, "trainer": trainer}))


def parallel(n_jobs: int | None) -> Engine:
    """Up to `n_jobs` at once, each in a process; None: one a GPU, or one a core where there is none. They share the
    cores, as if there were always so many: a run has the same threads whether it is the last one or not."""
    if n_jobs is not None and (type(n_jobs) is not int or n_jobs < 1):
        raise UserError(f"hydra.launcher.n_jobs is {n_jobs!r}; it must be a whole number, at least 1, or null.")

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        at_once = n_jobs or max(map(gpus_for, jobs)) or cores()
        yield from side_by_side([[job] for job in jobs], at_once)

    return engine


def stacked(n_jobs: int | None, most: int | None) -> Engine:
    """Runs that are alike as one program, at most `most` of them (None: as many as fit), in each of `n_jobs` processes
    (None: one a core); others by themselves, as `parallel` has them."""
    for name, value in (("n_jobs", n_jobs), ("most", most)):
        if value is not None and (type(value) is not int or value < 1):
            raise UserError(f"hydra.launcher.{name} is {value!r}; it must be a whole number, at least 1, or null.")

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        from paribus.grouping import chunks_of, sorted_out

        at_once = n_jobs or cores()
        groups, alone = sorted_out(jobs)
        chunks = [chunk for group in groups for chunk in chunks_of(group, at_once, most)]
        if chunks:
            number = f"{len(chunks)} stack{'s' * (len(chunks) > 1)}"
            log.info("%d runs in %s, each trained as one.", sum(map(len, chunks)), number)
        for reason, those in alone.items():
            names = ", ".join(job.directory.name for job in those[:3]) + (", ..." if len(those) > 3 else "")
            log.info("%d by themselves, as %s: %s", len(those), reason, names)
        yield from side_by_side([*chunks, *([job] for those in alone.values() for job in those)], at_once)

    return engine


def attempts(jobs: Sequence[Job]) -> list[Ended]:
    """Make a run by itself, or several as one."""
    with interruptible():
        if len(jobs) == 1:
            return [attempt(jobs[0], console=False)]
        from paribus.stacking import attempt_stack

        return attempt_stack(jobs)


def side_by_side(tasks: Sequence[Sequence[Job]], at_once: int) -> Iterator[tuple[Job, Ended]]:
    """Make so many tasks at once, each of one run or of several as one in a process."""
    from pebble import ProcessExpired, ProcessPool

    context = begin_forkserver()
    with ProcessPool(min(at_once, len(tasks)), initializer=begin_worker, context=context) as pool:
        waiting = list(tasks)
        running: dict[Future[list[Ended]], tuple[Sequence[Job], int]] = {}
        slots = list(range(at_once))
        silent: dict[Future[list[Ended]], int] = {}  # how often in a row nobody was seen to be making a run
        up = False  # whether the workers have come up
        try:
            while waiting or running:
                while waiting and slots:
                    jobs, slot = waiting.pop(0), slots.pop(0)
                    placed_jobs = [placed(job, slot, at_once) for job in jobs]
                    running[pool.schedule(attempts, (placed_jobs,))] = jobs, slot
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
                        outcomes = [Ended(message="its process has ended without a result")] * len(jobs)
                    except ProcessExpired as error:
                        outcomes = [Ended(message=f"its process was killed (exit code {error.exitcode})")] * len(jobs)
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


def slurm(directory: Path, cluster: str, parameters: Mapping[str, Any]) -> Engine:
    """Each as a job of a Slurm cluster; submitit's files are in the study's .submitit."""
    try:
        import submitit
    except ImportError:
        raise UserError("hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'") from None

    try:
        executor = submitit.AutoExecutor(folder=directory / ".submitit", cluster=cluster)
        executor.update_parameters(name=directory.name, **parameters)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UserError(
            f"hydra/launcher=slurm: {str(error).splitlines()[0]} (hydra.launcher.cluster is slurm, or local to try it "
            "out on this machine; hydra.launcher.parameters are those of submitit.AutoExecutor.)"
        ) from error

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        threads = int(parameters.get("cpus_per_task", 1))
        with executor.batch():
            submitted = {executor.submit(attempt, with_threads(job, threads), False): job for job in jobs}
        log.info("Submitted %d jobs; their own logs are in %s", len(submitted), directory / ".submitit")
        for future in submitit.helpers.as_completed(list(submitted), poll_frequency=1):
            failed = future.exception()
            if failed is None:
                yield submitted[future], future.result()
            else:
                yield submitted[future], Ended(message=f"job {future.job_id}: {str(failed).strip().splitlines()[0]}")

    return engine


def on_ray(address: str | None, num_cpus: int, num_gpus: float) -> Engine:
    """Each as a task of a Ray cluster."""
    try:
        import ray
    except ImportError:
        raise UserError("hydra/launcher=ray needs Ray: pip install -e '.[ray]'") from None

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Ended]]:
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(attempt)
        running = {task.remote(with_threads(job, num_cpus), False): job for job in jobs}
        while running:
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            try:
                yield job, ray.get(done)
            except ray.exceptions.RayError as error:
                yield job, Ended(message=str(error).strip().splitlines()[0])

    return engine
