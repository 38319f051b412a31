"""Execute runs on a Slurm or Ray cluster."""

import logging
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from paribus.errors import UserError
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep.execute import Executor
from paribus.sweep.launch import attempt_task, limit_threads

log = logging.getLogger(__name__)


def make_slurm_executor(directory: Path, cluster: str, parameters: Mapping[str, Any]) -> Executor:
    """Return an executor that submits each run as a Slurm job; submitit's files go to .submitit in the study."""
    try:
        import submitit
    except ImportError:
        raise UserError("hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'") from None

    try:
        submitter = submitit.AutoExecutor(folder=directory / ".submitit", cluster=cluster)
        submitter.update_parameters(name=directory.name, **parameters)
    except (RuntimeError, NameError, TypeError, ValueError) as error:
        raise UserError(
            f"hydra/launcher=slurm: {str(error).splitlines()[0]} (hydra.launcher.cluster is slurm, or local to test "
            "on this machine; hydra.launcher.parameters go to submitit.AutoExecutor.)"
        ) from error

    def execute_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        threads = int(parameters.get("cpus_per_task", 1))
        with submitter.batch():
            submitted = {submitter.submit(attempt_task, [limit_threads(job, threads)]): job for job in jobs}
        log.info("Submitted %d jobs; their own logs are in %s", len(submitted), directory / ".submitit")
        for future in submitit.helpers.as_completed(list(submitted), poll_frequency=1):
            error = future.exception()
            if error is None:
                yield submitted[future], future.result()[0]
            else:
                yield submitted[future], Outcome(message=f"job {future.job_id}: {str(error).strip().splitlines()[0]}")
            if submitted[future].find_study_stop():
                return  # the jobs that still train or wait stop by themselves

    return execute_jobs


def make_ray_executor(address: str | None, num_cpus: int, num_gpus: float) -> Executor:
    """Return an executor that submits each run as a task of a Ray cluster."""
    try:
        import ray
    except ImportError:
        raise UserError("hydra/launcher=ray needs Ray: pip install -e '.[ray]'") from None

    def execute_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        task = ray.remote(num_cpus=num_cpus, num_gpus=num_gpus, max_retries=0)(attempt_task)
        running = {task.remote([limit_threads(job, num_cpus)]): job for job in jobs}
        while running:
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done)
            try:
                yield job, ray.get(done)[0]
            except ray.exceptions.RayError as error:
                yield job, Outcome(message=str(error).strip().splitlines()[0])
            if job.find_study_stop():
                return  # the tasks that still train or wait stop by themselves

    return execute_jobs
