"""Plan a study: compose its runs and read what is recorded of them."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from paribus import record
from paribus.config.compose import Composer, to_resolved
from paribus.config.messages import explain
from paribus.errors import UserError
from paribus.run.attempt import Outcome
from paribus.run.resume import is_in_the_way, make_conflict_error
from paribus.run.spec import Job
from paribus.sweep.jobs import JobComposer

log = logging.getLogger(__name__)
KEPT = ("status", "identity", "statistics", "metric", "message", "stopped", "data")  # of a summary, in a plan


@dataclass(frozen=True)
class PlannedRun:
    """A planned run of a study, with the state of its record.

    Attributes:
        job: the job that executes the run.
        status: the status of the record, such as record.COMPLETED.
        summary: what the plan needs of summary.json (KEPT), if there is one; the whole would be 40 kB a run.
        message: the reason why the run is not finished, if known.
        composed_from: the lists of overrides that came to this run.
    """

    job: Job
    status: str
    summary: dict[str, Any] | None
    message: str | None = None
    composed_from: tuple[tuple[str, ...], ...] = ()

    @property
    def name(self) -> str:
        return self.job.directory.name

    @property
    def label(self) -> str:
        return self.job.label

    @property
    def finished(self) -> bool:
        """Return whether nothing is left to do now: the run has ended, or reached the epoch where it is to pause."""
        pause = self.job.composition.pause
        if self.status in record.FINISHED or pause is None:
            return self.status in record.FINISHED
        # a run without a summary that has gone on beyond the pause was killed later
        reached = count_epochs(self.job.directory) >= pause + (self.summary is None)
        return reached and self.status in (record.INTERRUPTED, record.UNFINISHED, record.RUNNING, record.FAILED)

    @property
    def paused(self) -> bool:
        """Return whether the run waits at the epoch where it was to pause."""
        return self.finished and self.status not in record.FINISHED

    @property
    def best(self) -> float | None:
        """The best value of the metric, validation accuracy, or loss, if there is one."""
        return None if self.summary is None else record.read_best(self.summary)[1]

    def update(self, outcome: "Outcome") -> "PlannedRun":
        """Return the planned run with its state after an attempt."""
        status, summary = record.read_status(self.job.directory)
        if outcome.message is not None and status not in (record.FAILED, record.INTERRUPTED):
            status, summary = record.UNFINISHED if status == record.UNFINISHED else record.FAILED, None
        message = outcome.message or (summary or {}).get("message")
        if (summary or {}).get("paused"):
            message = None  # nothing is amiss
        return replace(self, status=status, summary=_shorten(summary), message=message)


def _shorten(summary: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the part of a summary that a plan needs."""
    return None if summary is None else {key: summary[key] for key in KEPT if key in summary}


def count_epochs(directory: Path) -> int:
    """Count the epochs in the record of a directory, which may still be written to."""
    try:
        return max(0, (directory / record.METRICS).read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def plan_study(sweep: Iterable[Sequence[str]], composer: Composer, study: DictConfig) -> list[PlannedRun]:
    """Plan a study: compose and check a run for each list of overrides, and read the state of its record.

    Runs of equal identity are planned once. `study` is the configuration with which the sweep was started, with the
    node `hydra`. Raises UserError for the first invalid run, and where a directory of the study holds a run of another
    configuration.
    """
    directory = Path(study.hydra.sweep.dir).absolute()
    known = find_known_runs(directory)
    jobs = JobComposer(composer, study)
    planned: dict[str, PlannedRun] = {}
    directories: set[Path] = set()
    conflicts: list[UserError] = []
    repeated: list[str] = []
    for number, overrides in enumerate(sweep):
        try:
            job = jobs.compose_job(number, overrides)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            raise UserError(f"{explain(error)} (In the run {' '.join(overrides)}; nothing was run.)") from error
        identity = record.identify(job.config)
        if identity in planned:
            repeated.append(" ".join(overrides))
            first = planned[identity]
            planned[identity] = replace(first, composed_from=(*first.composed_from, tuple(overrides)))
            continue
        where, summary = known.get(identity, (job.directory, None))
        if where != job.directory:
            job = job.move_to(where)
        if summary is not None:
            status = summary["status"]  # which is written last
        elif record.is_running(job.directory):
            status = record.RUNNING
        else:
            status, summary = record.read_status(job.directory)
        if job.directory in directories:
            raise UserError(
                f"Two runs of the sweep would have one directory, {job.directory}. Leave hydra.sweep.subdir out, or "
                "make it unique to each run."
            )
        if summary is not None and is_in_the_way(job.directory, summary, identity):
            conflicts.append(make_conflict_error(job.directory, summary["config"], job.config))
        if status == record.DAMAGED:
            log.warning("%s is damaged, and is trained again. %s", job.directory, record.describe_damage(job.directory))
        directories.add(job.directory)
        planned[identity] = PlannedRun(job, status, _shorten(summary), composed_from=(tuple(overrides),))
    if repeated:
        log.info("%s to a run that the sweep already contains (%s): each run is trained once.",
                 "1 combination comes" if len(repeated) == 1 else f"{len(repeated)} combinations come",
                 "; ".join(repeated[:3]) + ("; ..." if len(repeated) > 3 else ""))  # fmt: skip
    if conflicts:
        more = f" Other runs with such a conflict: {len(conflicts) - 1}." if len(conflicts) > 1 else ""
        raise UserError(f"{conflicts[0]}{more}")
    return list(planned.values())


def find_known_runs(directory: Path) -> dict[str, tuple[Path, dict[str, Any] | None]]:
    """Find the runs in a study's directory by identity, ended or not; of two with the same one, prefer the finished.

    Return their directories, and of those that are finished the part of the summary that a plan needs.
    """
    found: dict[str, tuple[Path, dict[str, Any] | None]] = {}
    children = sorted(directory.iterdir()) if directory.is_dir() else []
    for run in (child for child in children if child.is_dir()):
        status, summary = record.read_status(run)
        if summary is not None:
            finished = status in record.FINISHED
            if "identity" in summary and (finished or summary["identity"] not in found):
                found[summary["identity"]] = run, _shorten(summary) if finished else None
        elif status == record.UNFINISHED or record.is_running(run):
            identity = _identify_unfinished(run)
            if identity is not None:
                found.setdefault(identity, (run, None))
    return found


def _identify_unfinished(run: Path) -> str | None:
    """Return the identity of an unfinished run, or None if its composition cannot be read."""
    try:
        composed = OmegaConf.create(record.read_yaml(run / record.COMPOSITION))
        assert isinstance(composed, DictConfig)
        return record.identify(to_resolved(composed))
    except Exception as error:  # noqa: BLE001  a half-written file fails in many ways, and only its name is left then
        log.warning("%s cannot be read (%s): run not recognised.", run / record.COMPOSITION, type(error).__name__)
        return None
