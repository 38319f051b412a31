"""Paribus' sweeper and launchers, where Hydra looks for plugins. What they do is in paribus.sweep.

Hydra imports this whenever it starts: nothing heavy here.
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

from paribus.process import importing_torch, prepare_to_train
from paribus.sweep._workers import start_forkserver

if TYPE_CHECKING:
    from paribus.sweep.execute import Executor


class StudyLauncher(Launcher):
    """Makes the runs of a sweep that are not finished yet. Subclasses say where."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.study = config
        self.loader = hydra_context.config_loader

    @abstractmethod
    def make_executor(self, directory: Path) -> "Executor":
        """What makes the runs of the study in `directory`."""

    def begin(self) -> None:
        """Called before the study is read, to have ready what takes its time."""

    live = True  # whether a board shows how the runs are going; else they speak for themselves

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Make a run of each list of overrides; those that lead to the same run give one result."""
        from paribus.sweep.study import run_study

        returned = []
        engine = None if self.study.dry_run else self.make_executor
        for run in run_study(job_overrides, self.loader, self.study, engine, self.live):
            job = JobReturn(overrides=run.job.overrides, cfg=run.job.composed)
            job.working_dir = str(run.job.directory)
            if run.finished:
                job.status, job.return_value = JobStatus.COMPLETED, run.best
            else:
                job.status, job.return_value = JobStatus.FAILED, RuntimeError(run.message or run.status)
            returned.append(job)
        return returned


class SerialLauncher(StudyLauncher):
    """One run after the other, in this process, with all cores."""

    live = False

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with prepare_to_train():
            return super().launch(job_overrides, initial_job_idx)

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import run_serially

        return run_serially


class ParallelLauncher(StudyLauncher):
    """Several runs at once, each in a process of its own on this machine.

    Args:
        n_jobs: how many at once; None: one a core, or one a GPU where runs train on these.
    """

    def __init__(self, n_jobs: int | None = None):
        self.n_jobs = n_jobs

    def begin(self) -> None:
        start_forkserver()

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import make_parallel_executor

        return make_parallel_executor(self.n_jobs)


class StackedLauncher(StudyLauncher):
    """Runs that are alike as one program, others by themselves, in several processes on this machine.

    Args:
        n_jobs: processes; None: one a core.
        most: runs in a stack; None: as many as memory holds.
    """

    def __init__(self, n_jobs: int | None = None, most: int | None = None):
        self.n_jobs = n_jobs
        self.most = most

    def begin(self) -> None:
        start_forkserver()

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.launch import make_stacked_executor

        return make_stacked_executor(self.n_jobs, self.most)


class SlurmLauncher(StudyLauncher):
    """Each run as a job of a Slurm cluster, by submitit.

    Args:
        cluster: "slurm"; "local": processes on this machine, to try it out.
        parameters: what a job asks for, as submitit.AutoExecutor.update_parameters takes it.
    """

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
    """Each run as a task of a Ray cluster.

    Args:
        address: of the cluster ("auto": the one that this machine belongs to); None: one is started on this machine.
        num_cpus: cores that a run takes.
        num_gpus: GPUs that a run takes, or a part of one.
    """

    def __init__(self, address: str | None, num_cpus: int, num_gpus: float):
        self.address = address
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus

    def make_executor(self, directory: Path) -> "Executor":
        from paribus.sweep.clusters import make_ray_executor

        return make_ray_executor(self.address, self.num_cpus, self.num_gpus)


class StudySweeper(Sweeper):
    """Every combination of what the command line sweeps, for each grid that an experiment lists.

    Args:
        params: a grid: the values of each override, by its key, as Hydra's own sweeper takes them.
        grids: several such grids, run as one study; a point is a grid of single values.
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

        for key in self.others:
            raise unknown_name(key, "hydra.sweeper", ("params", "grids"))
        if not isinstance(self.study_launcher, StudyLauncher):
            raise UserError(
                "A study needs a launcher of its own: hydra/launcher=serial, parallel, stacked, slurm or ray."
            )
        if not self.study.dry_run:
            self.study_launcher.begin()
        with importing_torch():
            import lightning  # noqa: F401  with whatever else the check of a configuration imports

            from paribus.sweep.expand import expand_sweep

        sweep = expand_sweep(arguments, self.loader, self.study, self.params, self.grids)
        returned = self.study_launcher.launch(sweep, 0)
        failed = [job for job in returned if job.status is JobStatus.FAILED]
        if failed and not self.study.dry_run:
            raise RunFailed(f"{len(failed)} of {len(returned)} runs are not finished")
        return returned
