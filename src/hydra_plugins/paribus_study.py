"""Sweeper and launchers of Paribus, where Hydra looks for plugins; paribus.sweep does the work.

Hydra imports this module whenever it starts, so heavy imports are inside functions.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from paribus.sweep.workers import start_forkserver

if TYPE_CHECKING:
    from paribus.sweep.execute import Executor
    from paribus.sweep.rounds import StartDriver
    from paribus.sweep.until import Judge


class StudyLauncher(Launcher):
    """A launcher that executes the unfinished runs of a sweep. A subclass decides where."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.study = config
        self.loader = hydra_context.config_loader

    @abstractmethod
    def make_executor(self, directory: Path) -> "Executor":
        """Make the executor for the runs of the study in `directory`."""

    def start(self) -> None:
        """Start in the background what takes time; called before the study is composed."""

    live = True  # whether the terminal shows a board of all runs, instead of each run's own lines
    elsewhere = False  # whether runs are executed on other machines

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Execute a run for each list of overrides; lists that compose the same run give one result."""
        from paribus.sweep.rounds import run_once

        return self.launch_rounds(run_once(job_overrides))

    def launch_rounds(self, start: "StartDriver") -> Sequence[JobReturn]:
        """Execute the runs of a study round by round, as its driver plans them; return a result for each."""
        from paribus.sweep.study import run_study

        returned = []
        for run in run_study(start, self.loader, self.study, self.make_executor, self.live, self.elsewhere):
            job = JobReturn(overrides=run.job.overrides)  # without cfg, which nobody reads: it takes 10 ms
            job.working_dir = str(run.job.directory)
            if run.finished:
                job.status, job.return_value = JobStatus.COMPLETED, run.best
            else:
                job.status, job.return_value = JobStatus.FAILED, RuntimeError(run.message or run.status)
            returned.append(job)
        return returned


class SerialLauncher(StudyLauncher):
    """A launcher that executes one run after the other, in this process, with all cores."""

    live = False

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import run_serially

        return run_serially


class ParallelLauncher(StudyLauncher):
    """A launcher that executes several runs at once, each in its own process on this machine.

    Args:
        n_jobs: number of runs at once; None: one a core, or one a GPU if runs train on GPUs.
    """

    def __init__(self, n_jobs: int | None = None):
        self.n_jobs = n_jobs

    def start(self) -> None:
        start_forkserver()

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import make_parallel_executor

        return make_parallel_executor(self.n_jobs)


class StackedLauncher(StudyLauncher):
    """A launcher that trains similar runs as one stack, and others alone, in several processes on this machine.

    Args:
        n_jobs: number of processes; None: one a GPU, or one a core without GPUs.
        most: largest number of runs in a stack; None: as many as memory holds.
    """

    def __init__(self, n_jobs: int | None = None, most: int | None = None):
        self.n_jobs = n_jobs
        self.most = most

    def start(self) -> None:
        start_forkserver()

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import make_stacked_executor

        return make_stacked_executor(self.n_jobs, self.most)


class AutoLauncher(StudyLauncher):
    """A launcher that trains each kind of run stacked, in parallel or in sequence, whichever takes least time."""

    def start(self) -> None:
        start_forkserver()

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.auto import make_auto_executor

        return make_auto_executor(directory)


class SlurmLauncher(StudyLauncher):
    """A launcher that submits each run as a job of a Slurm cluster, by submitit.

    Args:
        cluster: "slurm", or "local" for processes on this machine, as a trial.
        parameters: resources of a job, as arguments of submitit.AutoExecutor.update_parameters.
    """

    elsewhere = True

    def __init__(self, cluster: str, parameters: Mapping[str, Any]):
        self.cluster = cluster
        self.parameters = OmegaConf.to_container(OmegaConf.create(dict(parameters)), resolve=True)

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.clusters import make_slurm_executor

        assert isinstance(self.parameters, dict)
        return make_slurm_executor(
            directory, self.cluster, {str(k): v for k, v in self.parameters.items() if v is not None}
        )


class RayLauncher(StudyLauncher):
    """A launcher that executes each run as a task of a Ray cluster.

    Args:
        address: address of the cluster; "auto": the cluster of this machine; None: start one on this machine.
        num_cpus: number of cores of a run.
        num_gpus: number of GPUs of a run, which may be a fraction.
    """

    elsewhere = True

    def __init__(self, address: str | None, num_cpus: int, num_gpus: float):
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.clusters import make_ray_executor

        return make_ray_executor(self.address, self.num_cpus, self.num_gpus)


def make_judge() -> "Judge":
    """Make the judge of looks at a study from the rules of comparison."""
    from multirun_analysis.compare.judge import check_margin, judge_look
    from multirun_analysis.compare.sequential import find_factor
    from paribus.sweep.until import Judge

    return Judge(judge_look, find_factor, check_margin)


class StudySweeper(Sweeper):
    """A sweeper over every combination of the command line's values, for each grid of an experiment.

    Args:
        params: a grid: the values of each override by key, as for Hydra's own sweeper.
        grids: several such grids, executed as one study. A single point is a grid of single values.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | None = None,
        grids: Sequence[Mapping[str, Any]] | None = None,
        **others: Any,
    ):
        self.others = others
        self.params = params
        self.grids = grids

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.loader = hydra_context.config_loader
        self.study = config
        self.study_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from paribus.errors import RunFailed, UserError, unknown_name
        from paribus.sweep.expand import expand_sweep

        for key in self.others:
            raise unknown_name(key, "hydra.sweeper", ("params", "grids"))
        if not isinstance(self.study_launcher, StudyLauncher):
            raise UserError(
                "A study needs a launcher of its own: hydra/launcher=auto, serial, parallel, stacked, slurm or ray."
            )
        if not self.study.dry_run:
            self.study_launcher.start()
        sweep = expand_sweep(arguments, self.loader, self.study, self.params, self.grids)
        judge = make_judge() if self.study.until.looks else None
        if self.study.tune.space:
            from paribus.sweep.search_methods import start_search

            returned = self.study_launcher.launch_rounds(start_search(sweep, self.study, judge))
        elif any(text.startswith("tune.") for text in arguments):
            raise UserError("tune.* has no effect without a search space. Choose one: tune=lr, or a file of your own.")
        elif judge is not None:
            from paribus.sweep.until import start_until

            returned = self.study_launcher.launch_rounds(start_until(sweep, self.study, judge))
        elif any(text.startswith("until.") for text in arguments):
            raise UserError("until.* has no effect without looks. Choose them: until=decided.")
        else:
            returned = self.study_launcher.launch(sweep, 0)
        failed = [job for job in returned if job.status is JobStatus.FAILED]
        if failed and not self.study.dry_run:
            raise RunFailed(f"{len(failed)} of {len(returned)} runs are not finished")
        return returned
