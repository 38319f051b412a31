"""Execute a single run: lock its directory, resume or start it, train, summarise."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from paribus import record
from paribus.config.check import read_job_choices
from paribus.config.compose import to_resolved
from paribus.config.ranges import COUNT, check_value
from paribus.config.targets import require_trusted
from paribus.errors import UserError
from paribus.run import resume
from paribus.run.lifecycle import keep_summary
from paribus.run.refusal import discard, discarding_refused
from paribus.run.report import report_end
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job, to_plain_list
from paribus.run.train import train
from paribus.run.trial import try_building

log = logging.getLogger(__name__)


def run(config: DictConfig) -> float | None:
    """Execute the single run that Hydra has composed `config` for; see `execute_run`.

    With config.rerun, compare it with the run in that directory; with config.dry_run, only check the configuration. A
    run that is refused before it has trained an epoch leaves nothing behind.
    """
    job = Job.from_hydra(config)
    if job.in_study:
        raise UserError("A study needs a launcher of its own: hydra/launcher=serial, parallel, slurm or ray.")
    with discarding_refused(job.directory):
        job = check(job)
        if config.dry_run:
            describe_run(job)
            return None
        metric = execute_run(job)
    if config.rerun is not None:
        from paribus.run import rerun  # pandas takes time to import

        log.info(rerun.compare(Path(config.rerun), job.directory))
    return metric


def check(job: Job) -> Job:
    """Check the command and the configuration of a single run; return the job with its checked choices."""
    config = job.composed
    sweeper: Any = job.hydra.sweeper
    if OmegaConf.is_dict(sweeper) and (sweeper.get("params") or sweeper.get("grids")):
        raise UserError("This experiment is a study: it lists several runs. Add --multirun to train them.")
    if config.dry_run not in (True, False):
        raise UserError(f"dry_run is {config.dry_run!r}; it must be true or false.")
    check_value("pause", config.pause, COUNT)
    if config.trust not in (True, False):
        raise UserError(f"trust is {config.trust!r}; it must be true or false.")
    recorded = config.resume if config.rerun is None else config.rerun
    if recorded is None:
        require_no_study(job)
    elif not config.trust:
        require_trusted(to_resolved(config), str(recorded))
    job = check_configuration(job)
    if config.rerun is not None:
        from paribus.run import rerun  # pandas takes time to import

        rerun.require_same(Path(config.rerun), job.config)
    return job


def require_no_study(job: Job) -> None:
    """Raise UserError for typed options that have a meaning with --multirun only."""
    typed = [*to_plain_list(job.hydra.overrides.task), *to_plain_list(job.hydra.overrides.hydra)]
    options = (
        *("study=", "until=", "until.", "sequential=true", "tune=", "tune."),
        *("hydra/launcher=", "hydra/sweeper=", "hydra.launcher.", "hydra.sweep.", "hydra.sweeper."),
    )
    for text in typed:
        if text.lstrip("+~").startswith(options) and not text.endswith("=null"):
            raise UserError(f"{text} is for a study, and this is a single run. Add --multirun, or leave it out.")


def check_configuration(job: Job) -> Job:
    """Return the job with its checked choices. Where their check fails, a new run has a record like any other."""
    try:
        return replace(job, choices=read_job_choices(job.composed))
    except Exception:
        if job.composed.dry_run or job.composed.rerun is not None or job.composed.resume is not None:
            raise
        with record.lock_directory(job.directory):
            inspect_directory(job)
            with keep_summary(job, None):
                raise


def execute_run(job: Job) -> float | None:
    """Execute a run, whose configuration is checked, and write its record to its directory.

    In a study, or with job.composed.resume, an unfinished run is resumed from its last checkpoint. In a study, a
    finished run is kept and a failed run is trained again from the start.

    Returns the best value of its metric, validation accuracy (classification) or loss (regression); None without
    validation or a complete epoch. Raises RunFailed after an error, which the log and summary.json then hold;
    UserError, before anything is written, where the directory holds another run; record.BusyError while another process
    executes the run.
    """
    with record.lock_directory(job.directory):
        finished, resume_point = inspect_directory(job)
        if finished is not None:
            return record.read_best(finished)[1]
        with keep_summary(job, resume_point) as keeper:
            train(job, resume_point, keeper)
        report_end(keeper.summary, job.directory)
        return record.read_best(keeper.summary)[1]


def inspect_directory(job: Job) -> tuple[dict[str, Any] | None, ResumePoint | None]:
    """Read the job's directory, which this process has locked; return the summary of a finished run, or a resume point.

    Remove records that cannot be resumed. Raises UserError where the directory holds another run.
    """
    directory = job.directory
    record.remove_temporary(directory)
    status, summary = record.read_status(directory)
    if job.composed.resume is not None:
        return None, resume.require_resume_point(directory, status, job.config, job.study)
    if status == record.ABSENT:
        if not job.in_study:
            _refuse_study(directory)
        return None, None
    if not job.in_study:
        raise record.RecordError(
            f"{directory} already holds the record of a run. Choose another directory (hydra.run.dir=DIR), resume that "
            "run (resume=DIR), or delete it."
        )
    if summary is not None and resume.is_in_the_way(directory, summary, record.identify(job.config)):
        raise resume.make_conflict_error(directory, summary["config"], job.config)
    if summary is not None and status in record.FINISHED:
        return summary, None
    resume_point = resume.find_resume_point(directory, status, job.config)
    if resume_point is None:
        record.clear_record(directory)
    return None, resume_point


def _refuse_study(directory: Path) -> None:
    """Raise RecordError for the directory of a study: a single run in it would hide the study's runs."""
    if (directory / record.PLAN).exists() or any(directory.glob(f"*/{record.SUMMARY}")):
        raise record.RecordError(
            f"{directory} is the directory of a study. Choose another directory (hydra.run.dir=DIR), or add the run to "
            f"the study: --multirun study={directory.name}"
        )


def describe_run(job: Job) -> None:
    """Log what would be executed, and remove the files that Hydra has created for the run."""
    status, _ = record.read_status(job.directory)
    if job.composed.resume is not None:
        resume_point = resume.require_resume_point(job.directory, status, job.config, job.study)
        what = f"{job.directory} would be resumed after epoch {resume_point.epoch}"
    else:
        seen = "" if try_building(job.config) else ", as far as can be told before its data are downloaded"
        what = f"The configuration is in order{seen}; the run would go to {job.directory}"
    log.info("%s. Nothing was run (dry_run=true).", what)
    if status == record.ABSENT:
        discard(job.directory)
