"""Choose by a short measurement how each kind of run of a study is trained: alone, several at once, or stacked."""

import hashlib
import json
import logging
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from paribus import record
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep.execute import Executor
from paribus.sweep.launch import count_cores, count_gpus, run_in_processes
from paribus.sweep.workers import Worker, wait_for_workers

log = logging.getLogger(__name__)
CHOICES = "launcher.json"  # in the study's directory
Engine = Literal["serial", "parallel", "stacked"]
ENGINES: tuple[Engine, ...] = ("serial", "parallel", "stacked")  # the simplest first
TRIAL_S = 0.7  # seconds of steps, for each engine
MOST_MEASURED = 32  # runs in a stack whose steps are timed; larger ones take longer in proportion, or less
GAIN = 1.1  # by which an engine has to be faster than a simpler one


@dataclass(frozen=True)
class Choice:
    """The engine that was chosen for runs of a kind, and the measurement behind it.

    Attributes:
        runs: the number of runs for which it was chosen.
        seconds: the time of a training step of all of them, by engine; empty where nothing was measured.
        reason: why nothing was measured.
        unmeasured: why an engine could not be measured, where others could.
    """

    engine: Engine
    runs: int
    seconds: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)

    def describe(self, runs: int) -> str:
        """Describe in a line how `runs` runs are trained; an earlier command may have chosen it for another number."""
        what = f"{runs} run{'s' * (runs != 1)} {self.engine}"
        if not self.seconds:
            return f"{what}: {self.reason}."
        times = ", ".join(f"{1000 * t / self.runs:.3g} ms {name}" for name, t in sorted(self.seconds.items()))
        missing = "".join(f"; {name} could not be measured ({why})" for name, why in self.unmeasured.items())
        return f"{what}, by measurement: a step of a run takes {times}{missing}."


@dataclass
class _Kind:
    """Runs of one network on the same data: stacks of those that can be stacked, or the others."""

    stacks: list[list[Job]] = field(default_factory=list)
    alone: list[Job] = field(default_factory=list)

    @property
    def jobs(self) -> list[Job]:
        return [*self.alone, *(job for stack in self.stacks for job in stack)]


def make_auto_executor(directory: Path) -> Executor:
    """Return an executor that trains each kind of run of the study in `directory` in the way that takes least time.

    A choice holds for later runs of its kind in the study. A run that began in a stack, or alone, goes on so.
    """

    def execute_jobs(jobs: Sequence[Job]) -> Generator[tuple[Job, Outcome], None, None]:
        from paribus.stacked.grouping import group_runs, split_group

        cores = count_cores()
        beginnings = {job.directory: _find_beginning(job) for job in jobs}
        groups, others = group_runs([job for job in jobs if beginnings[job.directory] != "alone"])
        kinds: dict[str, _Kind] = {}
        for group in groups:
            kinds.setdefault(_make_key(group[0], True), _Kind()).stacks.extend(split_group(group, cores, None))
        alone = [job for job in jobs if beginnings[job.directory] == "alone"]
        for job in [*alone, *(job for found in others.values() for job in found)]:
            kinds.setdefault(_make_key(job, False), _Kind()).alone.append(job)
        by_engine: dict[Engine, list[list[Job]]] = {"serial": [], "parallel": [], "stacked": []}
        for key, kind in kinds.items():
            if any(beginnings[job.directory] == "stacked" for stack in kind.stacks for job in stack):
                choice = Choice("stacked", len(kind.jobs), reason="they began in stacks")
            else:
                choice = recall_choice(directory, key, len(kind.jobs)) or make_choice(kind.stacks, kind.alone)
                record_choice(directory, key, choice)
            log.info("hydra/launcher=auto: %s", choice.describe(len(kind.jobs)))
            by_engine[choice.engine] += kind.stacks if choice.engine == "stacked" else [[job] for job in kind.jobs]
        yield from run_in_processes([*by_engine["stacked"], *by_engine["parallel"]], cores)
        yield from run_in_processes(by_engine["serial"], 1, share_cores=False)

    return execute_jobs


def recall_choice(directory: Path, key: str, runs: int) -> Choice | None:
    """Return the study's recorded choice for a kind of run; None where it was made for less than half of `runs`."""
    choice = _read_choices(directory).get(key)
    return None if choice is None or 2 * choice.runs < runs else choice


def record_choice(directory: Path, key: str, choice: Choice) -> None:
    """Record in the study's directory a choice that rests on a measurement."""
    if choice.seconds:
        choices = _read_choices(directory) | {key: choice}
        record.write_json(directory / CHOICES, {key: asdict(made) for key, made in choices.items()})


