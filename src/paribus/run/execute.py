"""Execute a single run: lock its directory, resume or begin, train, summarise."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from paribus import record
from paribus.config.check import read_job_choices
from paribus.config.compose import to_resolved
from paribus.config.targets import require_trusted
from paribus.errors import UserError
from paribus.run import rerun, resume
from paribus.run.lifecycle import keep_summary
from paribus.run.report import report_end
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job
from paribus.run.train import train

log = logging.getLogger(__name__)


def run(config: DictConfig) -> float | None:
    """Make the single run that Hydra has been asked for, and has composed `config` for; see `perform`.

    With config.rerun it is compared with the run in that directory, with config.dry_run only checked.
    """
    job = Job.of_hydra(config)
    if job.of_study:
        raise UserError("A study needs a launcher of its own: hydra/launcher=serial, parallel, slurm or ray.")
    if job.hydra.sweeper.get("params") or job.hydra.sweeper.get("grids"):
        raise UserError("This experiment is a study: it lists several runs. Add --multirun to make them.")
    if config.dry_run not in (True, False):
        raise UserError(f"dry_run is {config.dry_run!r}; it must be true or false.")
    if config.trust not in (True, False):
        raise UserError(f"trust is {config.trust!r}; it must be true or false.")
    named = config.resume if config.rerun is None else config.rerun
    if named is not None and not config.trust:
        require_trusted(to_resolved(config), str(named))
    if config.rerun is not None:
        rerun.require_same(Path(config.rerun), read_config(job))
    if config.dry_run:
        describe_run(job)
        return None
    metric = execute_run(job)
    if config.rerun is not None:
        log.info(rerun.compare(Path(config.rerun), job.directory))
    return metric


def execute_run(job: Job) -> float | None:
    """Make a run, and leave its record in its directory.

    In a study, and where job.composed.resume asks for it, a run that is there already is taken up from its last
    checkpoint; in a study it is left as it is if it is finished, and begun anew if it failed.

    Returns the best validation accuracy (classification) or loss (regression), None where nothing was validated or no
    epoch ended. Raises RunFailed after an error, which is in the log and in summary.json by then; UserError, before
    anything is written, where the directory holds another run; record.Busy while another process is making this one.
    """
    with record.lock_directory(job.directory):
        finished, left = inspect_directory(job)
        if finished is not None:
            return read_best(finished)
        with keep_summary(job, left) as account:
            train(job, left, account)
        report_end(account.summary, job.directory)
        return read_best(account.summary)


def inspect_directory(job: Job) -> tuple[dict[str, Any] | None, ResumePoint | None]:
    """What the job's directory, which this process owns, holds of its run: the summary, if it is finished; else what it
    can go on from, if anything. What is no use is removed. Raises UserError where another run is there."""
    directory = job.directory
    record.remove_temporary(directory)
    status, summary = record.read_status(directory)
    if job.composed.resume is not None:
        return None, resume.require_resume_point(directory, status, read_config(job), job.study)
    if status == record.ABSENT:
        return None, None
    if not job.of_study:
        raise record.RecordError(
            f"{directory} holds the record of a run already. Choose another directory (hydra.run.dir=DIR), go on with "
            "that run (resume=DIR), or delete it."
        )
    config = read_config(job)
    if summary is not None and summary.get("identity") not in (None, record.identify(config)):
        raise resume.conflicting_run(directory, summary["config"], config)
    if summary is not None and status in record.FINISHED:
        return summary, None
    left = resume.find_resume_point(directory, status, config)
    if left is None:
        record.clear_record(directory)
    return None, left


def describe_run(job: Job) -> None:
    """Say what would be run. What Hydra has made for the run is removed again."""
    config = read_config(job)
    status, _ = record.read_status(job.directory)
    if job.composed.resume is not None:
        left = resume.require_resume_point(job.directory, status, config, job.study)
        what = f"{job.directory} would be taken up after epoch {left.epoch}"
    else:
        what = f"The configuration is in order; the run would go to {job.directory}"
    log.info("%s. Nothing was run (dry_run=true).", what)
    if status == record.ABSENT:
        (job.directory / record.LOG).unlink(missing_ok=True)
        if not any(job.directory.iterdir()):
            job.directory.rmdir()


def read_config(job: Job) -> dict[str, Any]:
    return (job.choices or read_job_choices(job.composed)).config


def read_best(summary: Mapping[str, Any]) -> float | None:
    """The figure that a finished run is judged by."""
    statistics = summary["statistics"]
    value: float | None = statistics.get("best_val_acc", statistics.get("best_val_loss"))
    return value