def _read_choices(directory: Path) -> dict[str, Choice]:
    path = directory / CHOICES
    if not path.exists():
        return {}
    try:
        found = {key: Choice(**values) for key, values in json.loads(record.read_text(path)).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise record.RecordError(f"{path} is damaged ({error}). Remove it: the launcher then measures again.") from None
    if any(choice.engine not in ENGINES or not isinstance(choice.runs, int) for choice in found.values()):
        raise record.RecordError(f"{path} is damaged (an unknown engine). Remove it: the launcher then measures again.")
    return found


def make_choice(stacks: Sequence[Sequence[Job]], alone: Sequence[Job]) -> Choice:
    """Choose the engine that takes least time; of two that take about the same, the simpler one.

    Runs are trained one after the other where there is only one, or nothing can be measured.
    """
    jobs = [*alone, *(job for stack in stacks for job in stack)]
    first, cores = jobs[0], count_cores()
    if len(jobs) == 1:
        return Choice("serial", 1, reason="no other run is like it")
    if count_gpus(first):
        return Choice("serial", len(jobs), reason="only steps on the CPU are measured")
    if first.config["trainer"].get("devices") != 1:
        return Choice("serial", len(jobs), reason="a run in several processes is not measured")
    size = max(map(len, stacks), default=1)
    measured = measure(first, min(cores, len(jobs)), min(size, MOST_MEASURED))
    if isinstance(measured["serial"], str):
        return Choice("serial", len(jobs), reason=f"nothing can be measured ({measured['serial']})")
    seconds = {engine: t for engine, t in measured.items() if isinstance(t, float)}
    total = {"serial": len(jobs) * seconds["serial"]}
    if "parallel" in seconds:
        total["parallel"] = -(-len(jobs) // cores) * seconds["parallel"]
    if "stacked" in seconds:
        share = size / min(size, MOST_MEASURED)
        total["stacked"] = -(-len(stacks) // cores) * seconds["stacked"] * share
    fast = [engine for engine in ENGINES if total.get(engine, float("inf")) <= GAIN * min(total.values())]
    unmeasured = {str(engine): reason for engine, reason in measured.items() if isinstance(reason, str)}
    return Choice(fast[0], len(jobs), total, unmeasured=unmeasured)


def measure(job: Job, at_once: int, size: int) -> dict[Engine, float | str]:
    """Return the seconds of a training step by engine, or the reason why they cannot be measured.

    A step of one run with all cores; of a run with a core, while `at_once` are trained; of a stack of `size`, likewise.
    """
    from paribus.sweep.timing import time_steps

    job = job.compose()
    own = job.config["threads"]
    measured: dict[Engine, float | str] = {}
    workers = [Worker(time_steps, job, 1, own, 0.0)]
    try:
        workers[0].start()
        _await(workers)
        measured["serial"] = _time(workers, job, 1, own)
        if isinstance(measured["serial"], str):
            return measured
        workers += [Worker(time_steps, job, 1, own or 1, 0.0) for _ in range(at_once - 1)]
        for worker in workers[1:]:
            worker.start()
        _await(workers[1:])
        if at_once > 1:
            measured["parallel"] = _time(workers, job, 1, own or 1)
        if size > 1:
            measured["stacked"] = _time(workers, job, size, own or 1)
    finally:
        for worker in workers:
            worker.retire()
    return measured


def _time(workers: Sequence[Worker], job: Job, size: int, threads: int | None) -> float | str:
    """Time steps in all workers at once; return the longest time, or a reason why there is none."""
    for worker in workers:
        worker.call_again(job, size, threads, TRIAL_S)
    _await(workers)
    results = [worker.explain_exit() if worker.result is None else worker.result for worker in workers]
    return next((result for result in results if isinstance(result, str)), None) or max(results)


def _await(workers: Sequence[Worker]) -> None:
    waiting = set(workers)
    while waiting:
        waiting -= set(wait_for_workers(waiting))


def _find_beginning(job: Job) -> Literal["alone", "stacked"] | None:
    """Return how an unfinished run has been trained so far; None for one that has not begun, or cannot be resumed."""
    if not (job.directory / record.LAST).exists():
        return None
    from paribus.training.checkpoints import read_described

    try:
        _, described = read_described(job.directory / record.LAST, with_training=False)
    except record.RecordError:  # the run starts again, and says so
        return None
    return "stacked" if described.get("stacked") else "alone"


def _make_key(job: Job, stackable: bool) -> str:
    """Return the key of a kind: runs of one network on the same data, in equal batches, by as many cores."""
    config: Mapping[str, Any] = job.config
    model = {name: value for name, value in config["model"].items() if name != "init"} if stackable else None
    data = {name: value for name, value in config["data"].items() if name not in ("seed", "root", "path", "verify")}
    content = [config["model"].get("_target_"), model, data, config["threads"], count_cores()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return f"{str(config['model'].get('_target_')).rpartition('.')[2]} {digest}"
